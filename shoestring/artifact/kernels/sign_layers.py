"""Which nodes of a graph are convolutions and products of signs, that a kernel computes.

A file holds such a layer in ONNX's own operators, so that whatever runs ONNX runs it:
`Where(Less(x, 0), -1, 1)`, perhaps a `Pad` with 1, a `Conv`, `Gemm` or `MatMul` with weights of one
magnitude in each filter, perhaps a `Mul` with a scale for each. A graph may be anybody's: what is
not exactly so is left to the runtime, which also says what is wrong with it.
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
"""Of a sum: with fewer, packing takes longer than the bits save."""
MOST_LAYERS = 64
"""Each makes another session of ONNX Runtime: a graph that has more runs as it is."""
_MOST_TAPS, _MOST_PADS = 256, 64
_FLOAT32, _INT64 = NUMBERS["float32"], NUMBERS["int64"]


@dataclass(frozen=True)
class Layer:
    """A node that a kernel computes.

    `node` is its place in the graph, `source` the number of the value whose signs it takes.
    `make(threads)` gives the function from that value to the node's, which has so many `axes`
    (None: as many as that value), and `width` channels along `axis`.
    """

    node: int
    source: int
    make: Callable[[int | None], Callable[[np.ndarray], np.ndarray]]
    axes: int | None
    axis: int
    width: int


def layers(graph: Graph, tensors: list[Tensor]) -> list[Layer]:
    """Those of a graph, in order; none where there are too many."""
    held = _Held(graph, tensors)
    found: list[Layer] = []
    for place, node in enumerate(graph.nodes):
        one = None
        if node.outputs == 1 and not node.absent:
            if node.operator == "Conv":
                one = _convolution(held, place, node)
            elif node.operator in ("Gemm", "MatMul"):
                one = _product(held, place, node)
        if one is not None:
            found.append(one)
        if len(found) > MOST_LAYERS:
            return []
    return found


class _Held:
    """What is known of values: constants, which node made the others, and who reads them."""

    def __init__(self, graph: Graph, tensors: list[Tensor]) -> None:
        self.constants = dict(enumerate((*tensors, *graph.constants), len(graph.inputs)))
        self.makers: dict[int, Node] = {}
        self.readers: dict[int, list[int]] = {number: [-1] for number in graph.results}
        self.outputs: list[int] = []  # the number of the first output of each node
        value = len(graph.inputs) + len(self.constants)
        for place, node in enumerate(graph.nodes):
            for number in node.inputs:
                if number is not None:
                    self.readers.setdefault(number, []).append(place)
            if node.outputs == 1:
                self.makers[value] = node
            self.outputs.append(value)
            value += node.outputs
        self.nodes = graph.nodes
        self._left = 2 * sum(
            one.bits.size for one in self.constants.values()
        )  # weights that may be looked at

    def floats(self, number: int | None) -> np.ndarray | None:
        """A constant of type float32."""
        one = self.constants.get(-1 if number is None else number)
        return one.array() if one is not None and one.element == _FLOAT32 else None

    def is_number(self, number: int | None, wanted: float) -> bool:
        """Whether the value is a constant of one element, the wanted float32."""
        value = self.floats(number)
        return value is not None and value.size == 1 and value.ndim < 2 and value.item() == wanted

    def maker(self, number: int | None, operator: str, inputs: int) -> Node | None:
        """The node that made the value, if it is of this kind, has so many inputs and says nothing
        more.
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
        """The value whose signs this one is."""
        if (where := self.maker(number, "Where", 3)) is None:
            return None
        if not (self.is_number(where.inputs[1], -1.0) and self.is_number(where.inputs[2], 1.0)):
            return None
        less = self.maker(where.inputs[0], "Less", 2)
        return less.inputs[0] if less is not None and self.is_number(less.inputs[1], 0.0) else None

    def magnitudes(self, weights: np.ndarray) -> np.ndarray | None:
        """Of each row, if it is a scale times -1 or +1.

        No graph has its weights looked at over and over.
        """
        self._left -= weights.size
        return signs.scales_of(weights) if self._left >= 0 else None

    def scaled(
        self, place: int, magnitudes: np.ndarray, *shapes: tuple[int, ...]
    ) -> tuple[int, np.ndarray | None]:
        """The one reader of a node, if it multiplies by a constant of one of these shapes, and
        that; otherwise the node itself.

        Where the magnitudes are not 1 it would have to be multiplied twice, to be rounded as it is
        elsewhere.
        """
        readers = self.readers.get(self.outputs[place], [])
        if len(readers) == 1 and readers[0] >= 0 and bool((magnitudes == 1).all()):
            node = self.nodes[readers[0]]
            if (
                node.operator == "Mul"
                and len(node.inputs) == 2
                and node.outputs == 1
                and not node.attributes
            ):
                other = [number for number in node.inputs if number != self.outputs[place]]
                scale = self.floats(other[0]) if len(other) == 1 else None
                if scale is not None and scale.shape in shapes and np.isfinite(scale).all():
                    return readers[0], scale.ravel()
        return place, None


