"""Tensors as bits, and the ways in which a file keeps them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from shoestring.artifact.wire import Reader

# ONNX element types, by number: name, bytes an element
ELEMENTS = {
    1: ("float32", 4),
    2: ("uint8", 1),
    3: ("int8", 1),
    4: ("uint16", 2),
    5: ("int16", 2),
    6: ("int32", 4),
    7: ("int64", 8),
    9: ("bool", 1),
    10: ("float16", 2),
    11: ("float64", 8),
    12: ("uint32", 4),
    13: ("uint64", 8),
    16: ("bfloat16", 2),
}
NUMBERS = {name: number for number, (name, _) in ELEMENTS.items()}
RAW, LEVELS, SPARSE, PLANES, CONTEXT, GRID, GRIDS, ZEROS = range(8)
CODINGS = ("raw", "levels", "sparse", "planes", "levels", "grid", "grid", "zeros")
INTEGER_FORM, HALF, BFLOAT16 = range(
    3
)  # how levels of a float32 tensor are kept: as they are, as float16, as bfloat16
FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int8", "int16")
"""Those whose values a grid may hold as they are."""
MOST_AXES = 32
MOST_TENSORS = 1 << 15


@dataclass(frozen=True)
class Tensor:
    """A tensor's bits: `bits` is an unsigned array in its shape, `element` its ONNX element type.

    `member` is its place among the module's distinct parameters and buffers, None for a constant of
    the graph.
    """

    element: int
    bits: np.ndarray
    member: int | None = None

    def array(self) -> np.ndarray:
        """The values; raises TypeError for bfloat16, which numpy has not."""
        name = ELEMENTS[self.element][0]
        if name == "bfloat16":
            raise TypeError("numpy has no bfloat16")
        return self.bits.view(np.dtype(name))


def tensor(values: np.ndarray, member: int | None = None) -> Tensor:
    """A Tensor of a numpy array; raises TypeError for a type that a file cannot hold."""
    if values.dtype.name not in NUMBERS:
        raise TypeError(f"a file cannot hold tensors of type {values.dtype.name}")
    element = NUMBERS[values.dtype.name]
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))).reshape(
        values.shape
    )
    return Tensor(element, values.view(unsigned(element)), member)


def unsigned(element: int) -> np.dtype:
    """The unsigned type of an element's width."""
    return np.dtype(f"u{ELEMENTS[element][1]}")


@dataclass
class Packed:
    """How one tensor is kept, and what each part of it takes.

    `model_bits` of the shared stream, `raw_bytes`, `header_bytes`.
    `levels`: how many it has, 0 where it is not kept by levels.
    `steps`: of a grid, one or one for each slice along axis 0.
    """

    tensor: Tensor = field(default_factory=lambda: Tensor(1, np.empty(0, np.uint32)))
    coding: int = RAW
    model_bits: float = 0.0
    raw_bytes: int = 0
    header_bytes: int = 0
    levels: int = 0
    scales: np.ndarray | None = None


def little(values: np.ndarray) -> bytes:
    """The values, lowest byte first."""
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def turned(element: int, bits: np.ndarray, by: int) -> np.ndarray:
    """Bits with the sign of a floating-point type moved behind the fraction (`by` 1), or back (`by`
    -1).
    """
    if ELEMENTS[element][0] not in FLOATS:
        return bits
    width = 8 * bits.dtype.itemsize
    left, right = (1, width - 1) if by > 0 else (width - 1, 1)
    return (bits << bits.dtype.type(left)) | (bits >> bits.dtype.type(right))


def numbered(element: int, levels: np.ndarray) -> np.ndarray:
    """Levels (bits) as numbers that can be put in order: floats of 64 bits, or whole numbers."""
    name = ELEMENTS[element][0]
    numbers = (
        (levels.astype(np.uint32) << 16).view(np.float32)
        if name == "bfloat16"
        else levels.view(np.dtype(name))
    )
    with np.errstate(invalid="ignore"):  # of what is not a number
        return numbers.astype(np.float64) if name in FLOATS else numbers


def multiples(levels: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The bits of float32 products of whole numbers and steps (both rounded to float32 as such),
    never a negative zero.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return (levels.astype(np.float32) * scales.astype(np.float32) + np.float32(0)).view(
            np.uint32
        )


def read_element(reader: Reader) -> int:
    """The next element type."""
    element = reader.byte()
    if element not in ELEMENTS:
        raise reader.fail(f"there is no element type {element}")
    return element


def read_shape(reader: Reader) -> tuple[int, ...]:
    """The next shape: how many axes, then them."""
    return read_axes(reader, reader.varint(MOST_AXES))


def read_axes(reader: Reader, count: int) -> tuple[int, ...]:
    """The next `count` axes, of a shape that numpy can have even where one is empty."""
    shape = tuple(reader.varint(1 << 40) for _ in range(count))
    if math.prod(size or 1 for size in shape) > 1 << 40:
        raise reader.fail(f"no tensor has the shape {shape}")
    return shape


def read_plain(reader: Reader, element: int, kind: np.dtype, count: int) -> np.ndarray:
    """The next `count` values of an unsigned type; `element` says what they are bits of."""
    data = np.frombuffer(reader.take(count * kind.itemsize), kind.newbyteorder("<")).astype(kind)
    if ELEMENTS[element][0] == "bool" and (data > 1).any():
        raise reader.fail("a truth value is neither 0 nor 1")
    return data
