"""The layers that C is written for: what each reads, computes and writes.

A tensor between layers is a buffer: an array in the order in which ONNX has it, without a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod

import numpy as np

from shoestring.artifact.plain_c.sequences import Lookup, Recurrent, Running
from shoestring.artifact.plain_c.sign_layers import PackSigns, SignProduct
from shoestring.artifact.plain_c.windows import Pool, Rescale, Weights, Window

C_TYPES = {
    "float32": "float",
    "uint8": "uint8_t",
    "int8": "int8_t",
    "int32": "int32_t",
    "int64": "int32_t",
    "bool": "uint8_t",
}
"""The C type of each numpy type. Integers of 64 bits are indices: 32 bits hold them."""
BYTES = {"float": 4, "uint8_t": 1, "int8_t": 1, "int32_t": 4, "uint16_t": 2, "uint32_t": 4}


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """An array that a layer writes and others read.

    `number`: from 0; the inputs come first.
    `shape`: the lengths of its axes.
    `kind`: the C type of an element.
    """

    number: int
    shape: tuple[int, ...]
    kind: str

    @property
    def count(self) -> int:
        """How many elements it has."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Its size in bytes."""
        return self.count * BYTES[self.kind]


@dataclass(frozen=True, kw_only=True)
class Product:
    """A convolution or a product with constant weights, with what follows it.

    The sum, times a factor of its row, plus a bias, the largest of a window, within limits.

    `name`: for readers, such as "Conv (node 3)".
    `source`, `target`: the buffers.
    `bias`: float32, or int32 where the input is integers; one for each row.
    `factors`: float32, one or one for each row; None: 1.
    `after`: float32, added after the factor where the input is integers and the output is not; one
        for each row, or None.
    `low`, `high`: the limits of an element.
    `zero`: the integer of the input that stands for 0; None: the input is floats.
    `rescale`: None: the output is floats.
    `signs`: the output is packed signs of the numbers, which are floats.
    `other`: a buffer whose elements are added to those in the same place, before the limits.
    `added`: how that is done with integers; its first factor is that of the element.
    """

    name: str
    source: int
    target: int
    weights: Weights
    window: Window
    bias: np.ndarray
    factors: np.ndarray | None = None
    after: np.ndarray | None = None
    pool: Pool | None = None
    low: float = -np.inf
    high: float = np.inf
    zero: int | None = None
    rescale: Rescale | None = None
    signs: bool = False
    added: IntegerAdd | None = None
    other: int | None = None

    @property
    def multiplications(self) -> int:
        """How many products a run takes, without those of zeros and pads."""
        return int(self.weights.used.sum()) * prod(self.window.sums)

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        return (self.source,) if self.other is None else (self.source, self.other)

    @property
    def over(self) -> tuple[int, ...]:
        """The buffers that its target may take the place of while it runs."""
        return () if self.other in (None, self.source) else (self.other,)


@dataclass(frozen=True, kw_only=True)
class Operand:
    """What an element-wise layer reads.

    `buffer`: a buffer, or None for a constant.
    `constant`: its values, in any shape.
    `steps`: how far it moves for each axis of the layer.
    `start`: the element at which it begins.
    `kind`: its C type.
    `whole`: terms get the array and not an element of it.
    """

    buffer: int | None = None
    constant: np.ndarray | None = None
    steps: tuple[int, ...] = ()
    start: int = 0
    kind: str = "float"
    whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Term:
    """One operation of an element-wise layer.

    `text`: C with `{0}`, `{1}`, ... for its arguments; `{p}` for the prefix of names.
    `arguments`: an operand is its number, from 0; the result of an earlier term is -1, -2, ...
    `kind`: the C type of the result.
    `needs`: names of functions that it calls.
    """

    text: str
    arguments: tuple[int, ...]
    kind: str = "float"
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Pointwise:
    """Each element of the output from one of each operand.

    `axes`: the lengths of the axes, of which neighbours are joined where all operands allow it.
    `steps`, `start`: of the target, as in Operand.
    `fill`: what the target is set to before; None: nothing.
    """

    name: str
    target: int
    axes: tuple[int, ...]
    operands: tuple[Operand, ...]
    terms: tuple[Term, ...] = ()
    steps: tuple[int, ...] = ()
    start: int = 0
    fill: float | None = None

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        return tuple(one.buffer for one in self.operands if one.buffer is not None)

    @property
    def over(self) -> tuple[int, ...]:
        """The buffers that are read in the order in which the target is written."""
        if self.fill is not None or self.start:
            return ()
        same = [
            one.buffer
            for one in self.operands
            if one.buffer is not None
            and one.steps == self.steps
            and one.start == 0
            and not one.whole
        ]
        return tuple(one for one in same if self.reads.count(one) == same.count(one))


