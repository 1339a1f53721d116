"""The safetensors format: a header that is checked and written, without a package for it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoestring.artifact.format.tensors import ELEMENTS, MOST_AXES, NUMBERS

# The element type that keeps the bits of each safetensors type. 8-bit floats are kept as bytes, and
# complex numbers as two parts; the header, which is then kept too, has their type.
KEPT = {
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F64": "float64",
    "BOOL": "bool",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "C64": "float32",
    "F8_E4M3": "uint8",
    "F8_E5M2": "uint8",
    "F8_E8M0": "uint8",
    "F8_E4M3FNUZ": "uint8",
    "F8_E5M2FNUZ": "uint8",
}
WIDE = {"C64": 2}  # elements per number
_MOST_NESTS = 300_000  # brackets of a header beside three for each tensor; each becomes an object
MOST_HEADER = 8_000_000  # bytes; the names and notes of a file may have 2^24 in all


@dataclass(frozen=True)
class Named:
    """A tensor as safetensors has it.

    `name`: of the tensor.
    `dtype`: the type's name there, such as "F32".
    `shape`: of the tensor.
    `bits`: an unsigned array with its bits, in any shape.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bits: np.ndarray


@dataclass(frozen=True)
class Entry:
    """A tensor in a header.

    `name`, `dtype`, `shape`: as in `Named`.
    `begin`, `end`: its bytes, counted from the header's end.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def write_header(named: list[Named], metadata: Mapping[str, str] | None) -> bytes:
    """The header that the safetensors package writes, padded to a multiple of 8 bytes.

    Wide types come first in the data, for alignment; otherwise the order is kept.
    Raises ValueError for a name that is not text, and for a header that is too long.
    """
    ranges: dict[str, list[int]] = {}
    at = 0
    for tensor in sorted(named, key=lambda tensor: -size_of(tensor.dtype, ())):
        ranges[tensor.name] = [at, at := at + size_of(tensor.dtype, tensor.shape)]
    tree: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for tensor in named:
        tree[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": ranges[tensor.name],
        }
    text = json.dumps(tree, ensure_ascii=False, separators=(",", ":"))
    try:
        header = text.encode()
    except UnicodeEncodeError:
        raise ValueError("a name is no text: it has half of a pair of surrogates") from None
    if len(header) > MOST_HEADER:
        raise ValueError(
            f"the names and shapes take {len(header):,} bytes; at most {MOST_HEADER:,} can be kept"
        )
    return header + b" " * (-len(header) % 8)


def read_header(header: bytes) -> tuple[list[Entry], dict[str, str]]:
    """The entries of a header in its order, and its metadata.

    Raises ValueError for a header that is not valid; every part is checked.
    """
    nests = header.count(b"{") + header.count(b"[")
    if len(header) > MOST_HEADER or nests > _MOST_NESTS + 3 * header.count(b'"dtype"'):
        raise ValueError(f"a header of {len(header):,} bytes and {nests:,} brackets is not read")
    try:
        pairs = json.loads(header.decode(), object_pairs_hook=_Pairs, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the header is no JSON ({error}): is this a .safetensors file?") from None
    if not isinstance(pairs, _Pairs):
        raise ValueError("the header is no JSON object: is this a .safetensors file?")
    tensors = pairs.unique("the header")
    notes = tensors.pop("__metadata__", _Pairs())
    if not isinstance(notes, _Pairs) or not all(isinstance(value, str) for _, value in notes):
        raise ValueError("the metadata must be texts by name")
    metadata = notes.unique("the metadata")
    return [_entry(name, about) for name, about in tensors.items()], metadata


class _Pairs(list):
    """The pairs of a JSON object, whose keys may repeat."""

    def unique(self, what: str) -> dict[str, Any]:
        """The object; raises ValueError where a key repeats."""
        unique = dict(self)
        if len(unique) < len(self):
            twice, _ = Counter(key for key, _ in self).most_common(1)[0]
            raise ValueError(f"{what} has the name {twice!r} twice")
        return unique


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _entry(name: str, about: Any) -> Entry:
    if not isinstance(about, _Pairs):
        raise ValueError(f"{name!r} is not described by an object")
    fields = about.unique(f"the description of {name!r}")
    if fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(
            f"{name!r} needs a dtype, a shape and data_offsets, and has "
            f"{', '.join(fields) or 'nothing'}"
        )
    dtype, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(dtype, str) or dtype not in KEPT:
        raise ValueError(
            f"{name!r} is of type {dtype!r}, which cannot be packed; it may be one of "
            f"{', '.join(KEPT)}"
        )
    if (
        not _is_list_of_counts(shape)
        or len(shape) > MOST_AXES - 1
        or math.prod(size or 1 for size in shape) > 1 << 39
    ):
        raise ValueError(f"{name!r} cannot have the shape {str(shape)[:100]}")
    if not _is_list_of_counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{name!r} needs two offsets, and has {str(offsets)[:100]}")
    begin, end = offsets
    if end - begin != size_of(dtype, tuple(shape)):
        raise ValueError(
            f"{name!r} has {end - begin:,} bytes, and {dtype} {shape} takes "
            f"{size_of(dtype, tuple(shape)):,}"
        )
    return Entry(name, dtype, tuple(shape), begin, end)


def _is_list_of_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 62 for n in value)


def unclaimed(entries: list[Entry], size: int) -> int:
    """The number of bytes that belong to no tensor.

    `size`: bytes of data.
    Raises ValueError where a byte belongs to two tensors or is missing.
    """
    used, last = 0, ""
    gaps = 0
    for entry in sorted(entries, key=lambda e: (e.begin, e.end)):
        if entry.end > size:
            raise ValueError(
                f"{entry.name!r} ends at byte {entry.end:,} of {size:,}: the file is cut short; "
                "copy it again"
            )
        if entry.begin < used:
            raise ValueError(f"{last!r} and {entry.name!r} overlap")
        gaps, used, last = gaps + entry.begin - used, entry.end, entry.name
    return gaps + size - used


def size_of(dtype: str, shape: tuple[int, ...]) -> int:
    """The bytes of a tensor."""
    return math.prod(shape) * WIDE.get(dtype, 1) * ELEMENTS[NUMBERS[KEPT[dtype]]][1]
