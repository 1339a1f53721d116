"""Packed checkpoints: `.safetensors` files in and out, bit for bit, without torch."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

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
from shoestring.artifact.format.saving import check_file, mapped
from shoestring.artifact.format.tensors import (
    ELEMENTS,
    MOST_TENSORS,
    NUMBERS,
    Tensor,
    little_endian,
    unsigned,
)
from shoestring.artifact.wire import ShoeError

_DTYPES = {element: dtype for dtype, element in reversed(KEPT.items())}
STRUCTURE = "structure"  # the note on how the tensors of a PyTorch file were nested
SHA256 = "sha256"  # the note with that of the file that was packed, in hexadecimal digits
SOURCE = "source.sha256"  # the same of a file that does not come back to the last byte
_QUOTES = 10_000  # in names, beside those around them
_HEADER, _TIED, _METADATA = "header", "tied", "metadata."


def is_safetensors(path: Path) -> bool:
    """Whether a file is a safetensors file, judged by its first bytes; False for one of PyTorch.

    Raises ValueError for what is neither.
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
    """Whether a file name asks for safetensors; False for PyTorch.

    Raises ValueError for other endings.
    """
    if path.suffix not in (".safetensors", ".pt", ".pth", ".bin"):
        raise ValueError(
            f"{path} must end in .safetensors, or in .pt, .pth or .bin for a file of PyTorch"
        )
    return path.suffix == ".safetensors"


def from_safetensors(path: Path) -> Checkpoint:
    """The tensors of a .safetensors file of any origin.

    The file is mapped, not read: it must stay unchanged while the checkpoint is used. A warning
    says how many bytes belong to no tensor. Raises ValueError for a damaged file.
    """
    map_of = mapped(path)
    data = memoryview(map_of or b"")
    size = len(data)
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
            Named(
                entry.name, entry.dtype, entry.shape, _bits(values[entry.begin : entry.end], entry)
            )
            for entry in entries
        ]
        content = checkpoint(named, metadata, header=None if gaps else header)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if gaps:
        warnings.warn(
            f"{path}: {gaps:,} bytes belong to no tensor and are left out; all tensors are kept",
            stacklevel=2,
        )
    return replace(content, map=map_of)


