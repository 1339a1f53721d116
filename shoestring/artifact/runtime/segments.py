"""A graph in segments, with our kernels for the layers of signs between runs of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.tensors import NUMBERS, Tensor
from shoestring.artifact.kernels import signs
from shoestring.artifact.kernels.sign_layers import Layer, layers
from shoestring.artifact.runtime.session import Feeds, session
from shoestring.artifact.wire import ShoeError

_SPARE = 1 << 24  # how many bytes of constants the segments may have beyond the graph's
_NAMES = {"float": "float32", "double": "float64"}  # ours, by those of ONNX Runtime


def cut(graph: Graph, tensors: list[Tensor], threads: int | None) -> Segments | None:
    """The graph in segments, ready to run.

    The limits on the work of ONNX Runtime while it makes a session are divided among the segments.
    `threads`: how many threads a run may use; None: as many as there are cores.
    None is returned where the graph has no layer for a kernel, where llvmlite is not installed, and
    where ONNX Runtime cannot run the segments.
    """
    if not signs.available():
        return None
    kernel_layers = layers(graph, tensors)
    if not kernel_layers:
        return None
    plan = _plan(graph, kernel_layers)
    held = [tensor.bits.nbytes for tensor in (*tensors, *graph.constants)]
    start = len(graph.inputs)
    if any(number < start + len(held) for number in graph.results) or any(
        layer.source in range(start, start + len(held)) for layer in kernel_layers
    ):
        return None
    copied = sum(held[number - start] for step in plan for number in step.static(graph))
    if copied > sum(held) + _SPARE:
        return None
    try:
        return Segments(graph, tensors, plan, threads)
    except ShoeError:
        return None  # the session of the whole graph then says what is wrong


@dataclass
class _Step:
    """Nodes that ONNX Runtime computes in one session, then layers that kernels compute.

    `nodes`: the indices of the nodes, in order.
    `layers`: the layers, which take values that exist after the nodes.
    `reads`: the numbers of the values that the nodes take from outside the step.
    `makes`: the numbers of the values that the nodes make for the outside.
    """

    nodes: list[int]
    layers: list[Layer]
    reads: set[int]
    makes: list[int]

    def static(self, graph: Graph) -> list[int]:
        """The numbers of the tensors and constants that the nodes read."""
        start = len(graph.inputs)
        return sorted(
            n for n in self.reads if start <= n < start + graph.weights + len(graph.constants)
        )


def _plan(graph: Graph, kernel_layers: list[Layer]) -> list[_Step]:
    """The steps of the graph, in which each node is in the step after the last layer it needs."""
    static = len(graph.inputs) + graph.weights + len(graph.constants)
    first = np.cumsum([static, *(node.outputs for node in graph.nodes)]).tolist()
    kernels = {layer.node: layer for layer in kernel_layers}
    needed = _needed(graph, kernels, first)
    ready = dict.fromkeys(range(static), 0)  # the first step that can use a value
    level: dict[int, int] = {}  # the step of a node
    for index, node in enumerate(graph.nodes):
        if index not in needed:
            continue
        wanted = _inputs(node, kernels.get(index))
        level[index] = max((ready[number] for number in wanted), default=0)
        ready |= dict.fromkeys(
            range(first[index], first[index + 1]), level[index] + (index in kernels)
        )
    makers = {number: index for index in level for number in range(first[index], first[index + 1])}
    steps = [_Step([], [], set(), []) for _ in range(1 + max(level.values(), default=0))]
    for index, at in level.items():
        if index in kernels:
            steps[at].layers.append(kernels[index])
        else:
            steps[at].nodes.append(index)
    outward = set(graph.results) | {layer.source for layer in kernel_layers if layer.node in needed}
    for at, step in enumerate(steps):
        inside = set(step.nodes)
        step.reads = {
            n
            for index in inside
            for n in graph.nodes[index].inputs
            if n is not None and makers.get(n) not in inside
        }
        outward |= {n for n in step.reads if n >= static and level[makers[n]] < at}
    for step in steps:
        step.makes = [
            n for index in step.nodes for n in range(first[index], first[index + 1]) if n in outward
        ]
    return steps


def _inputs(node: Node, layer: Layer | None) -> list[int]:
    """The numbers of the values that a node needs, or that the kernel of a layer needs."""
    if layer is not None:
        return [layer.source]
    return [number for number in node.inputs if number is not None]


def _needed(graph: Graph, kernels: dict[int, Layer], first: list[int]) -> set[int]:
    """The indices of the nodes that the results need.

    Kernels take signs themselves, so the nodes that take the signs for them are not included.
    """
    wanted, needed = set(graph.results), set()
    for index in reversed(range(len(graph.nodes))):
        if wanted.intersection(range(first[index], first[index + 1])):
            needed.add(index)
            wanted.update(_inputs(graph.nodes[index], kernels.get(index)))
    return needed


class _ReadyStep(NamedTuple):
    """A step that is ready to run.

    `run`: the run of its session, given the inputs by name; None if it has no session.
    `feeds`: (name, number of the value) of each input of the session.
    `makes`: the numbers of the session's outputs.
    `kernels`: (number of the output, number of the input, kernel) of each layer.
    """

    run: Callable[[Feeds], Sequence[Any]] | None
    feeds: list[tuple[str, int]]
    makes: list[int]
    kernels: list[tuple[int, int, Callable[[np.ndarray], np.ndarray]]]


class Segments:
    """A graph that is ready to run in steps: a session of ONNX Runtime, then kernels, and so on."""

    def __init__(
        self, graph: Graph, tensors: list[Tensor], plan: list[_Step], threads: int | None
    ) -> None:
        """`plan`: the steps. Raises ShoeError where ONNX Runtime cannot run a segment."""
        static = len(graph.inputs) + graph.weights + len(graph.constants)
        first = np.cumsum([static, *(node.outputs for node in graph.nodes)]).tolist()
        self._inputs = [port.name for port in graph.inputs]
        self._results = graph.results
        ports: dict[int, Port] = {
            number: replace(port, name=f"i{number}") for number, port in enumerate(graph.inputs)
        }
        parts = sum(bool(step.makes) for step in plan)
        self._steps: list[_ReadyStep] = []
        for step in plan:
            run, feeds = None, []
            if step.makes:
                part, feeds = _part(graph, step, ports, first)
                inner = session(part, _tensors_of(step, graph, tensors), threads, parts=parts)
                for number, made in zip(step.makes, inner.get_outputs(), strict=True):
                    ports[number] = _port(number, made.type, made.shape)
                run = partial(inner.run, [made.name for made in inner.get_outputs()])
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
            self._steps.append(_ReadyStep(run, feeds, step.makes, kernels))

    def run(self, feeds: Feeds) -> Sequence[Any]:
        """The outputs, in order."""
        values: dict[int, Any] = {number: feeds[name] for number, name in enumerate(self._inputs)}
        for step in self._steps:
            if step.run is not None:
                made = step.run({name: values[number] for name, number in step.feeds})
                values.update(zip(step.makes, made, strict=True))
            for number, source, kernel in step.kernels:
                values[number] = kernel(values[source])
        return [values[number] for number in self._results]

    def bound(self, feeds: Feeds) -> Callable[[], Any]:
        """A function that runs these inputs."""
        return partial(self.run, feeds)

    @property
    def kernels(self) -> int:
        """How many layers kernels compute."""
        return sum(len(step.kernels) for step in self._steps)


def _tensors_of(step: _Step, graph: Graph, tensors: list[Tensor]) -> list[Tensor]:
    """The tensors and constants that a step reads."""
    held = (*tensors, *graph.constants)
    return [held[number - len(graph.inputs)] for number in step.static(graph)]


def _part(
    graph: Graph, step: _Step, ports: dict[int, Port], first: list[int]
) -> tuple[Graph, list[tuple[str, int]]]:
    """(the graph of a step, (name, number of its value) of each input).

    `ports`: the ports of the values that exist, by their numbers.
    `first`: the number of the first output of each node.
    Raises ShoeError where an input of the step is not a tensor.
    """
    static = step.static(graph)
    inputs = sorted(step.reads.difference(static))
    if any(number not in ports for number in inputs):
        raise ShoeError("a segment of the graph takes something that is no tensor")
    numbers = {number: new for new, number in enumerate((*inputs, *static))}
    nodes: list[Node] = []
    for index in step.nodes:
        node = graph.nodes[index]
        renumbered = tuple(None if number is None else numbers[number] for number in node.inputs)
        nodes.append(replace(node, inputs=renumbered))
        for number in range(first[index], first[index + 1]):
            numbers[number] = len(numbers)
    part = Graph(
        opset=graph.opset,
        inputs=tuple(ports[number] for number in inputs),
        weights=len(static),
        constants=(),
        nodes=tuple(nodes),
        outputs=tuple(Port(f"o{number}", 1) for number in step.makes),
        results=tuple(numbers[number] for number in step.makes),
        arguments=((), {}),
        structure=None,
    )
    return part, [(ports[number].name, number) for number in inputs]


def _port(number: int, kind: str, shape: Any) -> Port:
    """The port of a value that a session makes.

    `number`: the number of the value.
    `kind`: its type, as ONNX Runtime writes it, such as `tensor(float)`.
    `shape`: the length of each axis; anything but an int stands for an axis that varies.
    Raises ShoeError for what is no tensor, and for bfloat16.
    """
    name = kind.removeprefix("tensor(").removesuffix(")")
    name = _NAMES.get(name, name)
    if not kind.startswith("tensor(") or name not in NUMBERS or name == "bfloat16":
        raise ShoeError("a segment of the graph makes something that is no tensor")
    axes = tuple(
        size if isinstance(size, int) else f"i{number}.{axis}" for axis, size in enumerate(shape)
    )
    return Port(f"i{number}", NUMBERS[name], axes)
