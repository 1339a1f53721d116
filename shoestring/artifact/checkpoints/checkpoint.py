"""Packed checkpoints: `.safetensors` files in and out, bit for bit, without a package for them.

Needs no torch.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from shoestring.artifact.checkpoints.safetensors import (
    KEPT,
    MOST_HEADER,
    WIDE,
    Entry,
    Named,
    read_header,
    size_of,
    unclaimed,
    write_header,
)
from shoestring.artifact.format import file
from shoestring.artifact.format.file import Checkpoint
from shoestring.artifact.format.saving import check_file, check_place, save
from shoestring.artifact.format.tensors import (
    ELEMENTS,
    MOST_TENSORS,
    NUMBERS,
    Packed,
    Tensor,
    little,
    unsigned,
)
from shoestring.artifact.wire import ShoeError

_DTYPES = {element: dtype for dtype, element in reversed(KEPT.items())}
STRUCTURE = "structure"  # the note that says how the tensors of a PyTorch file were nested
_HEADER, _SHA256, _TIED, _METADATA = "header", "sha256", "tied", "metadata."


@dataclass(frozen=True)
class Packing:
    """What packing did: a line for each element type (its name, tensors, numbers, bytes before and
    after), and the whole.
    """

    path: Path
    bytes_before: int
    bytes_after: int
    seconds: float
    kinds: tuple[tuple[str, int, int, int, int], ...]
    rest: str = "names, shapes, tables"

    def as_text(self) -> str:
        """The bill in words; the lines add up to the file."""
        lines = [
            f"{after:>15,}  {name:<9} {numbers:,} numbers in {tensors:,} tensors, {before:,} "
            f"bytes: {_less(before, after)}"
            for name, tensors, numbers, before, after in self.kinds
        ]
        rest = self.bytes_after - sum(kind[-1] for kind in self.kinds)
        lines.append(f"{rest:>15,}  {self.rest}")
        whole = f"{self.bytes_before:,} bytes: {_less(self.bytes_before, self.bytes_after)}"
        lines.append(
            f"{self.bytes_after:>15,}  {self.path} of {whole}; read back and compared, in "
            f"{self.seconds:.1f} s"
        )
        return "\n".join(lines)


def _less(before: int, after: int) -> str:
    return f"{1 - after / before:.1%} less" if 0 < after <= before else f"{after - before:,} more"


def is_safetensors(path: Path) -> bool:
    """Whether a file is safetensors, judged by its first bytes.

    False for one of PyTorch, ValueError for what is neither.
    """
    check_file(path)
    with path.open("rb") as opened:
        first = opened.read(64)
    if first[:4] == file.MARK:
        raise ValueError(
            f"{path} is a .shoe file already: pack takes a .safetensors file, one of PyTorch, or "
            ".onnx"
        )
    if first.startswith(b"version https://git-lfs"):
        raise ValueError(
            f"{path} only says where the checkpoint is (git LFS): fetch the file itself with `git "
            "lfs pull`"
        )
    if path.suffix == ".safetensors" or first[8:9] == b"{":
        return True
    if first[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return False
    raise ValueError(f"{path} is neither a .safetensors file nor one that torch.save wrote")


def wants_safetensors(path: Path) -> bool:
    """Whether a file of this name is to be safetensors.

    False for PyTorch, ValueError for what is neither.
    """
    if path.suffix not in (".safetensors", ".pt", ".pth", ".bin"):
        raise ValueError(
            f"{path} must end in .safetensors, or in .pt, .pth or .bin for a file of PyTorch"
        )
    return path.suffix == ".safetensors"


def from_safetensors(path: Path) -> Checkpoint:
    """The tensors of a .safetensors file, which may be anybody's.

    Warns where bytes of it belong to no tensor.
    The file is mapped, not read: it must stay as it is while the checkpoint is used. Raises
    ValueError.
    """
    with path.open("rb") as opened:
        size = path.stat().st_size
        data = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
    length = int.from_bytes(data[:8], "little")
    if size < 8 or length > size - 8:
        raise ValueError(
            f"{path} is no .safetensors file, or cut short: a header of {length:,} bytes, and "
            f"{size:,} in all"
        )
    try:
        if length > MOST_HEADER:
            raise ValueError(f"its header has {length:,} bytes; at most {MOST_HEADER:,} are read")
        header, values = bytes(data[8 : 8 + length]), data[8 + length :]
        entries, metadata = read_header(header)
        gaps = unclaimed(entries, len(values))
        named = [
            Named(e.name, e.dtype, e.shape, _bits(values[e.begin : e.end], e)) for e in entries
        ]
        if gaps:
            found = checkpoint(named, metadata)
        else:
            found = checkpoint(
                named, metadata, header=header, notes={_SHA256: hashlib.sha256(data).hexdigest()}
            )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if gaps:
        warnings.warn(
            f"{path}: {gaps:,} bytes belong to no tensor and are left out; all tensors are kept",
            stacklevel=2,
        )
    return found


def checkpoint(
    named: Iterable[Named],
    metadata: Mapping[str, str] | None = None,
    *,
    header: bytes | None = None,
    tied: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Tensors with what gives their file back.

    `tied`: other names of some of them; `header`: as it was, if there was one.
    Raises ValueError for more tensors, or longer names and notes, than a file can hold.
    """
    named, tied = list(named), dict(tied or {})
    if "__metadata__" in {one.name for one in named}:
        raise ValueError("no tensor can have the name __metadata__")
    if len(named) > MOST_TENSORS:
        raise ValueError(
            f"there are {len(named):,} tensors, and a file holds {MOST_TENSORS:,} at most"
        )
    found = {one.name: one for one in named}
    if header is None:
        header = write_header(
            [*named, *(_renamed(found[first], name) for name, first in tied.items())], metadata
        )
    kept = {f"{_METADATA}{key}": value for key, value in (metadata or {}).items()} | dict(
        notes or {}
    )
    if tied:
        kept[_TIED] = json.dumps(tied)
    tensors = [_tensor(one, place) for place, one in enumerate(named)]
    made = Checkpoint(tensors, tuple(found), kept)
    if _plain_header(made) != header:
        kept = {_HEADER: header.decode()} | {
            key: note for key, note in kept.items() if not key.startswith(_METADATA)
        }
        made = Checkpoint(tensors, tuple(found), kept)
    words = [*made.names, *kept, *kept.values()]
    if sum(len(word.encode()) + 5 for word in words) > 1 << 24:
        raise ValueError("its names and notes take more than 16 MiB, which a file cannot hold")
    return made


