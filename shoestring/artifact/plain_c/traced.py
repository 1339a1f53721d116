"""A graph with its shapes fixed: the shape and type of each value, and the values that never vary.

ONNX Runtime runs the graph once, on zeros, with every value as an output. So shapes need no rules
of ours, and what depends on constants only is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from shoestring.artifact.format.axes import Axis
from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.runtime.folding import fold_transposes
from shoestring.artifact.runtime.session import first_line, session
from shoestring.artifact.wire import ShoeError

MOST_VALUES = 1 << 22
"""The most elements of an input, with its axes fixed."""


@dataclass(frozen=True)
class Step:
    """A node that depends on an input.

    `index`: its place in the graph, from 0.
    `operator`, `inputs`, `outputs`: as in Node, `outputs` as the numbers of values.
    `attributes`: by their names.
    """

    index: int
    operator: str
    inputs: tuple[int | None, ...]
    outputs: tuple[int, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.operator} (node {self.index})"


@dataclass(frozen=True)
class Traced:
    """A graph with fixed shapes.

    `inputs`: the inputs, with whole shapes.
    `fixed`: for each axis that could vary its name and the length it has now.
    `steps`: the nodes that depend on inputs and that an output depends on, in order.
    `shapes`, `types`: of each value, by its number; types as numpy names them.
    `constants`: the values that do not depend on inputs.
    `makers`: the step that makes a value.
    `readers`: the steps that read a value.
    `results`: the number of the value that each output is.
    `outputs`: the names of the outputs.
    `halves`: whether numbers are float16 in the graph, which are float32 here.
    """

    inputs: tuple[Port, ...]
    fixed: tuple[tuple[str, int], ...]
    steps: tuple[Step, ...]
    shapes: Mapping[int, tuple[int, ...]]
    types: Mapping[int, str]
    constants: Mapping[int, np.ndarray]
    makers: Mapping[int, Node]
    readers: Mapping[int, list[Step]]
    results: tuple[int, ...]
    outputs: tuple[str, ...]
    halves: bool = False

    def reader(self, value: int) -> Step | None:
        """The only step that reads a value; None where several do, or it is an output."""
        steps = self.readers.get(value, [])
        return steps[0] if len(steps) == 1 and value not in self.results else None


def traced(content: Content, axes: Mapping[str, int]) -> Traced:
    """The graph of a file with the shapes that its inputs get.

    `axes`: lengths of axes that vary, by name. The first axis of an input, where it varies, is the
        batch: its length is 1 unless it is given here.
    Raises NoPlainC for an axis without a length and a graph that does not run with these, and
    ValueError for a length that the axis cannot have.
    """
    graph, tensors = fold_transposes(content.graph, content.tensors)
    lengths = _lengths(graph, axes)
    shapes = [
        tuple(lengths[size] if isinstance(size, str) else size for size in port.shape)
        for port in graph.inputs
    ]
    inputs = tuple(
        replace(port, shape=shape) for port, shape in zip(graph.inputs, shapes, strict=True)
    )
    feeds: dict[str, np.ndarray] = {}
    for port, shape in zip(inputs, shapes, strict=True):
        if prod(shape) > MOST_VALUES:
            raise NoPlainC(f"the input {port.name} has the shape {shape}: too large for C")
        feeds[port.name] = np.zeros(shape, ELEMENTS[port.element][0])
    whole, numbers = _exposed(replace(graph, inputs=inputs))
    try:
        found = session(whole, tensors, 1, parts=1).run(None, feeds)
    except ShoeError:
        raise
    except Exception as error:  # its errors have no common class
        raise NoPlainC(
            f"the graph does not run with {_said(lengths) or 'its shapes'}: {first_line(error)}"
        ) from None
    values = {number: np.asarray(array) for number, array in zip(numbers, found, strict=True)}
    return _described(graph, inputs, tuple(lengths.items()), tensors, values)


def _said(lengths: Mapping[str, int]) -> str:
    return ", ".join(f"{Axis.read(text).name} = {length}" for text, length in lengths.items())


def _lengths(graph: Graph, axes: Mapping[str, int]) -> dict[str, int]:
    """The length of each axis that varies, by its text in the file."""
    texts = dict.fromkeys(
        (size, port.name, place)
        for port in graph.inputs
        for place, size in enumerate(port.shape)
        if isinstance(size, str)
    )
    first = {text for text, _, place in texts if place == 0}
    known = {Axis.read(text).name for text, _, _ in texts}
    for name in axes:
        if name not in known:
            names = f"it has {', '.join(sorted(known))}" if known else "none of its axes varies"
            raise ValueError(f"the file has no axis {name!r} that varies: {names}")
    lengths: dict[str, int] = {}
    for text, port, place in texts:
        axis = Axis.read(text)
        length = axes.get(axis.name, 1 if text in first else None)
        if length is None:
            raise NoPlainC(
                f"axis {axis.name} (axis {place} of the input {port}) varies, and C has fixed "
                f"shapes: fix it with --axis {axis.name}=LENGTH"
            )
        if length not in axis:
            raise ValueError(f"axis {axis} cannot be {length} long")
        lengths[text] = length
    return lengths


def _exposed(graph: Graph) -> tuple[Graph, list[int]]:
    """(the graph with the outputs of all nodes as its outputs, their numbers)."""
    value = len(graph.inputs) + graph.weights + len(graph.constants)
    numbers: list[int] = []
    for node in graph.nodes:
        numbers += [value + place for place in range(node.outputs) if place not in node.absent]
        value += node.outputs
    ports = tuple(Port(f"value{number}", 1) for number in numbers)
    return replace(graph, outputs=ports, results=tuple(numbers)), numbers


def _described(
    graph: Graph,
    inputs: tuple[Port, ...],
    fixed: tuple[tuple[str, int], ...],
    tensors: list[Any],
    values: dict[int, np.ndarray],
) -> Traced:
    constants: dict[int, np.ndarray] = {}
    for number, tensor in enumerate((*tensors, *graph.constants), len(inputs)):
        halves = ELEMENTS[tensor.element][0] == "bfloat16"
        constants[number] = (
            (tensor.bits.astype(np.uint32) << 16).view(np.float32) if halves else tensor.array()
        )
    steps: list[Step] = []
    makers: dict[int, Node] = {}
    value = len(inputs) + len(constants)
    varying = set(range(len(inputs)))
    for index, node in enumerate(graph.nodes):
        outputs = tuple(range(value, value + node.outputs))
        value += node.outputs
        makers |= dict.fromkeys(outputs, node)
        named = {name: content for name, _, content in node.attributes}
        if node.operator in ("Shape", "Size") or not varying & set(node.inputs):
            constants |= {number: values[number] for number in outputs if number in values}
            continue
        varying |= set(outputs)
        steps.append(Step(index, node.operator, node.inputs, outputs, named))
    steps = _needed(steps, graph.results)
    readers: dict[int, list[Step]] = {}
    for step in steps:
        for number in step.inputs:
            if number is not None:
                readers.setdefault(number, []).append(step)
    arrays = {**values, **constants}
    shapes = {number: tuple(array.shape) for number, array in arrays.items()}
    names = {number: array.dtype.name for number, array in arrays.items()}
    for number, port in enumerate(inputs):
        shapes[number] = tuple(int(size) for size in port.shape)
        names[number] = ELEMENTS[port.element][0]
    types = {number: "float32" if name == "float16" else name for number, name in names.items()}
    constants = {
        number: array.astype(np.float32) if array.dtype == np.float16 else array
        for number, array in constants.items()
    }
    return Traced(
        inputs,
        fixed,
        tuple(steps),
        shapes,
        types,
        constants,
        makers,
        readers,
        graph.results,
        tuple(port.name for port in graph.outputs),
        "float16" in names.values(),
    )


def _needed(steps: list[Step], results: tuple[int, ...]) -> list[Step]:
    """The steps that a result depends on."""
    wanted = set(results)
    kept: list[Step] = []
    for step in reversed(steps):
        if wanted & set(step.outputs):
            kept.append(step)
            wanted |= {number for number in step.inputs if number is not None}
    return kept[::-1]
