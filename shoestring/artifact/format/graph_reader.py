"""Reads the graph of a file.

The file may be hostile, so every integer, name and reference is checked before it is used.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from shoestring.artifact.format.graph import (
    FLOAT,
    FLOATS,
    INT,
    INTS,
    LISTS,
    STRING,
    STRINGS,
    TENSOR,
    Graph,
    Node,
    Port,
    Tree,
    out_of_range,
)
from shoestring.artifact.format.graph_limits import DEEPEST, MOST_NAME, Tally
from shoestring.artifact.format.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.format.tensors import (
    ELEMENTS,
    MOST_AXES,
    Tensor,
    read_element,
    read_plain,
    read_shape,
    unsigned,
)
from shoestring.artifact.wire import Reader, ShoeError


def decode(data: bytes, version: int = 2, tally: Tally | None = None) -> Graph:
    """The graph of a file, with every reference checked.

    `data`: the bytes of the graph, inflated.
    `version`: the version of the file.
    `tally`: counts what all graphs of the file have together; None: this is the only one.
    Raises ShoeError for invalid bytes, and for a graph that is larger than `graph_limits` allows.
    """
    tally = tally or Tally(ShoeError)
    reader = Reader(data, "graph")
    opset = reader.varint(1000)
    inputs = _read_inputs(reader, tally)
    weights = reader.varint(1 << 32)
    constants = tuple(_read_constant(reader, tally) for _ in range(reader.count()))
    static = len(inputs) + weights + len(constants)
    values = _Values(reader, static, version)
    count = tally.add("nodes", reader.varint())
    nodes = tuple(_read_node(reader, values, tally) for _ in range(count))
    outputs: list[Port] = []
    results: list[int] = []
    for _ in range(tally.add("outputs", reader.count())):
        outputs.append(Port(_name(reader), read_element(reader)))
        number = values.number(reader.varint())
        if number is None:
            raise reader.fail("an output has no value")
        results.append(number)
    arguments, arguments_count = _read_tree(reader, tally, 0, 0)
    structure, results_count = _read_tree(reader, tally, 0, 0)
    reader.end()
    if not (
        isinstance(arguments, tuple) and len(arguments) == 2 and isinstance(arguments[0], tuple)
    ):
        raise reader.fail("the arguments are not a tuple and a dictionary")
    counts = arguments_count, results_count
    if not isinstance(arguments[1], dict) or counts != (len(inputs), len(outputs)):
        raise reader.fail("the arguments or results do not match the inputs or outputs")
    names = [port.name for port in inputs]
    if len(set(names)) < len(names) or len({port.name for port in outputs}) < len(outputs):
        raise reader.fail("two inputs or outputs have the same name")
    return Graph(
        opset,
        inputs,
        weights,
        constants,
        nodes,
        tuple(outputs),
        tuple(results),
        arguments,
        structure,
    )


def _read_inputs(reader: Reader, tally: Tally) -> tuple[Port, ...]:
    ports = [
        (
            _name(reader),
            read_element(reader),
            [reader.varint(1 << 40) for _ in range(reader.varint(MOST_AXES))],
        )
        for _ in range(tally.add("inputs", reader.count()))
    ]
    axes = [_name(reader) for _ in range(tally.add("axis names", reader.count()))]
    if any(size & 1 and size >> 1 >= len(axes) for _, _, shape in ports for size in shape):
        raise reader.fail("an input's axis has no name")
    return tuple(
        Port(name, element, tuple(axes[size >> 1] if size & 1 else size >> 1 for size in shape))
        for name, element, shape in ports
    )


class _Values:
    """The values that exist so far. A node can only refer to those before it.

    `static`: how many inputs, tensors and constants there are.
    """

    def __init__(self, reader: Reader, static: int, version: int) -> None:
        self.reader, self.static, self.value = reader, static, static
        self.relative, self.next = version > 1, 0
        self.absent: set[int] = set()

    def number(self, reference: int) -> int | None:
        """The number of the value that an integer of the file refers to; None for no value."""
        if reference == 0:
            return None
        number = reference >> 1 if reference & 1 else self.value - (reference >> 1)
        if reference & 1 and self.relative:
            number = self.next + (number >> 1 if not number & 1 else -((number + 1) >> 1))
            self.next = number + 1
        low, high = (0, self.static) if reference & 1 else (self.static, self.value)
        if not low <= number < high or number in self.absent:
            raise self.reader.fail("a reference to a value that does not exist")
        return number


def _name(reader: Reader) -> str:
    """The next text of a graph, which must not be empty."""
    name = reader.text(MOST_NAME)
    if not name:
        raise reader.fail("an input, output or axis has no name")
    return name


def _read_constant(reader: Reader, tally: Tally) -> Tensor:
    tally.add("constants", 1)
    element = read_element(reader)
    shape = read_shape(reader)
    count = math.prod(shape)
    if count > reader.left():  # every element takes a byte or more
        raise reader.fail(f"a constant of shape {shape} is larger than the graph")
    tally.add("elements of constants", count)
    if ELEMENTS[element][0] == "int64":
        bits = np.array([reader.signed() for _ in range(count)], np.int64).view(np.uint64)
    else:
        bits = read_plain(reader, element, unsigned(element), count)
    return Tensor(element, bits.reshape(shape))


def _read_node(reader: Reader, values: _Values, tally: Tally) -> Node:
    number = reader.varint()
    if number >= len(OPERATORS):
        raise reader.fail(f"there is no operator {number}")
    count = tally.add("references", reader.count())
    inputs = tuple(values.number(reader.varint()) for _ in range(count))
    outputs = reader.varint(255)
    tally.add("outputs of nodes", outputs >> 1)
    absent: tuple[int, ...] = ()
    if outputs & 1:
        mask = reader.varint()
        absent = tuple(index for index in range(outputs >> 1) if mask >> index & 1)
        if sum(1 << index for index in absent) != mask or not mask:
            raise reader.fail("an absent output is not among the outputs")
    if not outputs >> 1:
        raise reader.fail("a node has no outputs")
    count = tally.add("attributes and items", reader.count())
    attributes = tuple(_read_attribute(reader, tally) for _ in range(count))
    if len({name for name, _, _ in attributes}) < len(attributes):
        raise reader.fail("a node has the same attribute twice")
    values.absent |= {values.value + index for index in absent}
    values.value += outputs >> 1
    return Node(OPERATORS[number], inputs, outputs >> 1, attributes, absent)


def _read_attribute(reader: Reader, tally: Tally) -> tuple[str, int, Any]:
    number = reader.varint()
    if number >= len(ATTRIBUTES):
        raise reader.fail(f"there is no attribute {number}")
    kind = reader.byte()
    if kind == TENSOR:
        content: Any = _read_constant(reader, tally)
    elif kind in (FLOAT, INT, STRING):
        content = _read_scalar(reader, kind)
    elif kind in (FLOATS, INTS, STRINGS):
        count = tally.items(reader.count())
        content = tuple(_read_scalar(reader, kind - LISTS) for _ in range(count))
    else:
        raise reader.fail(f"there is no attribute type {kind}")
    name = ATTRIBUTES[number]
    for integer in out_of_range(name, kind, content):
        raise reader.fail(f"there is no {name} of {integer}")
    return name, kind, content


def _read_scalar(reader: Reader, kind: int) -> Any:
    if kind == FLOAT:
        return struct.unpack("<f", reader.take(4))[0]
    return reader.signed() if kind == INT else reader.text(MOST_NAME)


def _read_tree(reader: Reader, tally: Tally, next_leaf: int, depth: int) -> tuple[Tree, int]:
    """(a tree, the number of leaves up to its end).

    `next_leaf`: the index that its first leaf gets.
    `depth`: how deep it is nested.
    """
    if depth > DEEPEST:
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
    for _ in range(tally.add("parts of structures", reader.count())):
        if tag == 4:
            keys.append(reader.text(MOST_NAME))
        branch, next_leaf = _read_tree(reader, tally, next_leaf, depth + 1)
        branches.append(branch)
    if tag == 4:
        if len(set(keys)) < len(keys):
            raise reader.fail("a structure has the same key twice")
        return dict(zip(keys, branches, strict=True)), next_leaf
    return (tuple(branches) if tag == 2 else branches), next_leaf
