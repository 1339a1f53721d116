"""Fuzz both decoders with files that are changed field by field: `python benchmarks/fuzz_both.py`.

Each file is read in Python, without numba, and in JavaScript where node is installed. What must
hold: it is read or refused with a ShoeError, by both alike; what is read is the same, bit for bit;
it takes at most 1 s and 1 s for each megabyte of declared tensors, and little memory. --quick is
half a minute, --minutes is how long otherwise. Both decoders run in child processes: one that dies
or hangs is begun anew, and the file that it had is kept.

What is found is kept in `tests/artifact/format/crashers/`, once for each kind, and is a test from
then on. Needs nothing but the package, and node; `benchmarks/fuzz.py` is guided by coverage, and
needs atheris.
"""

from __future__ import annotations

import argparse
import json
import mmap
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from time import monotonic, process_time
from typing import Any
from zlib import crc32

ROOT = Path(__file__).resolve().parents[1]
CRASHERS = ROOT / "tests" / "artifact" / "format" / "crashers"
BATCH = 200
MAX_BYTES = 1 << 18
"""What tensors may take in most batches, so that they are quick."""
_LARGER, _EVERY = 1 << 24, 50  # and in one batch of so many
MOST_MEGABYTES = 300  # of memory beyond what the child has at its start
_SECONDS_BETWEEN_LINES = 30
_HANGS = 120  # seconds without a line from a child


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the first batch")
    chosen, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    from rows import start

    rows = start("fuzz", "reader-both-cpu", __doc__ or "")
    minutes = 0.5 if rows.quick else chosen.minutes
    counts, began = Counter[str](), monotonic()
    shown = began
    for line in run(60 * minutes, chosen.seed):
        counts.update({key: line[key] for key in ("read", "files", "compared")})
        if monotonic() - shown > _SECONDS_BETWEEN_LINES:
            shown = monotonic()
            print(f"{counts['read']:,} files, {(shown - began) / 60:.0f} minutes", file=sys.stderr)
        for kind in line["found"]:
            counts["found"] += 1
            print(f"found: {kind}", file=sys.stderr)
    rows.add("both decoders", "executions", counts["read"], "inputs")
    rows.add("both decoders", "sound files", counts["files"], "inputs")
    rows.add("both decoders", "compared with JavaScript", counts["compared"], "inputs")
    rows.add("both decoders", "disagreements and crashes", counts["found"], "kinds")
    rows.add("both decoders", "minutes", round((monotonic() - began) / 60, 1), "min")
    rows.close()
    sys.exit(1 if counts["found"] else 0)


def run(seconds: float, seed: int) -> Iterator[dict[str, Any]]:
    """What each batch of a child came to, for so long; what it found is kept."""
    ends, kinds = monotonic() + seconds, set[str]()
    while monotonic() < ends:
        with tempfile.NamedTemporaryFile() as held:
            held.write(bytes(1 << 20))
            held.flush()
            command = [sys.executable, __file__, "--child", str(seed), held.name]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
                for line in lines(child, ends):
                    seed = line["seed"] + 1
                    new = {kind: data for kind, data in line["found"].items() if kind not in kinds}
                    kinds |= new.keys()
                    for kind, data in new.items():
                        keep(bytes.fromhex(data), kind)
                    yield {**line, "found": list(new)}
            if monotonic() < ends:  # the child died, or was ended since it hung
                data = Path(held.name).read_bytes()
                keep(data[4 : 4 + int.from_bytes(data[:4], "little")], "died")
                seed += 1
                yield {"read": 0, "files": 0, "compared": 0, "found": ["died"]}


def lines(child: subprocess.Popen[str], ends: float) -> Iterator[dict[str, Any]]:
    """What a child prints; it is ended where it is silent for too long, and at the end."""
    assert child.stdout is not None
    said = [monotonic()]

    def watch() -> None:
        while child.poll() is None and monotonic() < min(ends, said[0] + _HANGS):
            try:
                child.wait(1)
            except subprocess.TimeoutExpired:
                continue
        child.kill()

    Thread(target=watch, daemon=True).start()
    for line in child.stdout:
        said[0] = monotonic()
        yield json.loads(line)


def keep(data: bytes, why: str) -> None:
    """Put a file where the tests find it."""
    CRASHERS.mkdir(exist_ok=True)
    (CRASHERS / f"{why}-{crc32(data[:-4]):08x}.shoe").write_bytes(data)


