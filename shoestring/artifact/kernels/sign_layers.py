"""Which nodes of a graph are convolutions and products of signs, which a kernel computes.

A file holds such a layer in ONNX's own operators, so that every ONNX runtime can run it:
`Where(Less(x, 0), -1, 1)`, optionally a `Pad` with 1, a `Conv`, `Gemm` or `MatMul` with one
magnitude of weights in each filter, and optionally a `Mul` with a scale for each. Graphs come from
anywhere. A layer that differs is left to the runtime, which also reports what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from shoestring.artifact.format.graph import INT, INTS, Graph, Node
from shoestring.artifact.format.tensors import NUMBERS, Tensor
from shoestring.artifact.kernels import signs

LEAST_INPUTS = 64
"""The fewest inputs of a sum: with fewer, packing takes longer than the bits save."""
MOST_LAYERS = 64
"""A graph with more layers runs without kernels: each needs another ONNX Runtime session."""
_MOST_TAPS, _MOST_PADS = 256, 64
_FLOAT32, _INT64 = NUMBERS["float32"], NUMBERS["int64"]


@dataclass(frozen=True)
class Layer:
    """A node that a kernel computes.

    `node`: its index in the graph.
    `source`: the number of the value whose signs it takes.
    `make`: `make(threads)` returns the function from that value to the node's output.
    `axes`: the number of axes of the output; None for as many as the source has.
    `axis`: of the output's channels.
    `width`: the number of channels.
    """

    node: int
    source: int
    make: Callable[[int | None], Callable[[np.ndarray], np.ndarray]]
    axes: int | None
    axis: int
    width: int


def layers(graph: Graph, tensors: list[Tensor]) -> list[Layer]:
    """The layers of a graph, in order; none where there are too many."""
    held = _Values(graph, tensors)
    kernel_layers: list[Layer] = []
    for index, node in enumerate(graph.nodes):
        layer = None
        if node.outputs == 1 and not node.absent:
            if node.operator == "Conv":
                layer = _convolution(held, index, node)
            elif node.operator in ("Gemm", "MatMul"):
                layer = _product(held, index, node)
        if layer is not None:
            kernel_layers.append(layer)
        if len(kernel_layers) > MOST_LAYERS:
            return []
    return kernel_layers


class _Values:
    """What is known of values: constants, the nodes that made the others, and their readers."""

    def __init__(self, graph: Graph, tensors: list[Tensor]) -> None:
        self.constants = dict(enumerate((*tensors, *graph.constants), len(graph.inputs)))
        self.makers: dict[int, Node] = {}
        self.readers: dict[int, list[int]] = {number: [-1] for number in graph.results}
        self.outputs: list[int] = []  # the number of the first output of each node
        value = len(graph.inputs) + len(self.constants)
        for index, node in enumerate(graph.nodes):
            for number in node.inputs:
                if number is not None:
                    self.readers.setdefault(number, []).append(index)
            if node.outputs == 1:
                self.makers[value] = node
            self.outputs.append(value)
            value += node.outputs
        self.nodes = graph.nodes
        # How many weights may still be looked at.
        self._left = 2 * sum(constant.bits.size for constant in self.constants.values())

    def floats(self, number: int | None) -> np.ndarray | None:
        """The array of a float32 constant; None for other values."""
        constant = self.constants.get(-1 if number is None else number)
        return constant.array() if constant is not None and constant.element == _FLOAT32 else None

    def is_number(self, number: int | None, wanted: float) -> bool:
        """Whether the value is a float32 constant whose one element is `wanted`."""
        value = self.floats(number)
        return value is not None and value.size == 1 and value.ndim < 2 and value.item() == wanted

    def maker(self, number: int | None, operator: str, inputs: int) -> Node | None:
        """The node that made the value, where it is this operator, without attributes.

        None for other operators and other numbers of inputs.
        """
        node = self.makers.get(-1 if number is None else number)
        fits = (
            node is not None
            and node.operator == operator
            and len(node.inputs) == inputs
            and not node.attributes
        )
        return node if fits else None

    def signed(self, number: int | None) -> int | None:
        """The number of the value whose signs this value has, or None."""
        if (where := self.maker(number, "Where", 3)) is None:
            return None
        if not (self.is_number(where.inputs[1], -1.0) and self.is_number(where.inputs[2], 1.0)):
            return None
        less = self.maker(where.inputs[0], "Less", 2)
        return less.inputs[0] if less is not None and self.is_number(less.inputs[1], 0.0) else None

    def magnitudes(self, weights: np.ndarray) -> np.ndarray | None:
        """The magnitude of each row, where a row is a scale times -1 or +1; else None.

        The number of weights that are looked at is limited.
        """
        self._left -= weights.size
        return signs.scales_of(weights) if self._left >= 0 else None

    def scaled(
        self, index: int, magnitudes: np.ndarray, *shapes: tuple[int, ...]
    ) -> tuple[int, np.ndarray | None]:
        """The index of the only reader of a node and its scale, or the node's own and None.

        The reader must multiply by a constant of one of these shapes. The magnitudes must be 1:
        with others, two products would be needed to round as other runtimes do.
        """
        readers = self.readers.get(self.outputs[index], [])
        if len(readers) == 1 and readers[0] >= 0 and bool((magnitudes == 1).all()):
            node = self.nodes[readers[0]]
            if (
                node.operator == "Mul"
                and len(node.inputs) == 2
                and node.outputs == 1
                and not node.attributes
            ):
                other = [number for number in node.inputs if number != self.outputs[index]]
                scale = self.floats(other[0]) if len(other) == 1 else None
                if scale is not None and scale.shape in shapes and np.isfinite(scale).all():
                    return readers[0], scale.ravel()
        return index, None


def _convolution(held: _Values, index: int, node: Node) -> Layer | None:
    weights = held.floats(node.inputs[1]) if len(node.inputs) == 2 else None
    if (
        weights is None
        or weights.ndim != 4
        or not _is_worth_it(weights)
        or prod(weights.shape[2:]) > _MOST_TAPS
    ):
        return None
    attributes = _integers_of(
        node, ("strides", 2), ("dilations", 2), ("pads", 4), ("kernel_shape", 2), ("group", 0)
    )
    if (
        attributes is None
        or attributes.get("kernel_shape", weights.shape[2:]) != weights.shape[2:]
        or attributes.get("group", 1) != 1
    ):
        return None
    strides, dilations = attributes.get("strides", (1, 1)), attributes.get("dilations", (1, 1))
    # Padding with zeros is not supported: they are no signs.
    if any(attributes.get("pads", ())) or min(*strides, *dilations) < 1:
        return None
    pads, number = (0, 0, 0, 0), node.inputs[0]
    if (pad := held.maker(number, "Pad", 3)) is not None:
        if (padding := _pads(held, pad)) is None:
            return None
        number, pads = pad.inputs[0], padding
    source = held.signed(number)
    if source is None or (magnitudes := held.magnitudes(weights)) is None:
        return None
    last, scale = held.scaled(index, magnitudes, (len(weights), 1, 1), (1, len(weights), 1, 1))
    settings: dict[str, Any] = {"strides": strides, "pads": pads, "dilations": dilations}

    def make(threads: int | None) -> Callable[[np.ndarray], np.ndarray]:
        return signs.SignConvolution(weights, scale, threads=threads, **settings)

    return Layer(last, source, make, 4, 1, len(weights))


def _product(held: _Values, index: int, node: Node) -> Layer | None:
    if len(node.inputs) != 2 or node.inputs[1] is None:
        return None
    attributes = (
        _integers_of(node, ("transB", 0)) if node.operator == "Gemm" else _integers_of(node)
    )
    weights, is_transposed = (
        held.floats(node.inputs[1]),
        attributes is not None and bool(attributes.get("transB", 0)),
    )
    if weights is None and node.operator == "MatMul":
        transpose = held.makers.get(node.inputs[1])
        if (
            transpose is None
            or transpose.operator != "Transpose"
            or _integers_of(transpose, ("perm", 2)) != {"perm": (1, 0)}
        ):
            return None
        weights, is_transposed = held.floats(transpose.inputs[0]), True
    if attributes is None or weights is None or weights.ndim != 2:
        return None
    rows = weights if is_transposed else weights.T
    if not _is_worth_it(rows):
        return None
    source = held.signed(node.inputs[0])
    if source is None or (magnitudes := held.magnitudes(rows)) is None:
        return None
    # A scale with two axes would add an axis to the product of a row.
    last, scale = held.scaled(index, magnitudes, (len(rows),))

    def make(threads: int | None) -> Callable[[np.ndarray], np.ndarray]:
        return signs.SignProduct(rows, scale, threads=threads)

    return Layer(last, source, make, 2 if node.operator == "Gemm" else None, -1, len(rows))


def _is_worth_it(weights: np.ndarray) -> bool:
    """Whether a kernel is possible and saves time."""
    return len(weights) > 0 and LEAST_INPUTS <= weights[0].size < signs.MOST_INPUTS


def _integers_of(node: Node, *wanted: tuple[str, int]) -> dict[str, Any] | None:
    """The attributes, where all are integers (length 0) or lists of integers of these lengths.

    None where there are others.
    """
    lengths, values = dict(wanted), {}
    for name, kind, content in node.attributes:
        if name not in lengths or kind != (INTS if lengths[name] else INT):
            return None
        if lengths[name] and len(content) != lengths[name]:
            return None
        values[name] = content
    return values


def _pads(held: _Values, pad: Node) -> tuple[int, int, int, int] | None:
    """The rows above, columns left, rows below and columns right that a Pad fills with +1."""
    padding = held.constants.get(-1 if pad.inputs[1] is None else pad.inputs[1])
    if (
        padding is None
        or padding.element != _INT64
        or padding.bits.shape != (8,)
        or not held.is_number(pad.inputs[2], 1.0)
    ):
        return None
    counts = padding.array().tolist()
    if (
        counts[0]
        or counts[1]
        or counts[4]
        or counts[5]
        or not all(0 <= count <= _MOST_PADS for count in counts)
    ):
        return None
    return counts[2], counts[3], counts[6], counts[7]
