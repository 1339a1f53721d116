"""Operations: multiplies and adds per example, from the file's graph and the shapes that really
run.
"""

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
    """`operations`: of one run on one example (of several entries, one run of each), a multiply and
    an add being two, as the graph is written.

    Counted are the operators that multiply matrices: Conv, ConvInteger, QLinearConv, ConvTranspose,
    Gemm, MatMul, MatMulInteger, QLinearMatMul, Einsum, RNN, GRU, LSTM and Attention; of each, the
    products and their sums only. Zeros count like any other number: of weights, because the runtime
    multiplies by them, and of padding, by custom. Not counted is work in proportion to a tensor's
    elements: biases, activations, normalisation, pooling, look-ups, quantising. Other axes that
    vary, such as time, have the length that the task's example has; where nothing varies, the whole
    fixed batch is counted.

    A graph with other operators of this kind (DFT, STFT, DeformConv, LinearAttention,
    CausalConvWithState) stays unmeasured, and an UnmeasuredWarning names them. Raises
    FileNotFoundError, ShoeError for a damaged file.
    """

    measures: ClassVar[str] = "operations"

    def why_not(self) -> str | None:
        """None: this can be measured everywhere."""
        return None

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        with as_file(subject, task) as path:
            content = read_model(path)
        used = {node.operator for one in by_entry(content).values() for node in one.graph.nodes}
        unknown = sorted(used & _UNKNOWN)
        if unknown:
            why = (
                "operations are unmeasured: nobody has written down how many "
                f"{', '.join(unknown)} takes"
            )
            warnings.warn(why, UnmeasuredWarning, stacklevel=2)
            return Cost()
        return Cost(operations=sum(count for _, count in counts(content, task)))


def counts(content: Content | Entries, task: Task) -> list[tuple[str, int]]:
    """(operator, operations on one example) of each counted node, in the order of the graph, of
    each entry.
    """
    inputs = feeds(content, task)
    return [
        one
        for name, own in by_entry(content).items()
        for one in _counts(own, of_entry(inputs, name))
    ]


def _counts(content: Content, inputs: dict[str, np.ndarray]) -> list[tuple[str, int]]:
    first = len(content.graph.inputs) + content.graph.weights + len(content.graph.constants)
    counted: list[tuple[Node, int]] = []
    for node in content.graph.nodes:
        if node.operator in _RULES:
            counted.append((node, first))
        first += node.outputs
    numbers = {n for node, output in counted for n in (output, *node.inputs) if n is not None}
    # Of an output that is absent there is no value to ask for; what is counted is never asked by
    # it.
    numbers -= {output for node, output in counted if 0 in node.absent}
    shapes = _shapes(content, inputs, sorted(numbers))
    found: list[tuple[str, int]] = []
    for node, output in counted:
        operands = [shapes[n] if n is not None else () for n in node.inputs]
        attributes = {name: value for name, _, value in node.attributes}
        found.append(
            (node.operator, _RULES[node.operator](operands, shapes.get(output, ()), attributes))
        )
    return found


def _shapes(
    content: Content, inputs: dict[str, np.ndarray], numbers: list[int]
) -> dict[int, Shape]:
    """The shapes of values, by number, as one run on one example has them.

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
    """Each output is a sum over a kernel of (channels in / groups) × its window.

    The weight's axes from 1 on.
    """
    return lambda operands, output, _: 2 * prod(output) * prod(operands[weight][1:])


def _transposed(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    """Each input is spread over a kernel of (channels out / groups) × its window."""
    return 2 * prod(operands[0]) * prod(operands[1][1:])


def _gemm(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    return 2 * prod(output) * operands[0][0 if attributes.get("transA", 0) else 1]


def _matmul(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    return 2 * prod(output) * operands[0][-1]


def _recurrent(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    """At each of steps × examples every weight is used once.

    Those of the input W, and those of the state R.
    """
    steps_examples = prod(operands[0][:2])
    return 2 * steps_examples * (prod(operands[1]) + prod(operands[2]))


def _einsum(operands: Sequence[Shape], output: Shape, attributes: dict[str, Any]) -> int:
    """Of two operands, a multiply and an add for each combination of indices.

    Of one, or with nothing summed, none.
    """
    equation = re.sub(r"\s", "", attributes["equation"])
    left, _, right = equation.partition("->")
    sizes: dict[str, int] = {}
    for term, shape in zip(left.split(","), operands, strict=True):
        before, dots, after = term.partition("...")
        hidden = len(shape) - len(before) - len(after)
        letters = [
            *before,
            *(f".{hidden - place}" for place in range(hidden if dots else 0)),
            *after,
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
    """Queries times keys, and weights times values.

    Each query and each output element meets every key.
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