class Node:
    """The decoder in JavaScript, in a process of its own that lives on."""

    def __init__(self) -> None:
        """Raises FileNotFoundError where node is not installed."""
        node = shutil.which("node")
        if node is None:
            raise FileNotFoundError("node is not installed")
        script = Path(__file__).with_name("decode_batches.mjs")
        self._process = subprocess.Popen(
            [node, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def begin(self, files: list[bytes], max_bytes: int) -> None:
        """Send files; `answers` must follow."""
        most = max_bytes.to_bytes(4, "little")
        data = b"".join(len(one).to_bytes(4, "little") + most + one for one in files)
        self._sending = Thread(target=self._send, args=(data,), daemon=True)
        self._sending.start()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def answers(self, count: int) -> list[dict[str, Any]]:
        """What each file holds, or why it is refused; raises EOFError where the process died."""
        assert self._process.stdout is not None
        found = [self._process.stdout.readline() for _ in range(count)]
        if not all(found):
            raise EOFError(f"node died at file {found.index(b'')} of the batch")
        self._sending.join()
        return [json.loads(line) for line in found]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def child(seed: int, held: Path) -> None:
    """Read batches until killed, and print a line of JSON for each.

    `held`: a file that has the input that is being read, so that it is known if this process dies.
    """
    sys.modules["numba"] = None  # type: ignore[assignment]
    from mutants import Mutants, seeds

    sown = seeds()
    try:
        node = Node()
    except FileNotFoundError:
        node = None
    with held.open("r+b") as opened, mmap.mmap(opened.fileno(), 1 << 20) as place:
        base = megabytes()
        while True:
            mutants = Mutants(seed, sown)
            most = MAX_BYTES if seed % _EVERY else _LARGER
            line = batch([next(mutants) for _ in range(BATCH)], node, most, place)
            if megabytes() > base + MOST_MEGABYTES:
                raise MemoryError(f"{megabytes()} MB are taken, and {base} were at the start")
            print(json.dumps({"seed": seed, **line}), flush=True)
            seed += 1


def megabytes() -> int:
    """The most memory that this process has had."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (
        1 << 20 if sys.platform == "darwin" else 1 << 10
    )


def batch(
    files: list[bytes], node: Node | None, max_bytes: int = MAX_BYTES, place: Any = None
) -> dict[str, Any]:
    """How many files were read, sound and compared; and what was found: a file by its kind."""
    found: dict[str, str] = {}
    if node is not None:
        node.begin(files, max_bytes)
    ours: list[dict[str, Any]] = []
    for data in files:
        if place is not None:
            place[: 4 + len(data)] = len(data).to_bytes(4, "little") + data
        ours.append(read(data, max_bytes))
        if "crash" in ours[-1]:
            found.setdefault(ours[-1]["crash"], data.hex())
    theirs = node.answers(len(files)) if node is not None else []
    for data, mine, other in zip(files, ours, theirs, strict=False):
        if (kind := difference(mine, other, data, max_bytes)) is not None:
            found.setdefault(kind, data.hex())
    return {
        "read": len(files),
        "files": sum("tensors" in one for one in ours),
        "compared": len(theirs),
        "found": found,
    }


def read(data: bytes, max_bytes: int) -> dict[str, Any]:
    """What a file holds, `error` where it is refused, or `crash` where something is wrong."""
    from told import told

    from shoestring.artifact import ShoeError
    from shoestring.artifact.format import file

    began = monotonic()
    try:
        content = file.unpack_any(data, max_bytes)
    except ShoeError as error:
        line: dict[str, Any] = {"error": str(error)}
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return {"crash": f"{type(error).__name__}-{Path(frame.filename).stem}-{frame.lineno}"}
    else:
        line = {"version": data[4], **told(content)}
    if monotonic() - began > 1 and seconds(data, max_bytes) > 1 + declared(data, max_bytes) / 1e6:
        return {"crash": "slow"}
    return line


def seconds(data: bytes, max_bytes: int) -> float:
    """The seconds of the processor that a file takes, read again: others may have used it."""
    from shoestring.artifact import ShoeError
    from shoestring.artifact.format import file

    began = process_time()
    with suppress(ShoeError):
        file.unpack_any(data, max_bytes)
    return process_time() - began


def declared(data: bytes, max_bytes: int) -> int:
    """The bytes of tensors that a file declares, an element as 4 or as its width."""
    from shoestring.artifact import ShoeError
    from shoestring.artifact.format import file

    try:
        tensors = file.unpack_any(data, max_bytes).tensors
        return sum(one.bits.size * max(4, one.bits.itemsize) for one in tensors)
    except ShoeError:
        return max_bytes  # it may declare what is allowed


def difference(
    mine: dict[str, Any], other: dict[str, Any], data: bytes, max_bytes: int
) -> str | None:
    """The kind of a disagreement between the decoders; None if there is none."""
    from told import stripped

    milliseconds = other.pop("milliseconds")
    if "crash" in other:
        return "javascript-crash"
    if milliseconds > 1000 and milliseconds > 1000 + declared(data, max_bytes) / 1e3:
        return "javascript-slow"
    if "crash" in mine:
        return None
    if "error" in mine or "error" in other:
        if "error" in mine and "error" in other:
            return None
        which, why = ("python", mine) if "error" in mine else ("javascript", other)
        words = "".join(
            c if c.isalpha() else "_" for c in why["error"].removeprefix("damaged file: ")
        )
        return f"only-{which}-refuses-{words[:40]}"
    same = other.pop("version") == mine.pop("version") and stripped(other) == mine
    return None if same else "other-contents"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests"))
    if sys.argv[1:2] == ["--child"]:
        child(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
