"""The graph of a file, and how it is written.

Its operators come from a list. A node refers only to values before it, so there are no loops.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from shoestring.artifact.format.graph_limits import DEEPEST, Tally
from shoestring.artifact.format.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.format.tensors import ELEMENTS, Tensor, little_endian
from shoestring.artifact.wire import Writer

FLOAT, INT, STRING, TENSOR, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 6, 7, 8  # ONNX attribute types
LISTS = FLOATS - FLOAT  # the type of a list minus that of its items
LARGEST_CONSTANT = 64
"""The most elements of a constant in the graph; a larger one is coded among the tensors."""
_LEAST = {"batch_dims": 0, "blocksize": 1}
"""The least integer that these attributes may have; for the others it is -2^31."""
_OPERATOR = {name: number for number, name in enumerate(OPERATORS)}
_ATTRIBUTE = {name: number for number, name in enumerate(ATTRIBUTES)}

Tree = Any
"""A nest of tuples, lists and dicts, with the index of an input or output (int) in place of each
tensor, and None in place of anything else.
"""


class OperatorError(ValueError):
    """A graph has an operator or attribute that files cannot hold.

    `operator`: the name of the operator.
    """

    def __init__(self, operator: str, why: str) -> None:
        super().__init__(f"{operator}: {why}")
        self.operator = operator


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    `name`: its name, which is not empty.
    `element`: its ONNX element type.
    `shape`: the length of each axis; a string stands for an axis that varies, with its name and
        bounds. It is () for outputs, whose shapes are not stored.
    """

    name: str
    element: int
    shape: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Node:
    """An operator with its inputs and attributes.

    `operator`: its name, from OPERATORS.
    `inputs`: the number of the value that each input is, None for an input that is left out.
    `outputs`: how many outputs it has.
    `attributes`: (name, ONNX attribute type, value) of each, with names from ATTRIBUTES.
    `absent`: the indices of the outputs that are left out.
    """

    operator: str
    inputs: tuple[int | None, ...]
    outputs: int
    attributes: tuple[tuple[str, int, Any], ...] = ()
    absent: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """A graph of operators over numbered values.

    The values are, in this order: the inputs, the tensors of the file, the constants, and the
    outputs of the nodes. A node may only refer to values before its own.
    `opset`: the version of the operators of the default ONNX domain.
    `inputs`: the inputs.
    `weights`: how many tensors the file has.
    `constants`: the small constants.
    `nodes`: the nodes, in the order in which they run.
    `outputs`: the outputs.
    `results`: the number of the value that each output is.
    `arguments`: the tree (args, kwargs) of a call, with the indices of the inputs.
    `structure`: the tree of what a call returns, with the indices of the outputs.
    """

    opset: int
    inputs: tuple[Port, ...]
    weights: int
    constants: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Port, ...]
    results: tuple[int, ...]
    arguments: Tree
    structure: Tree


def out_of_range(name: str, kind: int, content: Any) -> list[int]:
    """The integers of an attribute that files cannot hold.

    `name`, `kind`, `content`: the attribute's name, ONNX attribute type and value.
    ONNX Runtime cuts integers to 32 bits, and for some it aborts the process instead of raising an
    error.
    """
    numbers = content if kind == INTS else (content,) if kind == INT else ()
    return [number for number in numbers if not _LEAST.get(name, -(1 << 31)) <= number < 1 << 31]


def encode(graph: Graph, tally: Tally | None = None) -> bytes:
    """The graph in the bytes that `docs/format.md` describes, not yet deflated.

    `tally`: counts what all graphs of the file have together; None: this is the only one.
    Raises OperatorError for an operator or attribute that files cannot hold, and ValueError for
    more of anything than `graph_limits` allows or a node before one that it refers to.
    """
    _count(graph, tally or Tally(ValueError))
    out = Writer()
    out.varint(graph.opset)
    axes: list[str] = []
    out.varint(len(graph.inputs))
    for port in graph.inputs:
        out.text(port.name)
        out.append(port.element)
        out.varint(len(port.shape))
        for size in port.shape:
            if isinstance(size, str):
                if size not in axes:
                    axes.append(size)
                out.varint(axes.index(size) << 1 | 1)
            else:
                out.varint(size << 1)
    out.varint(len(axes))
    for axis in axes:
        out.text(axis)
    out.varint(graph.weights)
    out.varint(len(graph.constants))
    for constant in graph.constants:
        _write_constant(out, constant)
    static = len(graph.inputs) + graph.weights + len(graph.constants)
    out.varint(len(graph.nodes))
    references = _References(static)
    for node in graph.nodes:
        _write_node(out, node, references)
        references.value += node.outputs
    out.varint(len(graph.outputs))
    for port, result in zip(graph.outputs, graph.results, strict=True):
        out.text(port.name)
        out.append(port.element)
        out.varint(references(result))
    _write_tree(out, graph.arguments)
    _write_tree(out, graph.structure)
    return bytes(out)


