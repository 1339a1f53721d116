"""The ONNX file that peers get: a network without what depends on constants only.

Our own C has such values computed beforehand; a peer that does not compute them beforehand itself
would otherwise look slower than it is. Weights of 8 bits stay as they are, integers that are
dequantised. The mean of all pixels is a GlobalAveragePool, which more tools know.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from shoestring.artifact import Content
from shoestring.artifact.format.protobuf import onnx_bytes

FOLDED = ("Add", "Sub", "Mul", "Div", "Round", "Cast", "Sqrt")
"""Operators of constants that are computed: not DequantizeLinear, whose integers are smaller."""


def for_peers(content: Content) -> bytes:
    """The bytes of the ONNX file of a network."""
    model = onnx.load_from_string(onnx_bytes(content.graph, content.tensors))
    graph = model.graph
    known = {one.name for one in graph.initializer}
    constant: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type in FOLDED and known.issuperset(node.input):
            constant.append(node)
            known.update(node.output)
    for value in _computed(model, constant):
        graph.initializer.append(value)
    for node in constant:
        graph.node.remove(node)
    _pool_means(graph)
    read = {name for node in graph.node for name in node.input}
    for one in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(one)
    return model.SerializeToString()


def _computed(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> list[TensorProto]:
    """What nodes make of constants."""
    if not nodes:
        return []
    names = [name for node in nodes for name in node.output]
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    graph = helper.make_graph(nodes, "constants", [], outputs, model.graph.initializer)
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of each constant that no node reads
    session = onnxruntime.InferenceSession(part.SerializeToString(), options)
    found = session.run(names, {})
    pairs = zip(names, found, strict=True)
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in pairs]


def _pool_means(graph: onnx.GraphProto) -> None:
    """Write each mean of all pixels as a pool and a Flatten."""
    constants = {one.name: one for one in graph.initializer}
    for node in [one for one in graph.node if one.op_type == "ReduceMean"]:
        axes = numpy_helper.to_array(constants[node.input[1]])
        kept = next((one.i for one in node.attribute if one.name == "keepdims"), 1)
        if sorted(int(axis) % 4 for axis in axes) != [2, 3] or kept:
            continue
        pooled = f"{node.output[0]}_pooled"
        at = list(graph.node).index(node)
        graph.node.remove(node)
        graph.node.insert(at, helper.make_node("Flatten", [pooled], list(node.output)))
        graph.node.insert(at, helper.make_node("GlobalAveragePool", [node.input[0]], [pooled]))
