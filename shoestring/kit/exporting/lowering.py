"""Lower an exported graph: shuffles to one operator, and layers on grids to integers.

The exporter writes an activation on a grid as QuantizeLinear and DequantizeLinear. Runtimes compute
a layer in integers where its weight and its bias are dequantized too: the weight from 8 bits, the
bias from 32. Here such weights become integers, each with a DequantizeLinear of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from shoestring.kit.exporting.activations import (
    convolve_shortcuts,
    drop_activations,
    drop_repetitions,
    pool_means,
)
from shoestring.kit.exporting.editable_graph import EditableGraph
from shoestring.kit.exporting.shuffles import gather_shuffled
from shoestring.kit.quantised.integers import Integers

_PRODUCTS = ("Conv", "Gemm", "MatMul")


def lower(
    model: onnx.ModelProto, weights: list[np.ndarray], scales: Mapping[int, np.ndarray]
) -> dict[int, Integers]:
    """Rewrite a model in place; return the weights that it now takes as integers, by their index.

    `weights`: the values of the first inputs of the model.
    `scales`: the scales of weights on grids, by their index, as `scales_of` returns them.
    """
    graph = EditableGraph(model.graph, weights)
    gather_shuffled(graph)
    drop_activations(graph)
    pool_means(graph)
    convolve_shortcuts(graph)
    integers = _integer_weights(graph, scales)
    drop_repetitions(graph)
    return integers


def _integer_weights(graph: EditableGraph, scales: Mapping[int, np.ndarray]) -> dict[int, Integers]:
    """Make integers of weights with groups and of weights of layers whose inputs are on grids."""
    integers: dict[int, Integers] = {}
    layers = [node for node in graph.nodes(*_PRODUCTS) if _input_scale(graph, node) is not None]
    for index, scale in scales.items():
        name = graph.body.input[index].name
        if scale.ndim == 2 and scale.shape[1] > 1:
            _scale_groups(graph, name, scale)
            integers[index] = Integers(scale)
            continue
        uses = _uses(graph, name)
        if any(_is_bias_too_large(graph, node, scale) for _, node in uses):
            continue
        if not uses or not all(node in layers and node.input[1] == value for value, node in uses):
            continue  # where another node takes the weight too, it stays in floating point for all
        for value, node in uses:
            output = f"{value}.{node.output[0]}.float"
            graph.dequantize(value, output, scale, _scale_axis(graph, name, value, scale))
            node.input[1] = output
            _round_bias(graph, node, f"{output}.scale")
        graph.body.input[index].type.tensor_type.elem_type = TensorProto.INT8
        _retype_transposed(graph, name)
        integers[index] = Integers(scale)
    graph.sort()
    return integers


def _scale_groups(graph: EditableGraph, name: str, scale: np.ndarray) -> None:
    """Multiply a matrix of integers, (O, I), by the scales of its groups, (O, groups).

    Runtimes do it once, when they load the file.
    """
    rows, columns = graph.weight(name).shape
    factors = graph.add_constant(f"{name}.scale", scale[:, :, None])
    groups = graph.add_constant(
        f"{name}.groups", np.array([rows, scale.shape[1], columns // scale.shape[1]])
    )
    shape = graph.add_constant(f"{name}.shape", np.array([rows, columns]))
    grouped, cast, scaled, output = (
        f"{name}.{stage}" for stage in ("grouped", "cast", "scaled", "float")
    )
    for node in graph.users.get(name, []):
        for index, taken in enumerate(node.input):
            if taken == name:
                node.input[index] = output
    graph.body.node.extend(
        [
            helper.make_node("Reshape", [name, groups], [grouped]),
            helper.make_node("Cast", [grouped], [cast], to=TensorProto.FLOAT),
            helper.make_node("Mul", [cast, factors], [scaled]),
            helper.make_node("Reshape", [scaled, shape], [output]),
        ]
    )
    graph.body.input[graph.weight_indices[name]].type.tensor_type.elem_type = TensorProto.INT8


def _input_scale(graph: EditableGraph, node: onnx.NodeProto) -> np.ndarray | None:
    """The scale of the grid that a node's first input is on."""
    maker = graph.makers.get(node.input[0])
    return (
        graph.value(maker.input[1])
        if maker is not None and maker.op_type == "DequantizeLinear"
        else None
    )


def _uses(graph: EditableGraph, name: str) -> list[tuple[str, onnx.NodeProto]]:
    """The nodes that take a weight, each with the value it takes: the weight or its transpose."""
    uses: list[tuple[str, onnx.NodeProto]] = []
    for node in graph.users.get(name, []):
        uses += _uses(graph, node.output[0]) if node.op_type == "Transpose" else [(name, node)]
    return uses


def _scale_axis(graph: EditableGraph, name: str, value: str, scale: np.ndarray) -> int:
    """The axis of `value`, which is the weight `name` or its transpose, that has the scales."""
    maker = graph.makers.get(value)
    if scale.size == 1 or maker is None or maker.op_type != "Transpose":
        return 0
    order = next((list(item.ints) for item in maker.attribute if item.name == "perm"), None)
    return order.index(0) if order else graph.weight(name).ndim - 1


def _is_bias_too_large(graph: EditableGraph, node: onnx.NodeProto, scale: np.ndarray) -> bool:
    """Whether a node's bias does not fit into 32 bits, on the scale of the sums it is added to.

    `scale`: that of the node's weight.
    """
    bias = graph.value(node.input[2]) if len(node.input) > 2 else None
    input_scale = _input_scale(graph, node)
    if bias is None or input_scale is None or bias.ndim != 1:
        return False
    sum_scale = scale.reshape(-1).astype(np.float64) * float(input_scale)
    return (
        bool((np.abs(bias) > sum_scale * 2.0**31 * 0.99).any())
        if sum_scale.size in (1, bias.size)
        else False
    )


def _round_bias(graph: EditableGraph, node: onnx.NodeProto, weight_scale: str) -> None:
    """Round a node's bias to integers, on the scale of the sums that it is added to.

    Runtimes do it once, when they load the file.
    """
    name = node.input[2] if len(node.input) > 2 else ""
    if name not in graph.weight_indices or graph.weight(name).ndim != 1:
        return
    channels = len(graph.weight(name))
    prefix = f"{name}.{node.output[0]}"
    zero = graph.add_constant(f"{prefix}.zero", np.zeros(channels, np.int32))
    zeros = graph.add_constant(f"{prefix}.zeros", np.zeros(channels, np.float32))
    input_scale = graph.makers[node.input[0]].input[1]
    product, scale, ratio, rounded, integer, output = (
        f"{prefix}.{stage}"
        for stage in ("product", "scale", "ratio", "rounded", "integer", "float")
    )
    graph.body.node.extend(
        [
            helper.make_node("Mul", [input_scale, weight_scale], [product]),
            # Adding zeros repeats one scale for all channels.
            helper.make_node("Add", [product, zeros], [scale]),
            helper.make_node("Div", [name, scale], [ratio]),
            helper.make_node("Round", [ratio], [rounded]),
            helper.make_node("Cast", [rounded], [integer], to=TensorProto.INT32),
            helper.make_node("DequantizeLinear", [integer, scale, zero], [output], axis=0),
        ]
    )
    node.input[2] = output


def _retype_transposed(graph: EditableGraph, name: str) -> None:
    """Declare the transposes of a weight as integers, as the weight now is."""
    for node in graph.users.get(name, []):
        if node.op_type == "Transpose":
            for port in graph.body.value_info:
                if port.name == node.output[0]:
                    port.type.tensor_type.elem_type = TensorProto.INT8
