"""Tensors as bits, and the codings and forms in which a file stores them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from shoestring.artifact.wire import Reader

# (name, bytes of an element) of each ONNX element type, by its number
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
RAW, LEVELS, SPARSE, PLANES, CONTEXT, GRID, GRIDS, ZEROS, BLOCKS = range(9)
CODINGS = ("raw", "levels", "sparse", "planes", "levels", "grid", "grid", "zeros", "blocks")
# The form of levels and scales: as they are, as float16, as bfloat16 (the last two for float32).
INTEGER_FORM, HALF, BFLOAT16 = range(3)
FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int8", "int16")
"""The types whose values a grid may hold as they are, without a scale."""
MOST_AXES = 32
MOST_TENSORS = 1 << 15


@dataclass(frozen=True)
class Tensor:
    """A tensor as bits.

    `element`: its ONNX element type, a key of ELEMENTS.
    `bits`: an array of unsigned integers as wide as its elements, in its shape.
    `member`: its index among the module's distinct parameters and buffers; None for a constant of
        the graph.
    """

    element: int
    bits: np.ndarray
    member: int | None = None

    def array(self) -> np.ndarray:
        """The values; raises TypeError for bfloat16, a type that numpy does not have."""
        name = ELEMENTS[self.element][0]
        if name == "bfloat16":
            raise TypeError("numpy has no bfloat16")
        return self.bits.view(np.dtype(name))


def tensor(values: np.ndarray, member: int | None = None) -> Tensor:
    """The Tensor with the values of a numpy array.

    `member`: as in Tensor. Raises TypeError for a type that a file cannot hold.
    """
    if values.dtype.name not in NUMBERS:
        raise TypeError(f"a file cannot hold tensors of type {values.dtype.name}")
    element = NUMBERS[values.dtype.name]
    values = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="))).reshape(
        values.shape
    )
    return Tensor(element, values.view(unsigned(element)), member)


def unsigned(element: int) -> np.dtype:
    """The unsigned integer type that is as wide as an element of this ONNX element type."""
    return np.dtype(f"u{ELEMENTS[element][1]}")


@dataclass
class Packed:
    """How a file codes a tensor, and how much each part of it takes.

    `tensor`: the tensor.
    `coding`: RAW, LEVELS, ...
    `model_bits`: its part of the code stream, in bits, by the model of its symbols.
    `raw_bytes`: its part of the plain values, in bytes.
    `header_bytes`: its part of the tensor list, in bytes.
    `levels`: how many levels it has; 0 if it is not coded by levels.
    `scales`: the scales of a float32 grid, one or one for each slice along axis 0; otherwise None.
    """

    tensor: Tensor = field(default_factory=lambda: Tensor(1, np.empty(0, np.uint32)))
    coding: int = RAW
    model_bits: float = 0.0
    raw_bytes: int = 0
    header_bytes: int = 0
    levels: int = 0
    scales: np.ndarray | None = None


def little_endian(values: np.ndarray) -> bytes:
    """The values in bytes, each with its lowest byte first."""
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def rotated(element: int, bits: np.ndarray, by: int) -> np.ndarray:
    """Bits of floating-point elements with the sign moved below the fraction, or back.

    `element`: their ONNX element type; the bits of integers and bools are not changed.
    `by`: 1 moves the sign below the fraction, -1 moves it back to the top.
    """
    if ELEMENTS[element][0] not in FLOATS:
        return bits
    width = 8 * bits.dtype.itemsize
    left, right = (1, width - 1) if by > 0 else (width - 1, 1)
    return (bits << bits.dtype.type(left)) | (bits >> bits.dtype.type(right))


def numbered(element: int, levels: np.ndarray) -> np.ndarray:
    """Levels, given as bits, as numbers that can be sorted: float64, or integers as they are."""
    name = ELEMENTS[element][0]
    numbers = (
        (levels.astype(np.uint32) << 16).view(np.float32)
        if name == "bfloat16"
        else levels.view(np.dtype(name))
    )
    with np.errstate(invalid="ignore"):  # NaN
        return numbers.astype(np.float64) if name in FLOATS else numbers


def multiples(levels: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The bits of the float32 products of integers and scales, never a negative zero.

    `levels`: integers, rounded to float32 before the product.
    `scales`: the scales, rounded to float32 likewise, in a shape that broadcasts to the levels.
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
    """The next shape: the number of axes, then the length of each."""
    return read_axes(reader, reader.varint(MOST_AXES))


def read_axes(reader: Reader, count: int) -> tuple[int, ...]:
    """The lengths of the next `count` axes.

    Raises ShoeError where the product of those that are not 0 is over 2^40: numpy refuses some
    shapes even if another axis is empty.
    """
    shape = tuple(reader.varint(1 << 40) for _ in range(count))
    if math.prod(size or 1 for size in shape) > 1 << 40:
        raise reader.fail(f"no tensor has the shape {shape}")
    return shape


def read_plain(reader: Reader, element: int, kind: np.dtype, count: int) -> np.ndarray:
    """The next `count` values, as bits.

    `element`: the ONNX element type of the tensor; a bool must be 0 or 1.
    `kind`: the unsigned integer type in which they are stored.
    """
    data = np.frombuffer(reader.take(count * kind.itemsize), kind.newbyteorder("<")).astype(kind)
    if ELEMENTS[element][0] == "bool" and (data > 1).any():
        raise reader.fail("a bool is neither 0 nor 1")
    return data
