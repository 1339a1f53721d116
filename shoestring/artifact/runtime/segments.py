"""A graph in segments, with our kernels for the layers of signs between runs of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.tensors import NUMBERS, Tensor
from shoestring.artifact.kernels import signs
from shoestring.artifact.kernels.sign_layers import Layer, layers
from shoestring.artifact.runtime.session import Feeds, session
from shoestring.artifact.wire import ShoeError

_SPARE = 1 << 24  # bytes of constants that segments may hold over again
_NAMES = {"float": "float32", "double": "float64"}


def cut(graph: Graph, tensors: list[Tensor], threads: int | None) -> Segments | None:
    """The graph in segments.

    None where no kernel has anything to do in it, or ONNX Runtime does not take it so.
    What a session may take while it is made is shared among them.
    """
    if not signs.available():
        return None
    found = layers(graph, tensors)
    if not found:
        return None
    plan = _plan(graph, found)
    held = [one.bits.nbytes for one in (*tensors, *graph.constants)]
    start = len(graph.inputs)
    if any(number < start + len(held) for number in graph.results) or any(
        one.source in range(start, start + len(held)) for one in found
    ):
        return None
    copied = sum(held[number - start] for step in plan for number in step.static(graph))
    if copied > sum(held) + _SPARE:
        return None
    try:
        return Segments(graph, tensors, plan, threads)
    except ShoeError:
        return None  # made whole, it says what is wrong


@dataclass
class _Step:
    """Nodes that ONNX Runtime computes at once, then layers that take what they made.

    Values by their numbers.
    """

    nodes: list[int]
    layers: list[Layer]
    reads: set[int]
    makes: list[int]

    def static(self, graph: Graph) -> list[int]:
        """The constants that it reads."""
        start = len(graph.inputs)
        return sorted(
            n for n in self.reads if start <= n < start + graph.weights + len(graph.constants)
        )


def _plan(graph: Graph, found: list[Layer]) -> list[_Step]:
    """Each node is in the step after the last layer that it waits for."""
    static = len(graph.inputs) + graph.weights + len(graph.constants)
    first = np.cumsum([static, *(node.outputs for node in graph.nodes)]).tolist()
    kernels = {layer.node: layer for layer in found}
    needed = _needed(graph, kernels, first)
    ready = dict.fromkeys(range(static), 0)  # the step after which a value is there
    level: dict[int, int] = {}
    for place, node in enumerate(graph.nodes):
        if place not in needed:
            continue
        wanted = _inputs(node, kernels.get(place))
        level[place] = max((ready[number] for number in wanted), default=0)
        ready |= dict.fromkeys(
            range(first[place], first[place + 1]), level[place] + (place in kernels)
        )
    makers = {number: place for place in level for number in range(first[place], first[place + 1])}
    steps = [_Step([], [], set(), []) for _ in range(1 + max(level.values(), default=0))]
    for place, at in level.items():
        if place in kernels:
            steps[at].layers.append(kernels[place])
        else:
            steps[at].nodes.append(place)
    outward = set(graph.results) | {layer.source for layer in found if layer.node in needed}
    for at, step in enumerate(steps):
        inside = set(step.nodes)
        step.reads = {
            n
            for place in inside
            for n in graph.nodes[place].inputs
            if n is not None and makers.get(n) not in inside
        }
        outward |= {n for n in step.reads if n >= static and level[makers[n]] < at}
    for step in steps:
        step.makes = [
            n for place in step.nodes for n in range(first[place], first[place + 1]) if n in outward
        ]
    return steps


def _inputs(node: Node, layer: Layer | None) -> list[int]:
    return (
        [layer.source]
        if layer is not None
        else [number for number in node.inputs if number is not None]
    )


def _needed(graph: Graph, kernels: dict[int, Layer], first: list[int]) -> set[int]:
    """The nodes that the results need.

    The signs that kernels take by themselves are not among them.
    """
    wanted, needed = set(graph.results), set()
    for place in reversed(range(len(graph.nodes))):
        if wanted.intersection(range(first[place], first[place + 1])):
            needed.add(place)
            wanted.update(_inputs(graph.nodes[place], kernels.get(place)))
    return needed


class Segments:
    """A graph that is ready to run, in steps."""

    def __init__(
        self, graph: Graph, tensors: list[Tensor], plan: list[_Step], threads: int | None
    ) -> None:
        """Raises ShoeError where ONNX Runtime does not take a segment."""
        static = len(graph.inputs) + graph.weights + len(graph.constants)
        first = np.cumsum([static, *(node.outputs for node in graph.nodes)]).tolist()
        self._inputs = [port.name for port in graph.inputs]
        self._results = graph.results
        ports: dict[int, Port] = {
            number: replace(port, name=f"i{number}") for number, port in enumerate(graph.inputs)
        }
        parts = sum(bool(step.makes) for step in plan)
        self._steps: list[
            tuple[
                Any,
                list[tuple[str, int]],
                list[int],
                list[tuple[int, int, Callable[..., np.ndarray]]],
            ]
        ] = []
        for step in plan:
            runs, feeds = None, []
            if step.makes:
                part, feeds = _part(graph, step, ports, first)
                inner = session(part, _kept(step, graph, tensors), threads, parts=parts)
                for number, made in zip(step.makes, inner.get_outputs(), strict=True):
                    ports[number] = _port(number, made.type, made.shape)
                runs = partial(inner.run, [made.name for made in inner.get_outputs()])
            kernels = [
                (first[layer.node], layer.source, layer.make(threads)) for layer in step.layers
            ]
            for layer in step.layers:
                number = first[layer.node]
                source = ports.get(layer.source)
                count = layer.axes or (len(source.shape) if source is not None else 0)
                axes: list[int | str] = [f"i{number}.{axis}" for axis in range(count)]
                if axes:
                    axes[layer.axis] = layer.width
                ports[number] = Port(f"i{number}", NUMBERS["float32"], tuple(axes))
            self._steps.append((runs, feeds, step.makes, kernels))

    def run(self, feeds: Feeds) -> Sequence[Any]:
        """The outputs, in order."""
        values: dict[int, Any] = {number: feeds[name] for number, name in enumerate(self._inputs)}
        for runs, names, makes, kernels in self._steps:
            if runs is not None:
                values.update(
                    zip(makes, runs({name: values[number] for name, number in names}), strict=True)
                )
            for number, source, kernel in kernels:
                values[number] = kernel(values[source])
        return [values[number] for number in self._results]

    def bound(self, feeds: Feeds) -> Callable[[], Any]:
        """A function that runs these inputs each time."""
        return partial(self.run, feeds)

    @property
    def kernels(self) -> int:
        """How many layers kernels compute."""
        return sum(len(kernels) for *_, kernels in self._steps)


def _kept(step: _Step, graph: Graph, tensors: list[Tensor]) -> list[Tensor]:
    held = (*tensors, *graph.constants)
    return [held[number - len(graph.inputs)] for number in step.static(graph)]


def _part(
    graph: Graph, step: _Step, ports: dict[int, Port], first: list[int]
) -> tuple[Graph, list[tuple[str, int]]]:
    """(the graph of a step, the names of its inputs with the numbers of their values).

    Raises ShoeError.
    """
    static = step.static(graph)
    taken = sorted(step.reads.difference(static))
    if any(number not in ports for number in taken):
        raise ShoeError("a segment of the graph takes something that is no tensor")
    numbers = {number: place for place, number in enumerate((*taken, *static))}
    nodes: list[Node] = []
    for place in step.nodes:
        node = graph.nodes[place]
        inputs = tuple(None if number is None else numbers[number] for number in node.inputs)
        nodes.append(replace(node, inputs=inputs))
        for number in range(first[place], first[place + 1]):
            numbers[number] = len(numbers)
    part = Graph(
        opset=graph.opset,
        inputs=tuple(ports[number] for number in taken),
        weights=len(static),
        constants=(),
        nodes=tuple(nodes),
        outputs=tuple(Port(f"o{number}", 1) for number in step.makes),
        results=tuple(numbers[number] for number in step.makes),
        arguments=((), {}),
        structure=None,
    )
    return part, [(ports[number].name, number) for number in taken]


def _port(number: int, kind: str, shape: Any) -> Port:
    """The port of a value whose type ONNX Runtime tells, as `tensor(float)`.

    Raises ShoeError for what is no tensor.
    """
    name = kind.removeprefix("tensor(").removesuffix(")")
    name = _NAMES.get(name, name)
    if not kind.startswith("tensor(") or name not in NUMBERS or name == "bfloat16":
        raise ShoeError("a segment of the graph makes something that is no tensor")
    axes = tuple(
        size if isinstance(size, int) else f"i{number}.{axis}" for axis, size in enumerate(shape)
    )
    return Port(f"i{number}", NUMBERS[name], axes)
