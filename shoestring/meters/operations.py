"""Operations: multiplications and additions per example, from the file's graph and its shapes."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from shoestring.artifact import Content, Entries, Loaded, by_entry, read_model
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.format.tensors import NUMBERS
from shoestring.core import Cost, Task
from shoestring.meters.inputs import as_file, feeds, of_entry

Shape = tuple[int, ...]


class UnmeasuredWarning(UserWarning):
    """A cost stays unmeasured; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Operations:
    """`operations`: of each entry's run on one example; a multiplication and an addition are two.

    The graph is counted as it is written. Counted are the products and sums of operators that
    multiply matrices: Conv, ConvInteger, QLinearConv, ConvTranspose, Gemm, MatMul, MatMulInteger,
    QLinearMatMul, Einsum, RNN, GRU, LSTM and Attention. Zeros count like any other number: zero
    weights because the runtime multiplies by them, padding by convention. Work in proportion to a
    tensor's elements is not counted: biases, activations, normalization, pooling, look-ups,
    quantization.

    Axes that vary, such as time, have the length that they have in the task's example. Where no
    axis varies, the whole fixed batch is counted. A graph with another operator that multiplies
    (DFT, STFT, DeformConv, LinearAttention, CausalConvWithState) stays unmeasured, and an
    UnmeasuredWarning names it. Raises FileNotFoundError for a path without a file and ShoeError for
    a damaged file.
    """

    measures: ClassVar[str] = "operations"

    def why_not(self) -> str | None:
        """None: operations can be counted everywhere."""
        return None

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        with as_file(subject, task) as path:
            content = read_model(path)
        contents = by_entry(content).values()
        used = {node.operator for entry in contents for node in entry.graph.nodes}
        unknown = sorted(used & _UNKNOWN)
        if unknown:
            why = (
                "operations are unmeasured: there is no rule for the operations of "
                f"{', '.join(unknown)}"
            )
            warnings.warn(why, UnmeasuredWarning, stacklevel=2)
            return Cost()
        return Cost(operations=sum(count for _, count in counts(content, task)))


def counts(content: Content | Entries, task: Task) -> list[tuple[str, int]]:
    """The operator of each counted node and its operations on one example, entry by entry."""
    inputs = feeds(content, task)
    return [
        count
        for name, entry in by_entry(content).items()
        for count in _counts(entry, of_entry(inputs, name))
    ]


def _counts(content: Content, inputs: dict[str, np.ndarray]) -> list[tuple[str, int]]:
    """The operator of each counted node and its operations, in the order of the graph."""
    first = len(content.graph.inputs) + content.graph.weights + len(content.graph.constants)
    counted_nodes: list[tuple[Node, int]] = []
    for node in content.graph.nodes:
        if node.operator in _RULES:
            counted_nodes.append((node, first))
        first += node.outputs
    numbers = {n for node, output in counted_nodes for n in (output, *node.inputs) if n is not None}
    # An output that is absent has no value whose shape could be asked for, and no rule needs it.
    numbers -= {output for node, output in counted_nodes if 0 in node.absent}
    shapes = _shapes(content, inputs, sorted(numbers))
    operations: list[tuple[str, int]] = []
    for node, output in counted_nodes:
        operands = [shapes[n] if n is not None else () for n in node.inputs]
        attributes = {name: value for name, _, value in node.attributes}
        operations.append(
            (node.operator, _RULES[node.operator](operands, shapes.get(output, ()), attributes))
        )
    return operations


def _shapes(
    content: Content, inputs: dict[str, np.ndarray], numbers: list[int]
) -> dict[int, Shape]:
    """The shapes of values, by number, in one run on one example.

    The graph is run with Shape nodes added.
    """
    if not numbers:
        return {}
    graph = content.graph
    first = (
        len(graph.inputs)
        + graph.weights
        + len(graph.constants)
        + sum(node.outputs for node in graph.nodes)
    )
    asking: Graph = replace(
        graph,
        nodes=(*graph.nodes, *(Node("Shape", (number,), 1) for number in numbers)),
        outputs=tuple(Port(f"shape_{number}", NUMBERS["int64"]) for number in numbers),
        results=tuple(range(first, first + len(numbers))),
        structure=tuple(range(len(numbers))),
    )
    answers = Loaded(Content(asking, content.tensors), threads=1).run(inputs)
    return {number: tuple(answers[f"shape_{number}"].tolist()) for number in numbers}


Rule = Callable[[Sequence[Shape], Shape, dict[str, Any]], int]


def _convolution(weight: int) -> Rule:
    """Each output is a sum over a kernel of (input channels / groups) × its window.

    These are the axes of the weight from 1 on.
    """
    return lambda operands, output, _: 2 * prod(output) * prod(operands[weight][1:])


def _transposed(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    """Each input is spread over a kernel of (output channels / groups) × its window."""
    return 2 * prod(operands[0]) * prod(operands[1][1:])


def _gemm(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    return 2 * prod(output) * operands[0][0 if attributes.get("transA", 0) else 1]


def _matmul(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    return 2 * prod(output) * operands[0][-1]


def _recurrent(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    """Each weight of the input (W) and of the state (R) is used once per time step and example."""
    steps_examples = prod(operands[0][:2])
    return 2 * steps_examples * (prod(operands[1]) + prod(operands[2]))


def _einsum(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    """A multiplication and an addition of two operands for each combination of indices.

    Nothing is counted where there is one operand or nothing is summed.
    """
    equation = re.sub(r"\s", "", attributes["equation"])
    left, _, right = equation.partition("->")
    sizes: dict[str, int] = {}
    for term, shape in zip(left.split(","), operands, strict=True):
        leading, dots, trailing = term.partition("...")
        hidden = len(shape) - len(leading) - len(trailing)
        letters = [
            *leading,
            *(f".{hidden - axis}" for axis in range(hidden if dots else 0)),
            *trailing,
        ]
        for letter, size in zip(letters, shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    letters = re.findall("[A-Za-z]", left)
    kept = (
        right if "->" in equation else [letter for letter in letters if letters.count(letter) == 1]
    )
    summed = set(letters) - set(kept)
    return len(operands) * prod(sizes.values()) if summed and len(operands) > 1 else 0


def _attention(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    """The products of queries with keys, and of attention weights with values.

    Each element of the queries and of the output meets every key.
    """
    past = operands[4][-2] if len(operands) > 4 and operands[4] else 0
    return 2 * (operands[1][-2] + past) * (prod(operands[0]) + prod(output))


_RULES: dict[str, Rule] = {
    "Attention": _attention,
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "ConvTranspose": _transposed,
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearConv": _convolution(3),
    "QLinearMatMul": _matmul,
    "RNN": _recurrent,
}
_UNKNOWN = frozenset({"CausalConvWithState", "DFT", "DeformConv", "LinearAttention", "STFT"})
