"""Bounds on the time and memory that ONNX Runtime takes to load a graph.

The graph may be hostile. All numbers here were measured with ONNX Runtime 1.32.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from shoestring.artifact.format.graph import Graph, Node
from shoestring.artifact.format.tensors import MOST_AXES, Tensor
from shoestring.artifact.wire import ShoeError

MOST_PARTS = 3 << 13
"""The most parts of a file with few bytes of tensors. ONNX Runtime takes about 0.7 s for so many,
and twice that for twice as many.
"""
MOST_TENSORS = 1 << 14
"""The most tensors and constants of a file with few bytes of tensors: the time grows with the
square of their number.
"""
FEW_PARTS = 1 << 11
"""The most parts of a graph that is optimised at load where there are few bytes of tensors: ONNX
Runtime searches for equal nodes in a time that grows with the square.
"""
_SHORT = 32  # characters of the name of an axis, with its bounds
_NODES = {
    "Attention": 256,
    "CausalConvWithState": 64,
    "CenterCropPad": 40,
    "GroupNormalization": 112,
    "HardSwish": 4,
    "LinearAttention": 256,
    "Mish": 5,
    "ReduceLogSumExp": 16,
    "Swish": 16,
}
"""For how many plain nodes some operators count: ONNX Runtime replaces them by many nodes."""

_Sized = tuple[Graph, Sequence[Tensor]]


def check(loads: Iterable[_Sized]) -> None:
    """Raises ShoeError where ONNX Runtime would take too long for these graphs together.

    `loads`: (graph, its tensors) of each entry of a file.
    """
    loads = list(loads)
    more = 1 + sum(_bytes(tensors) for _, tensors in loads) / 1e6
    parts = sum(_parts(graph, len(tensors)) for graph, tensors in loads)
    held = sum(len(tensors) + len(graph.constants) for graph, tensors in loads)
    for count, most, what in (
        (parts, MOST_PARTS * more, "parts (nodes, of which some count for many, and tensors)"),
        (held, MOST_TENSORS * math.sqrt(more), "tensors and constants"),
    ):
        if count > most:
            raise ShoeError(
                f"this graph is refused: it has {count:,} {what}, and with so few bytes of tensors "
                f"ONNX Runtime may load {most:,.0f}"
            )


def optimised(graph: Graph, tensors: Sequence[Tensor]) -> bool:
    """Whether the graph is small enough, for the bytes of its tensors, to be optimised at load."""
    return _parts(graph, len(tensors)) <= FEW_PARTS * math.sqrt(1 + _bytes(tensors) / 1e6)


def _parts(graph: Graph, tensors: int) -> int:
    """How much of everything a graph has; a reference, or an output of a node, is an eighth."""
    nodes = sum(_NODES.get(node.operator, 1) for node in graph.nodes)
    references = sum(len(node.inputs) + node.outputs for node in graph.nodes)
    ports = len(graph.inputs) + len(graph.outputs)
    return nodes + tensors + len(graph.constants) + ports + references // 8


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.bits.nbytes for tensor in tensors)


def named_shortly(graph: Graph) -> Graph:
    """The graph with short names of axes: ONNX Runtime copies them for each value."""
    names = {size for port in graph.inputs for size in port.shape if isinstance(size, str)}
    if all(len(name) <= _SHORT for name in names):
        return graph
    short = {name: f"n{index}" for index, name in enumerate(sorted(names))}
    inputs = tuple(
        replace(port, shape=tuple(short[n] if isinstance(n, str) else n for n in port.shape))
        for port in graph.inputs
    )
    return replace(graph, inputs=inputs)


def check_axes(graph: Graph, tensors: Sequence[Tensor]) -> None:
    """Raises ShoeError where a value may have more than MOST_AXES axes.

    ONNX Runtime infers the shape of every value while it loads, so a file of a hundred bytes could
    ask for gigabytes of axes.
    """
    axes: list[int] = [len(port.shape) for port in graph.inputs]
    lengths: list[float] = [_fixed(port.shape) for port in graph.inputs]
    contents: dict[int, Tensor] = {}
    for tensor in (*tensors, *graph.constants):
        contents[len(axes)] = tensor
        axes.append(tensor.bits.ndim)
        lengths.append(tensor.bits.size)
    shape_of: dict[int, int] = {}  # the input of a Shape node, by its output
    for node in graph.nodes:
        known = _Known(node, axes, lengths, contents, shape_of)
        most = known.axes()
        if most > MOST_AXES:
            said = f"{most:,.0f}" if math.isfinite(most) else "any number of"
            raise ShoeError(
                f"this graph is refused: the outputs of a {node.operator} may have {said} axes, "
                f"and ONNX Runtime may load {MOST_AXES}"
            )
        length = known.length()
        if node.operator == "Shape" and node.inputs[:1] not in ((), (None,)):
            shape_of[len(axes)] = node.inputs[0] or 0
        axes += [int(most)] * node.outputs
        lengths += [length] * node.outputs


def _fixed(shape: Sequence[int | str]) -> float:
    sizes = [size for size in shape if isinstance(size, int)]
    return math.prod(sizes) if len(sizes) == len(shape) else math.inf


# The axes of the outputs of operators that have another number of axes than their inputs.
_AXES = {
    "AffineGrid": 5,
    "BlackmanWindow": 1,
    "EyeLike": 2,
    "GRU": 4,
    "HammingWindow": 1,
    "HannWindow": 1,
    "LSTM": 4,
    "MaxRoiPool": 4,
    "MelWeightMatrix": 2,
    "NonMaxSuppression": 2,
    "NonZero": 2,
    "RNN": 4,
    "Range": 1,
    "RoiAlign": 4,
    "Shape": 1,
    "Size": 0,
    "Flatten": 2,
}
# The input that says how long a shape the output has.
_SHAPED = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0, "Col2Im": 1}
# Operators whose outputs have no more elements than the input, or than the larger of two inputs
# where both have one axis at most.
_NO_LONGER = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Compress",
        "CumSum",
        "Div",
        "Equal",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pow",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceMean",
        "Relu",
        "Reshape",
        "Round",
        "ScatterElements",
        "ScatterND",
        "Sign",
        "Slice",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "TopK",
        "Transpose",
        "Trilu",
        "Unique",
        "Unsqueeze",
        "Flatten",
        "Where",
        "Xor",
        "Dropout",
    ]
)
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class _Known:
    """What is known of the outputs of a node before anything is computed."""

    def __init__(
        self,
        node: Node,
        axes: Sequence[int],
        lengths: Sequence[float],
        contents: dict[int, Tensor],
        shape_of: dict[int, int],
    ) -> None:
        self.node, self._axes, self._lengths = node, axes, lengths
        self._contents, self._shape_of = contents, shape_of

    def _input(self, index: int) -> int | None:
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def _axes_of(self, index: int) -> int:
        number = self._input(index)
        return 0 if number is None else self._axes[number]

    def _length_of(self, index: int) -> float:
        """The most elements of an input; 0 if it is left out, infinity if nothing is known."""
        number = self._input(index)
        return 0 if number is None else self._lengths[number]

    def _listed(self, name: str) -> int:
        """The number of integers of an attribute."""
        value = self._attribute(name)
        return len(value) if isinstance(value, tuple) else 0

    def _largest(self) -> int:
        return max((self._axes[n] for n in self.node.inputs if n is not None), default=0)

    def axes(self) -> float:
        """The most axes of an output."""
        operator = self.node.operator
        if operator in _SHAPED:
            asked = max(self._length_of(_SHAPED[operator]), self._listed("shape"))
            return max(asked, self._axes_of(0) if operator == "Expand" else 0) + (
                2 if operator == "Col2Im" else 0
            )
        if operator == "Unsqueeze":
            return self._axes_of(0) + max(self._length_of(1), self._listed("axes"))
        if operator in ("Gather", "GatherND"):
            return max(self._axes_of(0) + self._axes_of(1) - 1, 0)
        if operator == "Einsum":
            return self._einsum_axes()
        if operator in ("OneHot", "STFT"):
            return self._axes_of(0) + 1
        if operator == "Squeeze" or (operator.startswith(("Reduce", "Arg")) and self._removes()):
            return max(self._axes_of(0) - self._removed(), 0)
        return _AXES.get(operator, self._largest())

    def _attribute(self, name: str) -> Any:
        return next((value for key, _, value in self.node.attributes if key == name), None)

    def _removes(self) -> bool:
        return self._attribute("keepdims") == 0

    def _removed(self) -> int:
        """The least number of axes that a node removes from its input."""
        if self.node.operator.startswith("Arg"):
            return 1
        number, listed = self._input(1), self._attribute("axes")
        if number in self._contents and self._contents[number].bits.dtype.itemsize == 8:
            listed = self._contents[number].array().reshape(-1).tolist()
        if not isinstance(listed, list | tuple):
            return 0
        # An axis may be counted from the front and from the back.
        return max(len({a for a in listed if a >= 0}), len({a for a in listed if a < 0}))

    def _einsum_axes(self) -> int:
        """The letters of the output of an equation, and the axes that its three dots stand for."""
        text = str(self._attribute("equation") or "")
        before, arrow, after = text.partition("->")
        dots = [
            self._axes_of(index) - len(_LETTERS & set(term))
            for index, term in enumerate(before.split(","))
            if "." in term
        ]
        return len(_LETTERS & set(after if arrow else before)) + max((0, *dots))

    def length(self) -> float:
        """The most elements of an output that may be a shape; infinity if nothing is known."""
        operator, numbers = self.node.operator, [n for n in self.node.inputs if n is not None]
        lengths = [self._lengths[number] for number in numbers]
        if operator == "Shape":
            return self._axes_of(0)
        if operator == "Size":
            return 1
        if operator == "Concat":
            return sum(lengths)
        if operator in ("Gather", "GatherND", "GatherElements"):
            return self._length_of(1) * (self._length_of(0) if self._axes_of(0) > 1 else 1)
        if operator in ("ConstantOfShape", "Expand") and numbers:
            asked = self._asked(numbers[-1])
            return asked if operator == "ConstantOfShape" else max(asked, lengths[0])
        if operator not in _NO_LONGER or not lengths:
            return math.inf
        flat = all(self._axes[number] <= 1 for number in numbers)
        return max(lengths) if flat or len(lengths) == 1 else math.prod(lengths)

    def _asked(self, number: int) -> float:
        """The product of the numbers of a shape; infinity if it is not known."""
        if number in self._contents and self._contents[number].bits.dtype.itemsize == 8:
            return math.prod(max(n, 1) for n in self._contents[number].array().reshape(-1).tolist())
        if number in self._shape_of:
            return self._lengths[self._shape_of[number]]
        return math.inf