@dataclass(frozen=True, kw_only=True)
class OfOne(ABC):
    """A layer that reads one buffer: `source`. `name` and `target` are as in Product."""

    name: str
    source: int
    target: int

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        return (self.source,)

    @property
    @abstractmethod
    def over(self) -> tuple[int, ...]:
        """The buffers that its target may take the place of while it runs."""


@dataclass(frozen=True, kw_only=True)
class Reduce(OfOne):
    """The mean, sum, largest or smallest of windows, or the place of the largest.

    `how`: "mean", "sum", "max", "min" or "argmax".
    `outer`: (length, step in the source) of each axis of the output.
    `inner`: the same of each axis of a window.
    `zero`, `rescale`: as in Product, for means of integers.
    """

    how: str
    outer: tuple[tuple[int, int], ...]
    inner: tuple[tuple[int, int], ...]
    zero: int | None = None
    rescale: Rescale | None = None

    @property
    def over(self) -> tuple[int, ...]:
        """None: windows may be written before others are read."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Windowed(OfOne):
    """A pool that is a layer of its own: the largest or the mean of windows of an image.

    `how`: "max" or "mean".
    `window`: as of a convolution of one channel; `window.groups` is the number of channels.
    `counts_pads`: whether a mean is divided by the size of the whole window at borders too.
    """

    how: str
    window: Window
    counts_pads: bool = False

    @property
    def over(self) -> tuple[int, ...]:
        """None: windows overlap."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Softmax(OfOne):
    """The softmax over an axis: `outer` × `count` × `inner` elements."""

    outer: int
    count: int
    inner: int
    logarithm: bool = False

    @property
    def over(self) -> tuple[int, ...]:
        """The source: a slice is read before it is written."""
        return (self.source,)


@dataclass(frozen=True, kw_only=True)
class Rows(OfOne):
    """Rows of a constant table, chosen by indices: an embedding.

    `table`: (rows, width), float32.
    `start`, `step`: where the first row goes in the target, and how far apart rows are.
    """

    table: np.ndarray
    start: int = 0
    step: int = 0

    @property
    def over(self) -> tuple[int, ...]:
        """None."""
        return ()


@dataclass(frozen=True, kw_only=True)
class IntegerAdd:
    """The sum of two arrays of integers on grids, on a grid of its own.

    (a × `first` + b × `second` + `offset`) >> `shift`, within the limits of the type.
    `exceptions`: pairs for which the runtime's rounding gives another integer: (a, b, what to add).
    `near`: how near the lower bits of their sums are to 0 or 2^`shift`, at most.
    """

    name: str
    sources: tuple[int, int]
    target: int
    first: int
    second: int
    offset: int
    shift: int
    exceptions: tuple[tuple[int, int, int], ...] = ()
    near: int = 0

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        return self.sources

    @property
    def over(self) -> tuple[int, ...]:
        """Either source: each element is read where it is written."""
        return self.sources


@dataclass(frozen=True, kw_only=True)
class Multiply:
    """The product of two computed matrices, for each of a batch.

    `batch`: (length, step in the first, step in the second) of each axis.
    `rows`, `inner`, `columns`: (rows × inner) · (inner × columns).
    """

    name: str
    sources: tuple[int, int]
    target: int
    batch: tuple[tuple[int, int, int], ...]
    rows: int
    inner: int
    columns: int

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        return self.sources

    @property
    def over(self) -> tuple[int, ...]:
        """None: elements are read many times."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Normalize(OfOne):
    """Each slice with mean 0 and variance 1, then times `scale`, plus `shift`.

    `outer`, `count`: how many slices there are, one after the other, and their length.
    `scale`, `shift`: float32, one number for each element of a slice, or, where `by_slice`, for
        each slice.
    `epsilon`: is added to the variance.
    """

    outer: int
    count: int
    scale: np.ndarray
    shift: np.ndarray
    by_slice: bool
    epsilon: float

    @property
    def over(self) -> tuple[int, ...]:
        """The source: an element is written where it was read last."""
        return (self.source,)


Other = PackSigns | Multiply | Normalize | Pointwise | Reduce | Windowed | Softmax | Rows
Sequential = Recurrent | Lookup | Running
Layer = Product | SignProduct | IntegerAdd | Other | Sequential


@dataclass(frozen=True, kw_only=True)
class Network:
    """Layers in the order in which they run, and the buffers between them.

    `inputs`, `outputs`: (name, buffer) of each.
    `output_shapes`: the shape of each output, which its buffer may have in another way.
    `grids`: (buffer, scale, zero) of inputs that are taken as integers of 8 bits.
    `fixed`: the axes that could vary, with the lengths that they have in C.
    `remarks`: what a reader of the C should know, in whole sentences.
    """

    layers: tuple[Layer, ...]
    buffers: tuple[Buffer, ...]
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]
    output_shapes: tuple[tuple[int, ...], ...]
    fixed: tuple[tuple[str, int], ...]
    grids: tuple[tuple[int, float, int], ...] = ()
    remarks: tuple[str, ...] = ()