def _count(graph: Graph, tally: Tally) -> None:
    """Count what a graph has; raises ValueError for more than a reader takes."""
    axes = {size for port in graph.inputs for size in port.shape if isinstance(size, str)}
    tally.add("inputs", len(graph.inputs))
    tally.add("outputs", len(graph.outputs))
    tally.add("axis names", len(axes))
    tally.add("nodes", len(graph.nodes))
    for name in (*axes, *(port.name for port in (*graph.inputs, *graph.outputs))):
        tally.name(name)
    held = list(graph.constants)
    for node in graph.nodes:
        tally.add("references", len(node.inputs))
        tally.add("outputs of nodes", node.outputs)
        tally.add("attributes and items", len(node.attributes))
        for _, kind, content in node.attributes:
            if kind == TENSOR:
                held.append(content)
            elif kind in (FLOATS, INTS, STRINGS):
                tally.items(len(content))
            for text in content if kind == STRINGS else (content,) if kind == STRING else ():
                tally.name(text)
    tally.add("constants", len(held))
    tally.add("elements of constants", sum(constant.bits.size for constant in held))
    for tree in (graph.arguments, graph.structure):
        _count_tree(tree, tally, 0)


def _count_tree(tree: Tree, tally: Tally, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(
            f"arguments or results are nested more than {DEEPEST} deep: a file holds none that are"
        )
    if isinstance(tree, dict):
        for key in tree:
            tally.name(key)
    if isinstance(tree, dict | list | tuple):
        tally.add("parts of structures", len(tree))
        for branch in tree.values() if isinstance(tree, dict) else tree:
            _count_tree(branch, tally, depth + 1)


class _References:
    """Turns the numbers of values into the integers that the file has for them.

    - 0: the input is left out.
    - Even: the output of a node, as twice the number of values back.
    - Odd: an input, tensor or constant, as a signed distance from the one after the last of these
      that was referred to. Layers that are alike then have the same bytes.

    `static`: how many inputs, tensors and constants there are.
    """

    def __init__(self, static: int) -> None:
        self.static = self.value = static
        self.next = 0

    def __call__(self, number: int | None) -> int:
        """The integer for the number of a value; None: the input is left out."""
        if number is None:
            return 0
        if not 0 <= number < self.value:
            raise ValueError(
                f"there is no value {number} yet: nodes must come after those that they refer to"
            )
        if number >= self.static:
            return (self.value - number) << 1
        distance, self.next = number - self.next, number + 1
        return (distance << 1 if distance >= 0 else (-distance << 1) - 1) << 1 | 1


def _write_constant(out: Writer, constant: Tensor) -> None:
    out.append(constant.element)
    out.varint(constant.bits.ndim)
    for size in constant.bits.shape:
        out.varint(size)
    if ELEMENTS[constant.element][0] == "int64":
        for number in constant.array().reshape(-1).tolist():
            out.signed(number)
    else:
        out += little_endian(constant.bits)


def _write_node(out: Writer, node: Node, references: _References) -> None:
    if node.operator not in _OPERATOR:
        raise OperatorError(node.operator, "files do not hold this operator")
    out.varint(_OPERATOR[node.operator])
    out.varint(len(node.inputs))
    for number in node.inputs:
        out.varint(references(number))
    out.varint(node.outputs << 1 | bool(node.absent))
    if node.absent:
        out.varint(sum(1 << index for index in node.absent))
    out.varint(len(node.attributes))
    for name, kind, content in node.attributes:
        if name not in _ATTRIBUTE:
            raise OperatorError(node.operator, f"files do not hold its attribute {name}")
        for number in out_of_range(name, kind, content):
            raise OperatorError(node.operator, f"files do not hold {name} of {number}")
        out.varint(_ATTRIBUTE[name])
        out.append(kind)
        if kind == TENSOR:
            _write_constant(out, content)
        elif kind in (FLOAT, INT, STRING):
            _write_scalar(out, kind, content)
        elif kind in (FLOATS, INTS, STRINGS):
            out.varint(len(content))
            for item in content:
                _write_scalar(out, kind - LISTS, item)
        else:
            raise OperatorError(
                node.operator, f"files do not hold its attribute {name} of type {kind}"
            )


def _write_scalar(out: Writer, kind: int, content: Any) -> None:
    if kind == FLOAT:
        out += struct.pack("<f", content)
    elif kind == INT:
        out.signed(content)
    else:
        out.text(content)


def _write_tree(out: Writer, tree: Tree) -> None:
    if tree is None:
        out.append(0)
    elif isinstance(tree, int):
        out.append(1)
    elif isinstance(tree, dict):
        out.append(4)
        out.varint(len(tree))
        for key, branch in tree.items():
            out.text(key)
            _write_tree(out, branch)
    else:
        out.append(2 if isinstance(tree, tuple) else 3)
        out.varint(len(tree))
        for branch in tree:
            _write_tree(out, branch)
