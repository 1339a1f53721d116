"""A graph as the bytes of an ONNX model, written without the onnx package.

Running a file must not need that package.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format.graph import Graph, Port
from shoestring.artifact.format.tensors import Tensor, little_endian
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
    """A ModelProto in bytes, with the tensors as initialisers.

    `graph`: the graph. An output with the name of an input gets another name.
    `tensors`: its tensors, as many as `graph.weights`.
    `segment`: whether the graph is a segment of another one, whose outputs have no types yet: leave
        out the types of outputs, and the shape of an input whose shape is ().
    """
    taken = {port.name for port in graph.inputs}
    output_names = [_free(port.name, taken) for port in graph.outputs]
    names = [_free(name, taken) for name in (f"w{i}" for i in range(len(tensors)))]
    values = (
        [port.name for port in graph.inputs]
        + names
        + [_free(f"c{i}", taken) for i in range(len(graph.constants))]
    )
    body = _Message()
    for node in graph.nodes:
        outputs = [
            "" if index in node.absent else _free(f"v{len(values) + index}", taken)
            for index in range(node.outputs)
        ]
        body.data(1, _node(node, ["" if i is None else values[i] for i in node.inputs], outputs))
        values += outputs
    for name, result in zip(output_names, graph.results, strict=True):
        # One value may be several outputs, or an input. In ONNX each output is a value with a name
        # of its own.
        identity = graphs.Node("Identity", (result,), 1)
        body.data(1, _node(identity, [values[result]], [name]))
    body.string(2, "shoestring")
    static = (*tensors, *graph.constants)
    for name, tensor in zip(values[len(graph.inputs) :], static, strict=False):
        body.data(5, _tensor(tensor, name))
    for port in graph.inputs:
        body.data(11, _port(port, port.name, bool(port.shape) or not segment))
    for port, name in zip(graph.outputs, output_names, strict=True):
        body.data(12, _untyped(name) if segment else _port(port, name, False))
    model = _Message()
    # The version of ONNX's own format: 10 came with opset 21.
    model.number(1, 10 if graph.opset <= 22 else 11)
    model.string(2, "shoestring")
    opset = _Message()
    opset.string(1, "")
    opset.number(2, graph.opset)
    model.data(7, body)
    model.data(8, opset)
    del body  # it holds a copy of the weights; without this there would be three
    return bytes(model)


def _free(name: str, taken: set[str]) -> str:
    """The name with so many underscores that it is not in `taken`, to which it is added."""
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


def _tensor(tensor: Tensor, name: str) -> _Message:
    out = _Message()
    for size in tensor.bits.shape:
        out.number(1, size)
    out.number(2, tensor.element)
    out.string(8, name)
    out.data(9, little_endian(tensor.bits))
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