def checkpoint(
    named: Iterable[Named],
    metadata: Mapping[str, str] | None = None,
    *,
    header: bytes | None = None,
    tied: Mapping[str, str] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Tensors with the notes from which their file can be written again.

    `named`: the tensors.
    `metadata`: of the file.
    `header`: as it was; None to write it.
    `tied`: other names of some tensors, each with the name of its tensor.
    `notes`: further notes.
    Raises ValueError for more tensors, or longer names and notes, than a file can hold; a tied name
    counts as a tensor.
    """
    named, tied = list(named), dict(tied or {})
    if "__metadata__" in {tensor.name for tensor in named}:
        raise ValueError("no tensor can have the name __metadata__")
    if len(named) + len(tied) > MOST_TENSORS:
        raise ValueError(
            f"there are {len(named) + len(tied):,} tensors, and a file holds {MOST_TENSORS:,} at "
            "most (a tied name counts as one)"
        )
    by_name = {tensor.name: tensor for tensor in named}
    if header is None:
        header = write_header(
            [*named, *(_renamed(by_name[first], name) for name, first in tied.items())], metadata
        )
    kept = {f"{_METADATA}{key}": value for key, value in (metadata or {}).items()} | dict(
        notes or {}
    )
    if tied:
        kept[_TIED] = json.dumps(tied)
    tensors = [_tensor(tensor, member) for member, tensor in enumerate(named)]
    made = Checkpoint(tensors, tuple(by_name), kept)
    if _plain_header(made) != header:
        kept = {_HEADER: header.decode()} | {
            key: note for key, note in kept.items() if not key.startswith(_METADATA)
        }
        made = Checkpoint(tensors, tuple(by_name), kept)
    words = [*made.names, *kept, *kept.values()]
    if sum(len(word.encode()) + 5 for word in words) > 1 << 24:
        raise ValueError("its names and notes take more than 16 MiB, which a file cannot hold")
    return made


def read(path: Path, max_bytes: int | None = None, max_seconds: float | None = None) -> Checkpoint:
    """The checkpoint in a .shoe file.

    `max_bytes`: the most that its tensors may take in memory; None for `room` of its size.
    `max_seconds`: the most work that decoding them may be, as `load` takes it.
    Raises ShoeError for a damaged file, and for a model.
    """
    check_file(path)
    data = path.read_bytes()
    most = room(len(data)) if max_bytes is None else max_bytes
    content = file.unpack_any(data, most, max_seconds)
    if not isinstance(content, Checkpoint):
        raise ShoeError(
            f"{path} is a model and no packed checkpoint: `shoestring export` gives it as ONNX, "
            "weights and all"
        )
    return content


def room(size: int) -> int:
    """The bytes in memory that a file of `size` bytes may ask for.

    It is enough for any honest checkpoint, and bounded.
    """
    return max(file.MAX_BYTES, 16 * size)


def as_safetensors(content: Checkpoint, max_bytes: int | None = None) -> tuple[bytes, str]:
    """A .safetensors file of the tensors, and a text that says how much of the original it has.

    `max_bytes`: the most that the tensors may take in that file, where tied ones are repeated; None
        for `room` of what they take once.
    Raises ShoeError for a damaged checkpoint, and for one that asks for more.
    """
    once = sum(tensor.bits.nbytes for tensor in content.tensors)
    header, order, _ = layout(content, room(once) if max_bytes is None else max_bytes)
    data = b"".join(
        [
            len(header).to_bytes(8, "little"),
            header,
            *(little_endian(content.tensors[index].bits) for index in order),
        ]
    )
    return data, kept(content, hashlib.sha256(data).hexdigest())


class Layout(NamedTuple):
    """The .safetensors file of a checkpoint.

    `header`: its header.
    `order`: the indices of its tensors, in their order there.
    `size`: its length in bytes.
    """

    header: bytes
    order: list[int]
    size: int


def layout(content: Checkpoint, max_bytes: int, named: list[Named] | None = None) -> Layout:
    """What the .safetensors file of a checkpoint has, and where.

    `max_bytes`: the most that the tensors may take there.
    `named`: what `everything` said; None: ask it.
    Raises ShoeError for a damaged checkpoint, and for one that asks for more.
    """
    named = everything(content) if named is None else named
    sizes = {one.name: one.bits.nbytes for one in named}
    if (taken := sum(sizes.values())) > max_bytes:
        raise ShoeError(
            f"the {len(named):,} tensors of this file take {taken:,} bytes when they are unpacked, "
            f"more than the {max_bytes:,} that are allowed; if you trust this file, raise max_bytes"
        )
    owners = {name: index for index, name in enumerate(content.names)}
    owners |= {name: owners[owner] for name, owner in tied(content).items()}
    order: list[int] = []
    try:
        header = _kept_header(content) or write_header(named, _noted_metadata(content))
        entries, _ = read_header(header)
        gaps = unclaimed(entries, max((entry.end for entry in entries), default=0))
        for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
            if sizes.pop(entry.name) != entry.end - entry.begin:
                raise ValueError(f"{entry.name!r} is not as large as the header says")
            order.append(owners[entry.name])
    except (ValueError, KeyError) as error:
        raise ShoeError(f"damaged file: {error}") from None
    if gaps or sizes:
        raise ShoeError("damaged file: its header is not that of its tensors")
    return Layout(header, order, 8 + len(header) + taken)


def kept(content: Checkpoint, sha256: str) -> str:
    """How much of the original a .safetensors file of the tensors has, in words.

    `sha256`: of that file, in hexadecimal digits.
    Raises ShoeError where it must be the original and is not.
    """
    wanted = content.notes.get(SHA256)
    if wanted is not None and sha256 != wanted:
        raise ShoeError("damaged file: what it gives is not the file that was packed")
    if wanted is not None:
        return "the file that was packed, byte for byte"
    addition = (
        "; a .pt file would have them nested as they were, and what was beside them"
        if STRUCTURE in content.notes
        else ""
    )
    return f"the tensors that were packed, bit for bit{addition}"


def is_whole(content: Checkpoint) -> bool:
    """Whether a file that is mapped is the .safetensors file of its tensors, to the last byte."""
    if content.map is None:
        return False
    header, _, size = layout(content, 1 << 62)
    begin = len(header).to_bytes(8, "little") + header
    return size == len(content.map) and content.map[: len(begin)] == begin


def everything(content: Checkpoint) -> list[Named]:
    """All tensors with their names, types and shapes, also under tied names.

    Raises ShoeError for a damaged checkpoint.
    """
    tensor_of = dict(zip(content.names, content.tensors, strict=True))
    owners = dict(zip(content.names, content.names, strict=True)) | tied(content)
    header = _kept_header(content)
    known = {} if header is None else {entry.name: entry for entry in _entries_of(header)}
    named: list[Named] = []
    for name, owner in owners.items():
        tensor = tensor_of[owner]
        dtype, shape = _DTYPES[ELEMENTS[tensor.element][0]], tensor.bits.shape
        if entry := known.get(name):
            dtype, shape = entry.dtype, entry.shape
        if tensor.bits.nbytes != size_of(dtype, shape):
            raise ShoeError(f"damaged file: {name!r} is not as large as the header says")
        named.append(Named(name, dtype, shape, tensor.bits))
    return named


def tied(content: Checkpoint) -> dict[str, str]:
    """The names that share a tensor, each with the tensor's own name.

    Raises ShoeError for a damaged checkpoint.
    """
    names, text = set(content.names), content.notes.get(_TIED, "{}")
    if text.count('"') > 4 * MOST_TENSORS + _QUOTES or text.count("{") > MOST_TENSORS + _QUOTES:
        raise ShoeError("damaged file: more tied names than a file holds")
    try:
        owners = dict(json.loads(text).items())
        if not names.issuperset(owners.values()):
            raise ValueError
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ShoeError("damaged file: a tied name has no tensor") from None
    if not names.isdisjoint(owners):
        raise ShoeError("damaged file: a tied name is that of a tensor")
    if (count := len(names) + len(owners)) > MOST_TENSORS:
        raise ShoeError(
            f"damaged file: there are {count:,} names of tensors, and a file holds "
            f"{MOST_TENSORS:,} at most"
        )
    return owners


def metadata(content: Checkpoint) -> dict[str, str]:
    """The metadata of the .safetensors file that was packed; raises ShoeError."""
    header = _kept_header(content)
    try:
        return _noted_metadata(content) if header is None else read_header(header)[1]
    except ValueError as error:
        raise ShoeError(f"damaged file: {error}") from None


def _noted_metadata(content: Checkpoint) -> dict[str, str]:
    """The metadata in the notes, which are there where the header is not kept."""
    return {
        key.removeprefix(_METADATA): note
        for key, note in content.notes.items()
        if key.startswith(_METADATA)
    }


def _kept_header(content: Checkpoint) -> bytes | None:
    return content.notes[_HEADER].encode() if _HEADER in content.notes else None


def _entries_of(header: bytes) -> list[Entry]:
    try:
        return read_header(header)[0]
    except ValueError as error:
        raise ShoeError(f"damaged file: {error}") from None


def _plain_header(content: Checkpoint) -> bytes:
    bare = Checkpoint(
        content.tensors,
        content.names,
        {key: note for key, note in content.notes.items() if key == _TIED},
    )
    return write_header(everything(bare), _noted_metadata(content))


def _bits(values: memoryview, entry: Entry) -> np.ndarray:
    kind = unsigned(NUMBERS[KEPT[entry.dtype]])
    return np.frombuffer(values, kind.newbyteorder("<")).astype(kind, copy=False)


def _tensor(named: Named, member: int) -> Tensor:
    name = KEPT[named.dtype]
    if name == "bool" and named.bits.size and named.bits.max() > 1:
        name = "uint8"  # a bool is 0 or 1 in our files
    wide = (WIDE[named.dtype],) if named.dtype in WIDE else ()
    return Tensor(NUMBERS[name], named.bits.reshape((*named.shape, *wide)), member)


def _renamed(tensor: Named, name: str) -> Named:
    return Named(name, tensor.dtype, tensor.shape, tensor.bits)
