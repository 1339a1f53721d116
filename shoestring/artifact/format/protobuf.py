"""A graph as the bytes of an ONNX model, written without the onnx package.

Running a file must not need that package.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format.graph import Graph, Port
from shoestring.artifact.format.tensors import Tensor
from shoestring.artifact.wire import Writer


class _Message(Writer):
    """A protocol-buffers message (wire types 0, 2 and 5)."""

    def number(self, field: int, value: int) -> None:
        self.varint(field << 3)
        self.varint(value & (1 << 64) - 1)

    def data(self, field: int, value: bytes | bytearray) -> None:
        self.varint(field << 3 | 2)
        self.varint(len(value))
        self += value

    def string(self, field: int, value: str) -> None:
        self.data(field, value.encode())

    def real(self, field: int, value: float) -> None:
        self.varint(field << 3 | 5)
        self += struct.pack("<f", value)


def onnx_bytes(graph: Graph, tensors: Sequence[Tensor], *, segment: bool = False) -> bytes:
    """A ModelProto with the tensors as initialisers.

    `segment`: types of outputs, and shapes of inputs that say none, are left out.
    """
    taken = {port.name for port in graph.inputs}
    ends = [
        _free(port.name, taken) for port in graph.outputs
    ]  # an input of the same name goes before it
    names = [_free(name, taken) for name in (f"w{i}" for i in range(len(tensors)))]
    values = (
        [port.name for port in graph.inputs]
        + names
        + [_free(f"c{i}", taken) for i in range(len(graph.constants))]
    )
    body = _Message()
    for node in graph.nodes:
        outputs = [
            "" if place in node.absent else _free(f"v{len(values) + place}", taken)
            for place in range(node.outputs)
        ]
        body.data(1, _node(node, ["" if i is None else values[i] for i in node.inputs], outputs))
        values += outputs
    for end, result in zip(ends, graph.results, strict=True):
        # A value may be several outputs, or an input: ONNX wants each output to be a value of its
        # own name.
        identity = graphs.Node("Identity", (result,), 1)
        body.data(1, _node(identity, [values[result]], [end]))
    body.string(2, "shoestring")
    for name, one in zip(values[len(graph.inputs) :], (*tensors, *graph.constants), strict=False):
        body.data(5, _tensor(one, name))
    for port in graph.inputs:
        body.data(11, _port(port, port.name, bool(port.shape) or not segment))
    for port, end in zip(graph.outputs, ends, strict=True):
        body.data(12, _untyped(end) if segment else _port(port, end, False))
    model = _Message()
    model.number(
        1, 10 if graph.opset <= 22 else 11
    )  # the version of ONNX's own format: 10 came with opset 21
    model.string(2, "shoestring")
    opset = _Message()
    opset.string(1, "")
    opset.number(2, graph.opset)
    model.data(7, body)
    model.data(8, opset)
    del body  # the weights are in it, and need not be in memory thrice
    return bytes(model)


def _free(name: str, taken: set[str]) -> str:
    """The name, lengthened until nothing else has it; it is then taken."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _node(node: graphs.Node, inputs: list[str], outputs: list[str]) -> _Message:
    out = _Message()
    for name in inputs:
        out.string(1, name)
    for name in outputs:
        out.string(2, name)
    out.string(4, node.operator)
    for name, kind, content in node.attributes:
        out.data(5, _attribute(name, kind, content))
    return out


def _attribute(name: str, kind: int, content: Any) -> _Message:
    out = _Message()
    out.string(1, name)
    if kind == graphs.FLOAT:
        out.real(2, content)
    elif kind == graphs.INT:
        out.number(3, content)
    elif kind == graphs.STRING:
        out.string(4, content)
    elif kind == graphs.TENSOR:
        out.data(5, _tensor(content, ""))
    for item in content if kind in (graphs.FLOATS, graphs.INTS, graphs.STRINGS) else ():
        {graphs.FLOATS: out.real, graphs.INTS: out.number, graphs.STRINGS: out.string}[kind](
            kind + 1, item
        )
    out.number(20, kind)
    return out


def _tensor(one: Tensor, name: str) -> _Message:
    out = _Message()
    for size in one.bits.shape:
        out.number(1, size)
    out.number(2, one.element)
    out.string(8, name)
    out.data(9, one.bits.astype(one.bits.dtype.newbyteorder("<")).tobytes())
    return out


def _untyped(name: str) -> _Message:
    out = _Message()
    out.string(1, name)
    return out


def _port(port: Port, name: str, shaped: bool) -> _Message:
    kind = _Message()
    kind.number(1, port.element)
    if shaped:
        shape = _Message()
        for size in port.shape:
            axis = _Message()
            if isinstance(size, str):
                axis.string(2, size)
            else:
                axis.number(1, size)
            shape.data(1, axis)
        kind.data(2, shape)
    wrapped, out = _Message(), _Message()
    wrapped.data(1, kind)
    out.string(1, name)
    out.data(2, wrapped)
    return out
