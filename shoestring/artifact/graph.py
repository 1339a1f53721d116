"""The graph of a file: what is computed, in an order that cannot loop, with operators from a list."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoestring.artifact.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.tensors import ELEMENTS, MOST_AXES, Tensor, unsigned
from shoestring.artifact.wire import Reader, Writer

FLOAT, INT, STRING, TENSOR, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 6, 7, 8  # ONNX attribute types
_OPERATOR = {name: number for number, name in enumerate(OPERATORS)}
_ATTRIBUTE = {name: number for number, name in enumerate(ATTRIBUTES)}
_DEEPEST = 16

Tree = Any
"""A nest of tuples, lists and dicts; in place of tensors stand their numbers (int), in place of anything else None."""


class OperatorError(ValueError):
    """A graph has an operator or attribute that files do not hold. `operator` is its name."""

    def __init__(self, operator: str, why: str) -> None:
        super().__init__(f"{operator}: {why}")
        self.operator = operator


@dataclass(frozen=True)
class Port:
    """An input or output: its name, ONNX element type and shape, where a string is the name of an axis that varies.

    The shape of an output is not kept (empty).
    """

    name: str
    element: int
    shape: tuple[int | str, ...] = ()


@dataclass(frozen=True)
class Node:
    """An operator with the numbers of its input values (None: absent), how many outputs it has, and its attributes.

    `absent` lists the outputs that are not wanted. An attribute is (name, ONNX attribute type, value).
    """

    operator: str
    inputs: tuple[int | None, ...]
    outputs: int
    attributes: tuple[tuple[str, int, Any], ...] = ()
    absent: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Values are numbered: the inputs, then the tensors of the file (`weights` of them), the constants, the nodes' outputs.

    `results` are the numbers of the outputs' values. `arguments` is the (args, kwargs) tree of a call, `structure` that of
    what it returns.
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
    value = static
    out.varint(len(graph.nodes))
    for node in graph.nodes:
        _write_node(out, node, static, value)
        value += node.outputs
    out.varint(len(graph.outputs))
    for port, result in zip(graph.outputs, graph.results, strict=True):
        out.text(port.name)
        out.append(port.element)
        out.varint(_reference(result, static, value))
    _write_tree(out, graph.arguments)
    _write_tree(out, graph.structure)
    return bytes(out)


def _reference(number: int | None, static: int, value: int) -> int:
    """0: absent; odd: an input, tensor or constant by number; even: so many values back from the newest."""
    if number is None:
        return 0
    return number << 1 | 1 if number < static else (value - number) << 1


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


def _write_node(out: Writer, node: Node, static: int, value: int) -> None:
    if node.operator not in _OPERATOR:
        raise OperatorError(node.operator, "files do not hold this operator")
    out.varint(_OPERATOR[node.operator])
    out.varint(len(node.inputs))
    for number in node.inputs:
        out.varint(_reference(number, static, value))
    out.varint(node.outputs << 1 | bool(node.absent))
    if node.absent:
        out.varint(sum(1 << place for place in node.absent))
    out.varint(len(node.attributes))
    for name, kind, content in node.attributes:
        if name not in _ATTRIBUTE:
            raise OperatorError(node.operator, f"files do not hold its attribute {name}")
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
            raise OperatorError(node.operator, f"files do not hold its attribute {name} of type {kind}")


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


def decode(data: bytes) -> Graph:
    """The graph, with every reference checked; raises ShoeError."""
    reader = Reader(data, "graph")
    opset = reader.varint(1000)
    ports = [
        (reader.text(), _element(reader), [reader.varint(1 << 40) for _ in range(reader.varint(MOST_AXES))])
        for _ in range(reader.count())
    ]
    axes = [reader.text() for _ in range(reader.count())]
    if any(size & 1 and size >> 1 >= len(axes) for _, _, shape in ports for size in shape):
        raise reader.fail("an input's axis has no name")
    inputs = tuple(
        Port(name, element, tuple(axes[size >> 1] if size & 1 else size >> 1 for size in shape))
        for name, element, shape in ports
    )
    weights = reader.varint(1 << 32)
    constants = tuple(_read_constant(reader) for _ in range(reader.count()))
    static = len(inputs) + weights + len(constants)
    present = _Present(reader, static)
    nodes = tuple(_read_node(reader, present) for _ in range(reader.count()))
    outputs: list[Port] = []
    results: list[int] = []
    for _ in range(reader.count()):
        outputs.append(Port(reader.text(), _element(reader)))
        number = present.number(reader.varint())
        if number is None:
            raise reader.fail("an output has no value")
        results.append(number)
    arguments, used = _read_tree(reader, 0, 0)
    structure, given = _read_tree(reader, 0, 0)
    reader.end()
    if not (isinstance(arguments, tuple) and len(arguments) == 2 and isinstance(arguments[0], tuple)):
        raise reader.fail("the arguments are not a tuple and a dictionary")
    if not isinstance(arguments[1], dict) or used != len(inputs) or given != len(outputs):
        raise reader.fail("the arguments or results do not match the inputs or outputs")
    names = [port.name for port in inputs]
    if len(set(names)) < len(names) or len({port.name for port in outputs}) < len(outputs):
        raise reader.fail("two inputs or outputs have the same name")
    return Graph(opset, inputs, weights, constants, nodes, tuple(outputs), tuple(results), arguments, structure)


class _Present:
    """The values that exist so far, so that a node can only refer to what comes before it."""

    def __init__(self, reader: Reader, static: int) -> None:
        self.reader, self.static, self.value = reader, static, static
        self.holes: set[int] = set()

    def number(self, reference: int) -> int | None:
        if reference == 0:
            return None
        number = reference >> 1 if reference & 1 else self.value - (reference >> 1)
        low, high = (0, self.static) if reference & 1 else (self.static, self.value)
        if not low <= number < high or number in self.holes:
            raise self.reader.fail("a reference to a value that does not exist")
        return number


def _element(reader: Reader) -> int:
    element = reader.byte()
    if element not in ELEMENTS:
        raise reader.fail(f"there is no element type {element}")
    return element


def _read_constant(reader: Reader) -> Tensor:
    element = _element(reader)
    shape = tuple(reader.varint(1 << 40) for _ in range(reader.varint(MOST_AXES)))
    if (math.prod(size or 1 for size in shape) > reader.left() + 1 and 0 not in shape) or max(shape, default=0) > 1 << 20:
        raise reader.fail(f"a constant of shape {shape} is larger than the graph")
    count = math.prod(shape)
    if ELEMENTS[element][0] == "int64":
        numbers = [reader.signed() for _ in range(count)]
        bits = np.array(numbers, np.int64).view(np.uint64)
    else:
        kind = unsigned(element)
        bits = np.frombuffer(reader.take(count * kind.itemsize), kind.newbyteorder("<")).astype(kind)
        if ELEMENTS[element][0] == "bool" and (bits > 1).any():
            raise reader.fail("a truth value is neither 0 nor 1")
    return Tensor(element, bits.reshape(shape))


def _read_node(reader: Reader, present: _Present) -> Node:
    number = reader.varint()
    if number >= len(OPERATORS):
        raise reader.fail(f"there is no operator {number}")
    inputs = tuple(present.number(reader.varint()) for _ in range(reader.count()))
    outputs = reader.varint(255)
    absent: tuple[int, ...] = ()
    if outputs & 1:
        places = reader.varint()
        absent = tuple(place for place in range(outputs >> 1) if places >> place & 1)
        if sum(1 << place for place in absent) != places or not places:
            raise reader.fail("an absent output is not among the outputs")
    if not outputs >> 1:
        raise reader.fail("a node has no outputs")
    attributes = tuple(_read_attribute(reader) for _ in range(reader.count()))
    if len({name for name, _, _ in attributes}) < len(attributes):
        raise reader.fail("a node has the same attribute twice")
    present.holes |= {present.value + place for place in absent}
    present.value += outputs >> 1
    return Node(OPERATORS[number], inputs, outputs >> 1, attributes, absent)


def _read_attribute(reader: Reader) -> tuple[str, int, Any]:
    number = reader.varint()
    if number >= len(ATTRIBUTES):
        raise reader.fail(f"there is no attribute {number}")
    kind = reader.byte()
    if kind == TENSOR:
        content: Any = _read_constant(reader)
    elif kind in (FLOAT, INT, STRING):
        content = _read_scalar(reader, kind)
    elif kind in (FLOATS, INTS, STRINGS):
        content = tuple(_read_scalar(reader, kind - 5) for _ in range(reader.count()))
    else:
        raise reader.fail(f"there is no attribute type {kind}")
    return ATTRIBUTES[number], kind, content


def _read_scalar(reader: Reader, kind: int) -> Any:
    if kind == FLOAT:
        return struct.unpack("<f", reader.take(4))[0]
    return reader.signed() if kind == INT else reader.text()


def _read_tree(reader: Reader, next_leaf: int, depth: int) -> tuple[Tree, int]:
    if depth > _DEEPEST:
        raise reader.fail("arguments or results are nested too deep")
    tag = reader.byte()
    if tag == 0:
        return None, next_leaf
    if tag == 1:
        return next_leaf, next_leaf + 1
    if tag not in (2, 3, 4):
        raise reader.fail(f"there is no structure {tag}")
    keys: list[str] = []
    branches: list[Tree] = []
    for _ in range(reader.count()):
        if tag == 4:
            keys.append(reader.text())
        branch, next_leaf = _read_tree(reader, next_leaf, depth + 1)
        branches.append(branch)
    if tag == 4:
        if len(set(keys)) < len(keys):
            raise reader.fail("a structure has the same key twice")
        return dict(zip(keys, branches, strict=True)), next_leaf
    return (tuple(branches) if tag == 2 else branches), next_leaf