def _convolution(held: _Held, place: int, node: Node) -> Layer | None:
    weights = held.floats(node.inputs[1]) if len(node.inputs) == 2 else None
    if (
        weights is None
        or weights.ndim != 4
        or not _worth(weights)
        or prod(weights.shape[2:]) > _MOST_TAPS
    ):
        return None
    told = _told(
        node, ("strides", 2), ("dilations", 2), ("pads", 4), ("kernel_shape", 2), ("group", 0)
    )
    if (
        told is None
        or told.get("kernel_shape", weights.shape[2:]) != weights.shape[2:]
        or told.get("group", 1) != 1
    ):
        return None
    strides, dilations = told.get("strides", (1, 1)), told.get("dilations", (1, 1))
    if (
        any(told.get("pads", ())) or min(*strides, *dilations) < 1
    ):  # zeros around signs are no signs
        return None
    pads, number = (0, 0, 0, 0), node.inputs[0]
    if (pad := held.maker(number, "Pad", 3)) is not None:
        if (around := _pads(held, pad)) is None:
            return None
        number, pads = pad.inputs[0], around
    source = held.signed(number)
    if source is None or (magnitudes := held.magnitudes(weights)) is None:
        return None
    last, scale = held.scaled(place, magnitudes, (len(weights), 1, 1), (1, len(weights), 1, 1))
    settings: dict[str, Any] = {"strides": strides, "pads": pads, "dilations": dilations}

    def make(threads: int | None) -> Callable[[np.ndarray], np.ndarray]:
        return signs.SignConvolution(weights, scale, threads=threads, **settings)

    return Layer(last, source, make, 4, 1, len(weights))


def _product(held: _Held, place: int, node: Node) -> Layer | None:
    if len(node.inputs) != 2 or node.inputs[1] is None:
        return None
    told = _told(node, ("transB", 0)) if node.operator == "Gemm" else _told(node)
    weights, across = held.floats(node.inputs[1]), told is not None and bool(told.get("transB", 0))
    if weights is None and node.operator == "MatMul":
        turn = held.makers.get(node.inputs[1])
        if (
            turn is None
            or turn.operator != "Transpose"
            or _told(turn, ("perm", 2)) != {"perm": (1, 0)}
        ):
            return None
        weights, across = held.floats(turn.inputs[0]), True
    if told is None or weights is None or weights.ndim != 2:
        return None
    rows = weights if across else weights.T
    if not _worth(rows):
        return None
    source = held.signed(node.inputs[0])
    if source is None or (magnitudes := held.magnitudes(rows)) is None:
        return None
    last, scale = held.scaled(
        place, magnitudes, (len(rows),)
    )  # of two axes it would give a row two

    def make(threads: int | None) -> Callable[[np.ndarray], np.ndarray]:
        return signs.SignProduct(rows, scale, threads=threads)

    return Layer(last, source, make, 2 if node.operator == "Gemm" else None, -1, len(rows))


def _worth(weights: np.ndarray) -> bool:
    """Whether a kernel pays and can."""
    return len(weights) > 0 and LEAST_INPUTS <= weights[0].size < signs.MOST_INPUTS


def _told(node: Node, *wanted: tuple[str, int]) -> dict[str, Any] | None:
    """Attributes that are whole numbers (length 0) or lists of them of these lengths.

    None where there are others.
    """
    lengths, found = dict(wanted), {}
    for name, kind, content in node.attributes:
        if name not in lengths or kind != (INTS if lengths[name] else INT):
            return None
        if lengths[name] and len(content) != lengths[name]:
            return None
        found[name] = content
    return found


def _pads(held: _Held, pad: Node) -> tuple[int, int, int, int] | None:
    """Rows above, columns left, rows below, columns right, of +1."""
    around = held.constants.get(-1 if pad.inputs[1] is None else pad.inputs[1])
    if (
        around is None
        or around.element != _INT64
        or around.bits.shape != (8,)
        or not held.is_number(pad.inputs[2], 1.0)
    ):
        return None
    counts = around.array().tolist()
    if (
        counts[0]
        or counts[1]
        or counts[4]
        or counts[5]
        or not all(0 <= one <= _MOST_PADS for one in counts)
    ):
        return None
    return counts[2], counts[3], counts[6], counts[7]
