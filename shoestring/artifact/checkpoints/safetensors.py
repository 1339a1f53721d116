"""The safetensors format: what its header says, checked and written.

Files of this kind are anybody's; needs no package.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoestring.artifact.format.tensors import ELEMENTS, MOST_AXES, NUMBERS

# What safetensors calls its types, and the element that has their bits. Of 8-bit floats we keep the
# bytes, of complex numbers both parts; the header, kept then, says what they are.
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
WIDE = {"C64": 2}  # elements to a number
MOST_HEADER = 8_000_000  # bytes; names and notes of a file may together be 2^24


@dataclass(frozen=True)
class Named:
    """A tensor as safetensors has it.

    `dtype` is the word there ("F32"), `bits` an unsigned array, in any shape.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bits: np.ndarray


@dataclass(frozen=True)
class Entry:
    """A line of a header: a tensor's name, type, shape, and the bytes that are its, counted from
    the header's end.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def write_header(named: list[Named], metadata: Mapping[str, str] | None) -> bytes:
    """As the safetensors package writes it: wide types first, for alignment, otherwise in order.

    Padded to whole words.
    """
    ends: dict[str, list[int]] = {}
    at = 0
    for one in sorted(named, key=lambda one: -size_of(one.dtype, ())):
        ends[one.name] = [at, at := at + size_of(one.dtype, one.shape)]
    tree: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for one in named:
        tree[one.name] = {
            "dtype": one.dtype,
            "shape": list(one.shape),
            "data_offsets": ends[one.name],
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
    """What a header lists, in its order, and its metadata; nothing in it is believed.

    Raises ValueError.
    """
    try:
        pairs = json.loads(header.decode(), object_pairs_hook=_Pairs, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the header is no JSON ({error}): is this a .safetensors file?") from None
    if not isinstance(pairs, _Pairs):
        raise ValueError("the header is no JSON object: is this a .safetensors file?")
    found = pairs.unique("the header")
    about = found.pop("__metadata__", _Pairs())
    if not isinstance(about, _Pairs) or not all(isinstance(value, str) for _, value in about):
        raise ValueError("the metadata must be texts by name")
    metadata = about.unique("the metadata")
    return [_entry(name, one) for name, one in found.items()], metadata


class _Pairs(list):
    """A JSON object before its keys are known to be different."""

    def unique(self, what: str) -> dict[str, Any]:
        """The object; raises ValueError where a key is there twice."""
        found = dict(self)
        if len(found) < len(self):
            twice, _ = Counter(key for key, _ in self).most_common(1)[0]
            raise ValueError(f"{what} has the name {twice!r} twice")
        return found


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
        not _counts(shape)
        or len(shape) > MOST_AXES - 1
        or math.prod(size or 1 for size in shape) > 1 << 39
    ):
        raise ValueError(f"{name!r} cannot have the shape {str(shape)[:100]}")
    if not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"{name!r} needs two offsets, and has {str(offsets)[:100]}")
    begin, end = offsets
    if end - begin != size_of(dtype, tuple(shape)):
        raise ValueError(
            f"{name!r} has {end - begin:,} bytes, and {dtype} {shape} takes "
            f"{size_of(dtype, tuple(shape)):,}"
        )
    return Entry(name, dtype, tuple(shape), begin, end)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 62 for one in value)


def unclaimed(entries: list[Entry], size: int) -> int:
    """How many of the bytes belong to no tensor.

    Raises ValueError where one belongs to two, or is not there.
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
    return math.prod(shape) * WIDE.get(dtype, 1) * ELEMENTS[NUMBERS[KEPT[dtype]]][1]