def pack(found: Checkpoint, source: Path, out: Path, *, smallest: bool = False) -> Packing:
    """Write the checkpoint found in `source` as a .shoe file, once what is written has been read
    back and compared.
    """
    began = perf_counter()
    check_target(source, out)
    there = seen(out)
    data = file.pack(found, smallest=smallest)
    again = file.unpack_any(data, 1 << 62)
    same = isinstance(again, Checkpoint) and (again.names, again.notes) == (
        found.names,
        found.notes,
    )
    if not same or not all(map(all_close, found.tensors, again.tensors)):
        raise ShoeError(
            "what was packed does not come back as it was; nothing is written: please report this"
        )
    save_new(out, data, there)
    return Packing(
        out, source.stat().st_size, len(data), perf_counter() - began, by_type(again.packed)
    )


def save_new(out: Path, data: bytes, there: tuple[int, int, int] | None) -> None:
    """Save where nothing else was written since `there` was `seen`; raises FileExistsError."""
    if seen(out) != there:
        raise FileExistsError(
            f"another command wrote {out} meanwhile, and it stays as it is; name another file to "
            "write"
        )
    save(out, data)


def check_target(source: Path, out: Path) -> None:
    """Raises OSError or ValueError where `out` is no place to write what is packed of `source`."""
    check_place(out)
    if out.exists() and out.samefile(source):
        raise ValueError(f"{out} is the checkpoint itself: name another file to write")


def by_type(tensors: Iterable[Packed]) -> tuple[tuple[str, int, int, int, int], ...]:
    """A line for each element type, as `Packing` has them."""
    kinds: dict[str, list[float]] = {}
    for packed in tensors:
        line = kinds.setdefault(ELEMENTS[packed.tensor.element][0], [0, 0, 0, 0])
        sizes = (
            1,
            packed.tensor.bits.size,
            packed.tensor.bits.nbytes,
            packed.model_bits / 8 + packed.raw_bytes,
        )
        line[:] = [a + b for a, b in zip(line, sizes, strict=True)]
    return tuple((name, *(int(n) for n in line)) for name, line in kinds.items())  # pyright: ignore[reportReturnType]


