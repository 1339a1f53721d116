"""The graph of a file: what is computed, in an order that cannot loop, with operators from a list."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from shoestring.artifact.format.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.format.tensors import ELEMENTS, Tensor
from shoestring.artifact.wire import Writer

FLOAT, INT, STRING, TENSOR, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 6, 7, 8  # ONNX attribute types
MOST_NODES = 1 << 14  # of which ONNX Runtime makes a session in about ten seconds
LARGEST_CONSTANT = 64
"""What a writer has in the graph.

A constant with more elements than this is kept, and coded, among the tensors.
"""
_LEAST = {"batch_dims": 0, "blocksize": 1}
_OPERATOR = {name: number for number, name in enumerate(OPERATORS)}
_ATTRIBUTE = {name: number for number, name in enumerate(ATTRIBUTES)}

Tree = Any
"""A nest of tuples, lists and dicts.

In place of tensors stand their numbers (int), in place of anything else None.
"""


class OperatorError(ValueError):
    """A graph has an operator or attribute that files do not hold. `operator` is its name."""

    def __init__(self, operator: str, why: str) -> None:
        super().__init__(f"{operator}: {why}")
        self.operator = operator


@dataclass(frozen=True)
class Port:
    """An input or output: its name, ONNX element type and shape, where a string is the name of an
    axis that varies.

    The shape of an output is not kept (empty).
    """

    name: str
    element: int
    shape: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Node:
    """An operator with the numbers of its input values (None.

    Absent), how many outputs it has, and its attributes.
    `absent` lists the outputs that are not wanted. An attribute is (name, ONNX attribute type,
    value).
    """

    operator: str
    inputs: tuple[int | None, ...]
    outputs: int
    attributes: tuple[tuple[str, int, Any], ...] = ()
    absent: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Values are numbered: the inputs, then the tensors of the file (`weights` of them), the
    constants, the nodes' outputs.

    `results` are the numbers of the outputs' values. `arguments` is the (args, kwargs) tree of a
    call, `structure` that of what it returns.
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


def outlandish(name: str, kind: int, content: Any) -> list[int]:
    """The whole numbers of an attribute that files do not hold.

    ONNX Runtime cuts them to 32 bits and, for some, ends the process where it should complain.
    """
    numbers = content if kind == INTS else (content,) if kind == INT else ()
    return [one for one in numbers if not _LEAST.get(name, -(1 << 31)) <= one < 1 << 31]


def encode(graph: Graph) -> bytes:
    """The graph as `docs/format.md` lays it out, before deflating; raises OperatorError."""
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
    for one in graph.constants:
        _write_constant(out, one)
    static = len(graph.inputs) + graph.weights + len(graph.constants)
    if len(graph.nodes) > MOST_NODES:
        raise ValueError(
            f"a file holds at most {MOST_NODES} nodes and this graph has {len(graph.nodes)}"
        )
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


class _References:
    """Numbers of values as they are written: 0, absent; odd, an input, tensor or constant.

    Even, so many values back.
    Inputs, tensors and constants are counted from the one after that which was referred to last:
    layers that are alike are then written alike.
    """

    def __init__(self, static: int) -> None:
        self.static = self.value = static
        self.next = 0

    def __call__(self, number: int | None) -> int:
        """Of the number of a value, None where there is none."""
        if number is None:
            return 0
        if not 0 <= number < self.value:
            raise ValueError(
                f"there is no value {number} yet: nodes must come after those that they refer to"
            )
        if number >= self.static:
            return (self.value - number) << 1
        apart, self.next = number - self.next, number + 1
        return (apart << 1 if apart >= 0 else (-apart << 1) - 1) << 1 | 1


def _write_constant(out: Writer, one: Tensor) -> None:
    out.append(one.element)
    out.varint(one.bits.ndim)
    for size in one.bits.shape:
        out.varint(size)
    if ELEMENTS[one.element][0] == "int64":
        for number in one.array().reshape(-1).tolist():
            out.signed(number)
    else:
        out += one.bits.astype(one.bits.dtype.newbyteorder("<")).tobytes()


def _write_node(out: Writer, node: Node, references: _References) -> None:
    if node.operator not in _OPERATOR:
        raise OperatorError(node.operator, "files do not hold this operator")
    out.varint(_OPERATOR[node.operator])
    out.varint(len(node.inputs))
    for number in node.inputs:
        out.varint(references(number))
    out.varint(node.outputs << 1 | bool(node.absent))
    if node.absent:
        out.varint(sum(1 << place for place in node.absent))
    out.varint(len(node.attributes))
    for name, kind, content in node.attributes:
        if name not in _ATTRIBUTE:
            raise OperatorError(node.operator, f"files do not hold its attribute {name}")
        for one in outlandish(name, kind, content):
            raise OperatorError(node.operator, f"files do not hold {name} of {one}")
        out.varint(_ATTRIBUTE[name])
        out.append(kind)
        if kind == TENSOR:
            _write_constant(out, content)
        elif kind in (FLOAT, INT, STRING):
            _write_scalar(out, kind, content)
        elif kind in (FLOATS, INTS, STRINGS):
            out.varint(len(content))
            for item in content:
                _write_scalar(out, kind - 5, item)
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
