"""How the integers of weights lie in flash, and how C code reads them one after the other.

The loops of a layer read its weights in one order: row by row, a row being the weights of one
output channel (input channel, then kernel row, then kernel column, as ONNX stores them). A row is
read once for each run of the network, and what is not zero in it is kept in RAM as a sparse
list, of taps, until the channel is computed. So a way to store weights needs no more than a
function that gives the next integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Codes:
    """The weights of one layer as small integers.

    `name`: for comments in the C file, such as "layer 3".
    `integers`: int32, (rows, columns), in the order in which the layer reads them. 0 is the weight
        0 wherever the layer has zeros, so a reader may say how many zeros come next.
    """

    name: str
    integers: np.ndarray

    @property
    def lowest(self) -> int:
        """The smallest integer."""
        return int(self.integers.min(initial=0))

    @property
    def highest(self) -> int:
        """The largest integer."""
        return int(self.integers.max(initial=0))


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The integers of all layers in flash, with the C code that reads them.

    `text`: C at file scope, all of it `static`, in which FLASH stands for the qualifier of what
        is in flash: constants, a `struct PREFIX_reader` and the
        functions
        `static void PREFIX_open(struct PREFIX_reader *reader, int tensor)`, which starts to read
        the tensor of this index, and
        `static int PREFIX_next(struct PREFIX_reader *reader)`, which gives its next integer.
        Tensors are read in their order, each from its beginning to its end, once in a run.
    `flash_bytes`: the constants in flash, without code.
    `ram_bytes`: about what `struct PREFIX_reader` takes.
    `about`: one line for the comment at the head of the C file, such as "3,211 weights in 1,020
        bytes".
    `resumed`: whether a tensor is read on from where the one before ended, so that all layers
        share a reader. Where each can have its own, the compiler keeps it in registers.
    """

    text: str
    flash_bytes: int
    ram_bytes: int
    about: str
    resumed: bool = True


class WeightStorage(Protocol):
    """A way to keep weights that are not plain constants: `Packed()` or `Coded()`."""

    def stream(self, tensors: Sequence[Codes], prefix: str) -> Stream:
        """The integers of these tensors, which are never none, as C.

        `prefix`: what every name in the text begins with.
        """
        ...


@dataclass(frozen=True)
class Decoded:
    """Weights as constants, ready to use: most flash, fewest instructions."""

    def stream(self, tensors: Sequence[Codes], prefix: str) -> Stream:
        """Each integer in a byte, or in two where one does not hold it."""
        low = min(codes.lowest for codes in tensors)
        high = max(codes.highest for codes in tensors)
        kind = "int8_t" if low >= -128 and high <= 127 else "int16_t"
        data = np.concatenate([codes.integers.reshape(-1) for codes in tensors])
        starts = np.cumsum([0, *(codes.integers.size for codes in tensors[:-1])])
        lines = (data[at : at + 20] for at in range(0, len(data), 20))
        text = _DECODED.format(
            prefix=prefix,
            kind=kind,
            data="\n".join("    " + " ".join(f"{one}," for one in line) for line in lines),
            starts=", ".join(f"{start}u" for start in starts),
        )
        width = 1 if kind == "int8_t" else 2
        return Stream(
            text=text,
            flash_bytes=len(data) * width + 4 * len(tensors),
            ram_bytes=4,
            about=f"{len(data):,} weights as constants of {width} byte{'s' * (width > 1)}",
            resumed=False,
        )


@dataclass(frozen=True)
class Packed:
    """Weights as indices of few bits, taken apart one by one: less flash."""

    def stream(self, tensors: Sequence[Codes], prefix: str) -> Stream:
        """Each tensor with as many bits for an integer as its range needs."""
        data = bytearray()
        tables: list[tuple[int, int, int]] = []
        for codes in tensors:
            width = max(1, int(codes.highest - codes.lowest).bit_length())
            tables.append((len(data), width, codes.lowest))
            data += _bits(codes.integers.reshape(-1) - codes.lowest, width)
        words = [f"    {{{at}u, {width}, {lowest}}}," for at, width, lowest in tables]
        count = sum(codes.integers.size for codes in tensors)
        text = _PACKED.format(
            prefix=prefix, data=c_bytes(bytes(data) + b"\0\0\0\0"), tensors="\n".join(words)
        )
        return Stream(
            text=text,
            flash_bytes=len(data) + 4 + 8 * len(tables),
            ram_bytes=16,
            about=f"{count:,} weights packed in {len(data):,} bytes",
            resumed=False,
        )


def _bits(numbers: np.ndarray, width: int) -> bytes:
    """Numbers of `width` bits each, the lowest bit first."""
    bits = (numbers.astype(np.int64)[:, None] >> np.arange(width)) & 1
    return np.packbits(bits.astype(np.uint8).reshape(-1), bitorder="little").tobytes()


def c_bytes(data: bytes) -> str:
    """Bytes as the items of a C array, sixteen in a line."""
    lines = (data[at : at + 16] for at in range(0, len(data), 16))
    return "\n".join("    " + " ".join(f"{byte}," for byte in line) for line in lines)


_DECODED = """\
/* Weights, and where those of each layer begin. */
static const FLASH {kind} {prefix}_data[] = {{
{data}
}};

static const FLASH uint32_t {prefix}_starts[] = {{{starts}}};

struct {prefix}_reader {{
    const FLASH {kind} *at;
}};

static void {prefix}_open(struct {prefix}_reader *reader, int tensor)
{{
    reader->at = {prefix}_data + {prefix}_starts[tensor];
}}

static int {prefix}_next(struct {prefix}_reader *reader)
{{
    return *reader->at++;
}}
"""
_PACKED = """\
/* Weights as integers of few bits, the lowest bit first. */
static const FLASH uint8_t {prefix}_data[] = {{
{data}
}};

struct {prefix}_tensor {{
    uint32_t at;    /* its first byte */
    uint8_t width;  /* the bits of an integer */
    int16_t lowest; /* is added to each */
}};

static const FLASH struct {prefix}_tensor {prefix}_tensors[] = {{
{tensors}
}};

struct {prefix}_reader {{
    const FLASH uint8_t *at;
    uint32_t bits;
    uint8_t count; /* the bits that are left in `bits` */
    uint8_t width;
    int16_t lowest;
}};

static void {prefix}_open(struct {prefix}_reader *reader, int tensor)
{{
    reader->at = {prefix}_data + {prefix}_tensors[tensor].at;
    reader->bits = 0;
    reader->count = 0;
    reader->width = {prefix}_tensors[tensor].width;
    reader->lowest = {prefix}_tensors[tensor].lowest;
}}

static int {prefix}_next(struct {prefix}_reader *reader)
{{
    uint32_t code;
    while (reader->count < reader->width) {{
        reader->bits |= (uint32_t)*reader->at++ << reader->count;
        reader->count = (uint8_t)(reader->count + 8);
    }}
    code = reader->bits & (((uint32_t)1 << reader->width) - 1u);
    reader->bits >>= reader->width;
    reader->count = (uint8_t)(reader->count - reader->width);
    return (int)code + reader->lowest;
}}
"""