def seen(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from one that is written later in its place; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read(path: Path, max_bytes: int | None = None) -> Checkpoint:
    """The checkpoint in a .shoe file; `max_bytes`: None is `room`.

    Raises ShoeError for one that is damaged, or a model.
    """
    check_file(path)
    data = path.read_bytes()
    found = file.unpack_any(data, room(len(data)) if max_bytes is None else max_bytes)
    if not isinstance(found, Checkpoint):
        raise ShoeError(
            f"{path} is a model and no packed checkpoint: `shoestring export` gives it as ONNX, "
            "weights and all"
        )
    return found


def room(size: int) -> int:
    """The bytes in memory that a file of this size may ask for.

    What any honest checkpoint needs, and not without bound.
    """
    return max(file.MAX_BYTES, 16 * size)


def as_safetensors(found: Checkpoint) -> tuple[bytes, str]:
    """A .safetensors file of these tensors, and in words what it has of what was packed.

    Raises ShoeError.
    """
    places = {one.name: one.bits for one in everything(found)}
    try:
        header = _kept_header(found) or _plain_header(found)
        parts = [len(header).to_bytes(8, "little"), header]
        entries, _ = read_header(header)
        gaps = unclaimed(entries, max((entry.end for entry in entries), default=0))
        for entry in sorted(entries, key=lambda e: (e.begin, e.end)):
            bits = places.pop(entry.name)
            if bits.nbytes != entry.end - entry.begin:
                raise ValueError(f"{entry.name!r} is not as large as the header says")
            parts.append(little(bits))
    except (ValueError, KeyError) as error:
        raise ShoeError(f"damaged file: {error}") from None
    if gaps or places:
        raise ShoeError("damaged file: its header is not that of its tensors")
    data = b"".join(parts)
    wanted = found.notes.get(_SHA256)
    if wanted is not None and hashlib.sha256(data).hexdigest() != wanted:
        raise ShoeError("damaged file: what it gives is not the file that was packed")
    if wanted is not None:
        return data, "the file that was packed, byte for byte"
    beside = (
        "; a .pt file would have them nested as they were, and what was beside them"
        if STRUCTURE in found.notes
        else ""
    )
    return data, f"the tensors that were packed, bit for bit{beside}"


def everything(found: Checkpoint) -> list[Named]:
    """The tensors with their names, types and shapes, those of tied names too; raises ShoeError."""
    header = _kept_header(found)
    known = {} if header is None else {entry.name: entry for entry in _entries_of(header)}
    place = dict(zip(found.names, found.tensors, strict=True))
    try:
        tied = json.loads(found.notes.get(_TIED, "{}"))
        owners = {name: name for name in found.names} | tied
        tensors = {name: place[owner] for name, owner in owners.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ShoeError("damaged file: a tied name has no tensor") from None
    out: list[Named] = []
    for name, tensor in tensors.items():
        dtype, shape = _DTYPES[ELEMENTS[tensor.element][0]], tensor.bits.shape
        if entry := known.get(name):
            dtype, shape = entry.dtype, entry.shape
        if tensor.bits.nbytes != size_of(dtype, shape):
            raise ShoeError(f"damaged file: {name!r} is not as large as the header says")
        out.append(Named(name, dtype, shape, tensor.bits))
    return out


def tied(found: Checkpoint) -> dict[str, str]:
    """Names that share the tensor of another, with that one's; raises ShoeError."""
    everything(found)
    return json.loads(found.notes.get(_TIED, "{}"))


def _kept_header(found: Checkpoint) -> bytes | None:
    return found.notes[_HEADER].encode() if _HEADER in found.notes else None


def _entries_of(header: bytes) -> list[Entry]:
    try:
        return read_header(header)[0]
    except ValueError as error:
        raise ShoeError(f"damaged file: {error}") from None


def _plain_header(found: Checkpoint) -> bytes:
    metadata = {
        key.removeprefix(_METADATA): note
        for key, note in found.notes.items()
        if key.startswith(_METADATA)
    }
    bare = Checkpoint(
        found.tensors, found.names, {key: note for key, note in found.notes.items() if key == _TIED}
    )
    return write_header(everything(bare), metadata)


def _bits(values: memoryview, entry: Entry) -> np.ndarray:
    kind = unsigned(NUMBERS[KEPT[entry.dtype]])
    return np.frombuffer(values, kind.newbyteorder("<")).astype(kind, copy=False)


def _tensor(one: Named, place: int) -> Tensor:
    name = KEPT[one.dtype]
    if name == "bool" and one.bits.size and one.bits.max() > 1:
        name = "uint8"  # a truth value is 0 or 1 in our files
    wide = (WIDE[one.dtype],) if one.dtype in WIDE else ()
    return Tensor(NUMBERS[name], one.bits.reshape((*one.shape, *wide)), place)


def _renamed(one: Named, name: str) -> Named:
    return Named(name, one.dtype, one.shape, one.bits)


def all_close(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same type, shape and bits."""
    return one.element == other.element and np.array_equal(one.bits, other.bits)
