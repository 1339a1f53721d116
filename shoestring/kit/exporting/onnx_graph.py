"""Turn an exporter's ONNX model into the graph of a file.

Values are numbered; names, default attributes and metadata are dropped.
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

_DEFAULT_DOMAIN = ("", "ai.onnx")


@dataclass(frozen=True)
class Names:
    """What the inputs and outputs of an ONNX graph are.

    `weights`: how many of its first inputs are weights.
    `inputs`: the names of the other inputs.
    `axes`: for each of these, the names of its varying axes, by axis.
    `outputs`: the names of the outputs.
    """

    weights: int
    inputs: list[str]
    axes: list[Mapping[int, str]]
    outputs: list[str]


def convert(
    model: onnx.ModelProto, names: Names, arguments: Tree, structure: Tree
) -> tuple[Graph, tuple[int, ...], tuple[Tensor, ...]]:
    """The graph, the indices of the weights that it uses, and its constants that become tensors.

    `arguments`: the nest of the inputs. `structure`: the nest of the outputs.
    Raises OperatorError for control flow, functions, operators of other domains and whatever else
    a file does not hold.
    """
    if model.functions:
        raise OperatorError(model.functions[0].name, "files do not hold functions")
    body = model.graph
    constants = {constant.name: constant for constant in body.initializer}
    nodes = [node for node in body.node if not _take_constant(node, constants)]
    nodes = _live(nodes, {value.name for value in body.output})
    used = {name for node in nodes for name in node.input} | {value.name for value in body.output}
    weight_names = [value.name for value in body.input[: names.weights]]
    wanted = tuple(index for index, name in enumerate(weight_names) if name in used)
    values = {
        name: tensor(numpy_helper.to_array(constant))
        for name, constant in constants.items()
        if name in used
    }
    large = [name for name, value in values.items() if value.bits.size > LARGEST_CONSTANT]
    small = [name for name in values if name not in large]
    ports, numbers = _ports(body, names)
    for name in [weight_names[index] for index in wanted] + large + small:
        numbers[name] = len(numbers)
    converted = _numbered(nodes, model, constants, numbers)
    outputs = tuple(
        Port(name, value.type.tensor_type.elem_type)
        for name, value in zip(names.outputs, body.output, strict=True)
    )
    graph = Graph(
        opset=_opset(model),
        inputs=ports,
        weights=len(wanted) + len(large),
        constants=tuple(values[name] for name in small),
        nodes=converted,
        outputs=outputs,
        results=tuple(numbers[value.name] for value in body.output),
        arguments=arguments,
        structure=structure,
    )
    return graph, wanted, tuple(values[name] for name in large)


def _numbered(
    nodes: list[onnx.NodeProto],
    model: onnx.ModelProto,
    constants: Mapping[str, onnx.TensorProto],
    numbers: dict[str, int],
) -> tuple[Node, ...]:
    """The nodes with numbers in place of names; adds the numbers of their outputs to `numbers`."""
    converted: list[Node] = []
    next_number = len(numbers)
    for node in nodes:
        outputs = list(node.output)
        while outputs and not outputs[-1]:
            outputs.pop()
        absent = tuple(index for index, name in enumerate(outputs) if not name)
        if unknown := [name for name in node.input if name and name not in numbers]:
            raise OperatorError(
                node.op_type, f"it takes {unknown[0]!r}, which nothing before it gives"
            )
        inputs = [numbers[name] if name else None for name in node.input]
        while inputs and inputs[-1] is None:
            inputs.pop()
        operator = _operator(node)
        attributes = _attributes(node, model, constants)
        converted.append(Node(operator, tuple(inputs), len(outputs), attributes, absent))
        for index, name in enumerate(outputs):
            if name:
                numbers[name] = next_number + index
        next_number += len(outputs)
    return tuple(converted)


def _opset(model: onnx.ModelProto) -> int:
    return next(item.version for item in model.opset_import if item.domain in _DEFAULT_DOMAIN)


def _ports(body: onnx.GraphProto, names: Names) -> tuple[tuple[Port, ...], dict[str, int]]:
    """The inputs that are not weights, and their numbers by the names that the body has."""
    ports: list[Port] = []
    numbers: dict[str, int] = {}
    for name, axes, value in zip(
        names.inputs, names.axes, body.input[names.weights :], strict=True
    ):
        kind = value.type.tensor_type
        shape = tuple(axes.get(axis, size.dim_value) for axis, size in enumerate(kind.shape.dim))
        ports.append(Port(name, kind.elem_type, shape))
        numbers[value.name] = len(numbers)
    return tuple(ports), numbers


def _take_constant(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    """Whether a node is a constant; where it is, adds its value to `constants`."""
    if node.op_type != "Constant" or node.domain not in _DEFAULT_DOMAIN:
        return False
    content: Any = onnx.helper.get_attribute_value(node.attribute[0])
    if not isinstance(content, onnx.TensorProto):
        kind = np.int64 if "int" in node.attribute[0].name else np.float32
        content = numpy_helper.from_array(np.array(content, kind))
    constants[node.output[0]] = content
    return True


def _live(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    """The nodes that the values named `wanted` depend on."""
    live: list[onnx.NodeProto] = []
    wanted = set(wanted)
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            live.append(node)
            wanted.update(node.input)
    return live[::-1]


def _operator(node: onnx.NodeProto) -> str:
    if node.domain not in _DEFAULT_DOMAIN:
        raise OperatorError(
            f"{node.domain}.{node.op_type}", "files hold operators of the default ONNX domain only"
        )
    return node.op_type


def _attributes(
    node: onnx.NodeProto, model: onnx.ModelProto, constants: Mapping[str, onnx.TensorProto]
) -> tuple[tuple[str, int, Any], ...]:
    """The (name, type, value) of each attribute that is not its default, sorted by name."""
    opset = _opset(model)
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError:
        raise OperatorError(node.op_type, f"ONNX has no such operator at opset {opset}") from None
    attributes: list[tuple[str, int, Any]] = []
    for attribute in sorted(node.attribute, key=lambda item: item.name):
        known = schema.attributes.get(attribute.name)
        content: Any = onnx.helper.get_attribute_value(attribute)
        if (
            known is not None
            and known.default_value.type
            and onnx.helper.get_attribute_value(known.default_value) == content
        ):
            continue
        if _is_stated_default(node.op_type, attribute.name, content) or _is_redundant(
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
        attributes.append((attribute.name, attribute.type, content))
    return tuple(attributes)


def _is_redundant(
    node: onnx.NodeProto, name: str, constants: Mapping[str, onnx.TensorProto]
) -> bool:
    """Whether the inputs of a node say what an attribute says.

    The weight has the size of a kernel. `allowzero` means nothing for a shape without zeros.
    """
    if name == "kernel_shape":
        return node.op_type in ("Conv", "ConvTranspose")
    if name == "allowzero" and node.op_type == "Reshape" and node.input[1] in constants:
        return bool(numpy_helper.to_array(constants[node.input[1]]).all())
    return False


def _is_stated_default(operator: str, name: str, content: Any) -> bool:
    """Whether an attribute has a default that ONNX states in words: no padding, strides of 1."""
    if name in ("pads", "output_padding"):
        return not any(content) and operator != "Pad"
    return name in ("strides", "dilations") and all(size == 1 for size in content)
