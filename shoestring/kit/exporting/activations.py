"""Rewrite what is between the layers of a quantized graph, so that runtimes compute in integers.

Each function changes a graph in place. The results of the graph stay the same, up to rounding in
floating point.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from shoestring.kit.exporting.editable_graph import EditableGraph

_MOVING = ("Gather", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that only move or select elements: values on a grid stay on it, and runtimes know."""


def drop_activations(graph: EditableGraph) -> None:
    """Remove each Relu and Clip before a grid that ends where it would clip."""
    for node in graph.nodes("Relu", "Clip"):
        users = graph.users.get(node.output[0], [])
        if users and all(
            user.op_type == "QuantizeLinear" and _clips_as_much(graph, node, user) for user in users
        ):
            for user in users:
                user.input[0] = node.input[0]
            graph.body.node.remove(node)
            graph.index()


def _clips_as_much(
    graph: EditableGraph, activation: onnx.NodeProto, rounding: onnx.NodeProto
) -> bool:
    """Whether rounding to the grid clips at least as much as the activation does."""
    scale, zero = graph.value(rounding.input[1]), graph.value(rounding.input[2])
    if scale is None or zero is None or zero.any():
        return False
    if activation.op_type == "Relu":
        return True
    low, high = (
        graph.value(name) if name else None for name in (*activation.input[1:3], "", "")[:2]
    )
    return (
        low is not None
        and high is not None
        and float(low) == 0
        and float(scale) * 255 <= float(high) * (1 + 1e-6)
    )


def pool_means(graph: EditableGraph) -> None:
    """Turn means over height and width into pools, which have integer kernels."""
    for node in graph.nodes("ReduceMean"):
        axes = graph.value(node.input[1]) if len(node.input) > 1 else None
        before, after = graph.makers.get(node.input[0]), graph.only_user(node.output[0])
        if axes is None or sorted(axes.reshape(-1).tolist()) not in ([2, 3], [-2, -1]):
            continue
        if (
            before is None
            or before.op_type != "DequantizeLinear"
            or after is None
            or after.op_type != "QuantizeLinear"
        ):
            continue
        if not graph.channels(node.input[0]):  # not an image
            continue
        keeps_axes = next((item.i for item in node.attribute if item.name == "keepdims"), 1)
        new = _pool(node.input[0], node.output[0], list(after.input[1:]), bool(keeps_axes))
        index = list(graph.body.node).index(node)
        graph.body.node.remove(node)
        for offset, made in enumerate(new):
            graph.body.node.insert(index + offset, made)
        graph.index()


def _pool(value: str, output: str, grid: list[str], keeps_axes: bool) -> list[onnx.NodeProto]:
    """Nodes for the mean of each channel of a value: (N, C, 1, 1), or (N, C) on a grid."""
    if keeps_axes:
        return [helper.make_node("GlobalAveragePool", [value], [output])]
    pooled, integer, rounded = f"{output}.pooled", f"{output}.integer", f"{output}.rounded"
    return [
        helper.make_node("GlobalAveragePool", [value], [pooled]),
        helper.make_node("QuantizeLinear", [pooled, *grid], [integer]),
        helper.make_node("DequantizeLinear", [integer, *grid], [rounded]),
        helper.make_node("Flatten", [rounded], [output], axis=1),
    ]


def convolve_shortcuts(graph: EditableGraph) -> None:
    """Turn shortcuts without weights into convolutions with an identity, which is exact.

    Such a shortcut takes every n-th pixel and appends channels of zeros.
    """
    for pad in graph.nodes("Pad"):
        after = graph.only_user(pad.output[0])
        added = graph.value(pad.input[1])
        if (
            after is None
            or after.op_type != "QuantizeLinear"
            or added is None
            or len(added) != 8
            or added[[0, 1, 2, 3, 4, 6, 7]].any()
        ):
            continue
        fill = graph.value(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else np.zeros(1)
        if fill is None or fill.any():
            continue
        value, strides = pad.input[0], {2: 1, 3: 1}
        while (source := _unsliced(graph, value, list(after.input[1:]), strides)) is not None:
            value = source
        channels = graph.channels(value)
        if value == pad.input[0] or not channels:
            continue
        identity = np.eye(channels + int(added[5]), channels, dtype=np.int8)[:, :, None, None]
        weight = graph.add_constant(f"{pad.output[0]}.identity", identity)
        graph.dequantize(weight, f"{weight}.float", np.ones((), np.float32), 0)
        new = helper.make_node(
            "Conv", [value, f"{weight}.float"], [pad.output[0]], strides=[strides[2], strides[3]]
        )
        graph.body.node.remove(pad)
        graph.body.node.append(new)
        graph.sort()
        graph.index()


def _unsliced(
    graph: EditableGraph, value: str, grid: list[str], strides: dict[int, int]
) -> str | None:
    """The value before a rounding to `grid` or a Slice; None where another operator made `value`.

    The step of the Slice is multiplied into `strides`, by axis.
    """
    maker = graph.makers.get(value)
    if maker is None:
        return None
    if maker.op_type == "DequantizeLinear" and list(maker.input[1:]) == grid:
        rounding = graph.makers.get(maker.input[0])
        sliced = graph.makers.get(rounding.input[0]) if rounding is not None else None
        return (
            rounding.input[0]
            if rounding is not None and sliced is not None and sliced.op_type == "Slice"
            else None
        )
    if maker.op_type != "Slice" or len(maker.input) < 5:
        return None
    values = [known for known in map(graph.value, maker.input[1:5]) if known is not None]
    if len(values) < 4 or any(known.size != 1 for known in values):
        return None
    start, end, axis, stride = (known.item() for known in values)
    if start != 0 or end < 1 << 31 or axis not in strides or stride < 1:
        return None
    strides[axis] *= stride
    return maker.input[0]


def drop_repetitions(graph: EditableGraph) -> None:
    """Remove rounding to the grid that a value is on already.

    OpenVINO would round element by element.
    """
    graph.index()
    outputs = {port.name for port in graph.body.output}
    for rounding in graph.nodes("QuantizeLinear"):
        source = graph.makers.get(rounding.input[0])
        while source is not None and source.op_type in _MOVING:
            source = graph.makers.get(source.input[0])
        if (
            source is None
            or source.op_type != "DequantizeLinear"
            or source.input[1:] != rounding.input[1:]
        ):
            continue
        dequantizing = graph.users[rounding.output[0]]
        if any(node.output[0] in outputs for node in dequantizing):
            continue
        for node in dequantizing:
            for user in graph.users.get(node.output[0], []):
                for index, name in enumerate(user.input):
                    if name == node.output[0]:
                        user.input[index] = rounding.input[0]
            graph.body.node.remove(node)
        graph.body.node.remove(rounding)
        graph.index()
