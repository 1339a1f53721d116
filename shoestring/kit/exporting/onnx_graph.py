"""From an exporter's ONNX model to the graph of a file.

Numbered, stripped of names, defaults and metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from shoestring.artifact.format import graph as graphs
from shoestring.artifact.format.graph import (
    LARGEST_CONSTANT,
    Graph,
    Node,
    OperatorError,
    Port,
    Tree,
)
from shoestring.artifact.format.tensors import Tensor, tensor


@dataclass(frozen=True)
class Names:
    """The graph's first `weights` inputs are weights.

    The rest are `inputs`, whose varying axes are named by `axes`.
    """

    weights: int
    inputs: list[str]
    axes: list[Mapping[int, str]]
    outputs: list[str]


def convert(
    model: onnx.ModelProto, names: Names, arguments: Tree, structure: Tree
) -> tuple[Graph, tuple[int, ...], tuple[Tensor, ...]]:
    """The graph, the places of the weights that it uses, and its constants that are kept as
    tensors.

    Raises OperatorError for control flow, functions, foreign operators and whatever else a file
    does not hold.
    """
    if model.functions:
        raise OperatorError(model.functions[0].name, "files do not hold functions")
    body = model.graph
    constants = {one.name: one for one in body.initializer}
    nodes = [node for node in body.node if not _constant(node, constants)]
    nodes = _live(nodes, {value.name for value in body.output})
    used = {name for node in nodes for name in node.input} | {value.name for value in body.output}
    weight_names = [value.name for value in body.input[: names.weights]]
    wanted = tuple(place for place, name in enumerate(weight_names) if name in used)
    kept = {
        name: tensor(numpy_helper.to_array(one)) for name, one in constants.items() if name in used
    }
    large = [name for name, one in kept.items() if one.bits.size > LARGEST_CONSTANT]
    small = [name for name in kept if name not in large]
    ports, numbers = _ports(body, names)
    for name in [weight_names[place] for place in wanted] + large + small:
        numbers[name] = len(numbers)
    converted: list[Node] = []
    value = len(numbers)
    for node in nodes:
        outputs = list(node.output)
        while outputs and not outputs[-1]:
            outputs.pop()
        absent = tuple(place for place, name in enumerate(outputs) if not name)
        if unknown := [name for name in node.input if name and name not in numbers]:
            raise OperatorError(
                node.op_type, f"it takes {unknown[0]!r}, which nothing before it gives"
            )
        inputs = [numbers[name] if name else None for name in node.input]
        while inputs and inputs[-1] is None:
            inputs.pop()
        converted.append(
            Node(
                _operator(node),
                tuple(inputs),
                len(outputs),
                _attributes(node, model, constants),
                absent,
            )
        )
        for place, name in enumerate(outputs):
            if name:
                numbers[name] = value + place
        value += len(outputs)
    opset = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    outputs = tuple(
        Port(name, one.type.tensor_type.elem_type)
        for name, one in zip(names.outputs, body.output, strict=True)
    )
    graph = Graph(
        opset=opset,
        inputs=ports,
        weights=len(wanted) + len(large),
        constants=tuple(kept[name] for name in small),
        nodes=tuple(converted),
        outputs=outputs,
        results=tuple(numbers[one.name] for one in body.output),
        arguments=arguments,
        structure=structure,
    )
    return graph, wanted, tuple(kept[name] for name in large)


def _ports(body: onnx.GraphProto, names: Names) -> tuple[tuple[Port, ...], dict[str, int]]:
    ports: list[Port] = []
    numbers: dict[str, int] = {}
    for name, axes, value in zip(
        names.inputs, names.axes, body.input[names.weights :], strict=True
    ):
        kind = value.type.tensor_type
        shape = tuple(axes.get(place, dim.dim_value) for place, dim in enumerate(kind.shape.dim))
        ports.append(Port(name, kind.elem_type, shape))
        numbers[value.name] = len(numbers)
    return tuple(ports), numbers


def _constant(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Whether the node is a constant, which is then put among the others."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return False
    content: Any = onnx.helper.get_attribute_value(node.attribute[0])
    if not isinstance(content, onnx.TensorProto):
        kind = np.int64 if "int" in node.attribute[0].name else np.float32
        content = numpy_helper.from_array(np.array(content, kind))
    constants[node.output[0]] = content
    return True


def _live(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """The nodes whose outputs are used."""
    kept: list[onnx.NodeProto] = []
    wanted = set(wanted)
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


def _operator(node: onnx.NodeProto) -> str:
    if node.domain not in ("", "ai.onnx"):
        raise OperatorError(
            f"{node.domain}.{node.op_type}", "files hold operators of the default ONNX domain only"
        )
    return node.op_type


def _attributes(
    node: onnx.NodeProto, model: onnx.ModelProto, constants: Mapping[str, onnx.TensorProto]
) -> tuple[tuple[str, int, Any], ...]:
    """The attributes that say anything but the default."""
    opset = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        raise OperatorError(node.op_type, f"ONNX has no such operator at opset {opset}") from None
    found: list[tuple[str, int, Any]] = []
    for attribute in sorted(node.attribute, key=lambda one: one.name):
        known = schema.attributes.get(attribute.name)
        content: Any = onnx.helper.get_attribute_value(attribute)
        if (
            known is not None
            and known.default_value.type
            and onnx.helper.get_attribute_value(known.default_value) == content
        ):
            continue
        if _implied(node.op_type, attribute.name, content) or _evident(
            node, attribute.name, constants
        ):
            continue
        if attribute.type == graphs.TENSOR:
            content = tensor(numpy_helper.to_array(content))
        elif attribute.type == graphs.STRING:
            content = content.decode()
        elif attribute.type == graphs.STRINGS:
            content = tuple(item.decode() for item in content)
        elif attribute.type in (graphs.FLOATS, graphs.INTS):
            content = tuple(content)
        elif attribute.type not in (graphs.FLOAT, graphs.INT):
            raise OperatorError(node.op_type, "files hold no control flow")
        found.append((attribute.name, attribute.type, content))
    return tuple(found)


def _evident(node: onnx.NodeProto, name: str, constants: Mapping[str, onnx.TensorProto]) -> bool:
    """What other inputs say.

    The size of a kernel, and that a shape without zeros has none to be taken as such.
    """
    if name == "kernel_shape":
        return node.op_type in ("Conv", "ConvTranspose")
    if name == "allowzero" and node.op_type == "Reshape" and node.input[1] in constants:
        return bool(numpy_helper.to_array(constants[node.input[1]]).all())
    return False


def _implied(operator: str, name: str, content: Any) -> bool:
    """Defaults that ONNX states in words: no padding, steps of one."""
    if name in ("pads", "output_padding"):
        return not any(content) and operator != "Pad"
    return name in ("strides", "dilations") and all(step == 1 for step in content)
