"""The answers of a teacher on disk: a folder of segments, each written completely or not at all."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import numpy as np

from shoestring.artifact import save
from shoestring.artifact.locks import rewriting

KEY = 16
"""Bytes of a key."""
_MAGIC = b"shoestring answers 1\n"
_SUFFIX = ".answers"
_FLUSH_BYTES, _FLUSH_SECONDS = 4 << 20, 30.0
"""Answers are written when there are so many bytes of them, or the oldest has waited so long."""
_LONGEST_FORM = 1 << 20


@dataclass(eq=False)
class Segment:
    """Answers of one form in a file.

    `form`: how the bytes of an answer are read, as text.
    `rows`: the bytes of the answers, uint8 (answers, bytes of an answer).
    """

    form: str
    rows: np.ndarray


@dataclass(eq=False)
class AnswerStore:
    """Answers by key, kept in a folder that several processes may share.

    What a process puts is seen by others when it has been written: after 4 MB, after 30 seconds,
    and at `flush`. A process that is killed loses no more than that. A file that is damaged is left
    out, with a warning that names it, so that its answers are asked for again.

    `folder`: which exists.
    `most_bytes`: of all files of answers together; what would be over it is not kept, with one
        warning.
    """

    folder: Path
    most_bytes: int
    full: bool = False
    _where: dict[bytes, tuple[Segment, int]] = field(default_factory=dict, repr=False)
    _seen: set[str] = field(default_factory=set, repr=False)
    _pending: dict[str, dict[bytes, np.ndarray]] = field(default_factory=dict, repr=False)
    _pending_bytes: int = 0
    _since: float = field(default_factory=monotonic, repr=False)

    def __post_init__(self) -> None:
        lock = self.folder / "lock"
        if not lock.exists():
            save(lock, b"")  # also says at once where the folder cannot be written
        self.refresh()

    def __len__(self) -> int:
        """How many answers there are, with those that were not written yet."""
        return len(self._where) + sum(map(len, self._pending.values()))

    def bytes(self) -> int:
        """The size of all files of answers."""
        return sum(path.stat().st_size for path in self.folder.glob(f"*{_SUFFIX}"))

    def bytes_of_an_answer(self) -> int:
        """The bytes that an answer takes with its key; 0 where none is known."""
        known = [segment.rows.shape[1] for segment, _ in self._where.values()][:1]
        known += [len(row) for rows in self._pending.values() for row in list(rows.values())[:1]]
        return max(known, default=-KEY) + KEY

    def get(self, key: bytes) -> tuple[str, np.ndarray] | None:
        """(form, bytes) of the answer with this key; None where there is none."""
        if (found := self._where.get(key)) is not None:
            return found[0].form, found[0].rows[found[1]]
        for form, rows in self._pending.items():
            if (row := rows.get(key)) is not None:
                return form, row
        return None

    def put(self, form: str, keys: list[bytes], rows: np.ndarray) -> None:
        """Keep answers; `rows` has the bytes of each, uint8 (answers, bytes of an answer)."""
        if self.full or not keys:
            return
        if not self._pending:
            self._since = monotonic()
        self._pending.setdefault(form, {}).update(zip(keys, rows.copy(), strict=True))
        self._pending_bytes += rows.nbytes + KEY * len(keys)
        late = monotonic() - self._since > _FLUSH_SECONDS
        if late or self._pending_bytes > min(_FLUSH_BYTES, self.most_bytes):
            self.flush()

    def flush(self) -> None:
        """Write what was put, and read what other processes have written.

        Raises OSError where the folder cannot be written any more.
        """
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        if pending and not self.full:
            with rewriting(self.folder / "lock"):
                for form, rows in pending.items():
                    self._write(form, rows)
        self.refresh()

    def _write(self, form: str, rows: dict[bytes, np.ndarray]) -> None:
        data = _packed(form, list(rows), np.stack(list(rows.values())))
        if self.bytes() + len(data) > self.most_bytes:
            self.full = True
            warnings.warn(
                f"{self.folder} has {self.bytes():,} bytes of answers, and may have no more than "
                f"{self.most_bytes:,}: from now on the teacher is asked for each answer that is "
                "not there. Give a larger most_bytes=, or delete the folder",
                stacklevel=5,
            )
            return
        name = f"{hashlib.sha256(data).hexdigest()[:24]}{_SUFFIX}"
        save(self.folder / name, data)
        self._read(self.folder / name)

    def refresh(self) -> None:
        """Read what other processes have written."""
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            if path.name not in self._seen:
                self._read(path)

    def _read(self, path: Path) -> None:
        self._seen.add(path.name)
        try:
            form, keys, rows = _unpacked(path)
        except (OSError, ValueError) as error:
            warnings.warn(
                f"{path} is left out, and its answers are asked for again: {error}. Delete it",
                stacklevel=5,
            )
            return
        segment = Segment(form, rows)
        self._where.update(
            (keys[at : at + KEY], (segment, at // KEY)) for at in range(0, len(keys), KEY)
        )


def _packed(form: str, keys: list[bytes], rows: np.ndarray) -> bytes:
    """A segment: a line that names the format, a head, the keys, the rows, and the digest of all.

    The head is JSON, after its length in four bytes.
    """
    head = json.dumps({"form": form, "answers": len(keys), "bytes": rows.shape[1]}).encode()
    body = _MAGIC + len(head).to_bytes(4, "little") + head + b"".join(keys) + rows.tobytes()
    return body + hashlib.sha256(body).digest()


def _unpacked(path: Path) -> tuple[str, bytes, np.ndarray]:
    """(form, keys, rows) of a segment; raises ValueError where it is damaged."""
    data = path.read_bytes()
    body, digest = data[:-32], data[-32:]
    if not body.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        raise ValueError("it is damaged or cut short")
    at = len(_MAGIC) + 4
    length = int.from_bytes(body[at - 4 : at], "little")
    if length > _LONGEST_FORM:
        raise ValueError(f"its head has {length:,} bytes")
    head = json.loads(body[at : at + length])
    count, width, start = int(head["answers"]), int(head["bytes"]), at + length
    if len(body) - start != count * (KEY + width):
        raise ValueError(f"it has {len(body):,} bytes, which do not fit its head")
    keys = body[start : start + KEY * count]
    rows = np.frombuffer(body, np.uint8, count * width, start + KEY * count)
    return str(head["form"]), keys, rows.reshape(count, width)
