"""ONNX files of any origin are read, brought into the form of our files, or refused by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import numpy_helper
from onnx.external_data_helper import load_external_data_for_model, uses_external_data

from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import LARGEST_CONSTANT, OperatorError
from shoestring.artifact.format.operators import ATTRIBUTES, OPERATORS
from shoestring.artifact.format.tensors import Tensor, tensor
from shoestring.kit.exporting.onnx_graph import Names, convert
from shoestring.kit.importing.onnx_branches import GRAPHS, inline_branches, with_fixed

OLDEST = 7
"""The oldest opset that is read as it is; older files are converted first.

In earlier ones operators meant something else: broadcasting was an attribute.
"""
_MODERN = 13  # the opset to which older files are converted


@dataclass(frozen=True)
class OnnxFile:
    """The content of an ONNX file.

    `content`: its graph and tensors.
    `names`: of the tensors, in order.
    `users`: for each tensor the name of the first node that takes it.
    `bytes`: of all its files.
    `beside`: the bytes of its metadata, by name.
    """

    content: Content
    names: tuple[str, ...]
    users: tuple[str, ...]
    bytes: int
    beside: Mapping[str, int]


def read_onnx(
    path: str | Path, *, fixed: Mapping[str, Any] | None = None, modern: bool = False
) -> OnnxFile:
    """The graph of an ONNX file as it is: opset, nodes and every bit of the tensors.

    External data is read too.

    `path`: of the file.
    `fixed`: values of inputs, or lengths of axes, by name. They are no longer inputs.
    `modern`: whether opsets before 7 are converted to 13.

    Raises ValueError for what is not an ONNX file. Raises OperatorError, with all names at once,
    for what a `.shoe` file does not hold: control flow, sequences, random numbers, and operators
    that are not ONNX's own. An If whose condition is known beforehand is inlined.
    """
    model, size = _loaded(Path(path))
    return read_model(model, str(path), size, fixed=fixed, modern=modern)


def read_model(
    model: onnx.ModelProto,
    where: str,
    size: int = 0,
    *,
    fixed: Mapping[str, Any] | None = None,
    modern: bool = False,
) -> OnnxFile:
    """Like `read_onnx`, for a model in memory, which is changed.

    `where`: its name in errors.
    `size`: its bytes.
    """
    path = Path(where)
    beside = {entry.key: len(entry.value.encode()) for entry in model.metadata_props}
    if model.functions:
        import onnx.inliner

        model = onnx.inliner.inline_local_functions(model)
    if model.graph.sparse_initializer:
        raise OperatorError(
            "sparse tensors",
            f"{path} holds some, and files hold none: store them as they are, zeros included",
        )
    if modern and opset_of(model) < OLDEST:
        model = _modern(model, path)
    with_fixed(model, dict(fixed or {}), path)
    inline_branches(model)
    _refuse(model, path)
    content, names, users = _converted(model, path)
    return OnnxFile(content, names, users, size, beside)


def opset_of(model: onnx.ModelProto) -> int:
    """The opset of ONNX's own operators."""
    versions = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    return next(versions, 1)


def _loaded(path: Path) -> tuple[onnx.ModelProto, int]:
    """The model with its external data, and the bytes of all its files."""
    size = path.stat().st_size
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        raise ValueError(f"{path} is no ONNX file, or damaged") from None
    if not model.graph.node and not model.graph.output:
        raise ValueError(f"{path} is no ONNX file: there is no graph in it")
    locations: set[str] = set()
    for stored in _tensors(model.graph):
        if uses_external_data(stored):
            location = next(
                (entry.value for entry in stored.external_data if entry.key == "location"), None
            )
            if location is None:
                raise ValueError(
                    f"{path} keeps the tensor {stored.name!r} in another file and does not say "
                    "which: it is damaged"
                )
            locations.add(location)
    try:
        size += sum((path.parent / name).stat().st_size for name in locations)
        load_external_data_for_model(model, str(path.parent))
    except (OSError, onnx.checker.ValidationError) as error:
        raise ValueError(
            f"{path} keeps tensors in {', '.join(sorted(locations))}, which must lie beside it: "
            f"{str(error).splitlines()[0]}"
        ) from None
    return model, size


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == onnx.AttributeProto.GRAPH:
                yield from _tensors(attribute.g)


def _modern(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    from onnx import version_converter

    try:
        return version_converter.convert_version(model, _MODERN)
    except Exception as error:  # its errors share no base class
        raise ValueError(
            f"{path} has opset {opset_of(model)}, and cannot be converted to {_MODERN} "
            f"({str(error).splitlines()[0]}): export it again"
        ) from None


def _refuse(model: onnx.ModelProto, path: Path) -> None:
    """Raise OperatorError with the names of everything in a graph that files do not hold."""
    refused: Counter[str] = Counter()
    for node in model.graph.node:
        name = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        if name == "Constant":
            name = f"Constant of {node.attribute[0].name}"
            if node.attribute[0].name in (
                "value",
                "value_float",
                "value_floats",
                "value_int",
                "value_ints",
            ):
                continue
        wrong = [
            attribute.name
            for attribute in node.attribute
            if attribute.name not in ATTRIBUTES and attribute.type not in GRAPHS
        ]
        if name not in OPERATORS:
            refused[name] += 1
        elif wrong:
            refused[f"{name} with {wrong[0]}"] += 1
    if not refused:
        return
    listed = ", ".join(
        f"{name} ({count})" if count > 1 else name for name, count in refused.most_common()
    )
    flow = sorted({name.split(" ")[0] for name in refused} & {"If", "Loop", "Scan"})
    advice = ""
    if flow:
        ends = ", ".join(
            f"{port.name} ({', '.join(map(str, _sizes(port)))})" for port in model.graph.input[:8]
        )
        advice = (
            f"; {' and '.join(flow)} can be taken out where the condition is known beforehand: "
            "give the inputs or axes that decide it a value with fixed= (`--fix NAME=VALUE`), of "
            f"{ends}; or export what is wanted alone"
        )
    raise OperatorError(listed, f"{path} has what files do not hold{advice}")


def _sizes(value: onnx.ValueInfoProto) -> list[int | str]:
    """The sizes of an input; an axis without a size or name is named after the input."""
    return [
        dim.dim_value
        if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0
        else dim.dim_param
        if any(map(str.isalnum, dim.dim_param))
        else f"{value.name}.{axis}"
        for axis, dim in enumerate(value.type.tensor_type.shape.dim)
    ]


def _shape(value: onnx.ValueInfoProto, path: Path) -> list[int | str]:
    """The sizes of an input.

    Raises ValueError where the file has none, and OperatorError for what is not a tensor.
    """
    kind = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type":
        raise OperatorError(value.name, f"an input or output of {path} is no tensor")
    if not kind.HasField("shape"):
        raise ValueError(
            f"{path} says no shape of its input {value.name}: export it again with one, axes that "
            "vary named"
        )
    return _sizes(value)


def _converted(
    model: onnx.ModelProto, path: Path
) -> tuple[Content, tuple[str, ...], tuple[str, ...]]:
    body = model.graph
    own = {tensor.name for tensor in body.initializer}
    inputs = [port for port in body.input if port.name not in own]
    for port in body.output:
        if port.type.WhichOneof("value") != "tensor_type":
            raise OperatorError(port.name, f"an input or output of {path} is no tensor")
    shapes = [_shape(port, path) for port in inputs]
    weights, arrays = list[onnx.ValueInfoProto](), dict[str, np.ndarray]()
    for stored in list(body.initializer):
        array = numpy_helper.to_array(stored)
        if is_weight(array):
            arrays[stored.name] = array
            weights.append(
                onnx.helper.make_tensor_value_info(stored.name, stored.data_type, array.shape)
            )
            body.initializer.remove(stored)
    del body.input[:]
    body.input.extend([*weights, *inputs])
    names = Names(
        weights=len(weights),
        inputs=[port.name for port in inputs],
        axes=[
            {axis: size for axis, size in enumerate(shape) if isinstance(size, str)}
            for shape in shapes
        ],
        outputs=[port.name for port in body.output],
    )
    structure = 0 if len(body.output) == 1 else tuple(range(len(body.output)))
    try:
        graph, wanted, constants = convert(model, names, (tuple(range(len(inputs))), {}), structure)
        tensors: list[Tensor] = [
            tensor(arrays[weights[number].name], member) for member, number in enumerate(wanted)
        ]
    except TypeError as error:
        raise OperatorError("a tensor", f"{path}: {error}") from None
    kept = [weights[number].name for number in wanted]
    users = {name: node.name for node in reversed(body.node) for name in node.input}
    rest = [f"constant{index}" for index in range(len(constants))]
    content = Content(graph, [*tensors, *constants])
    return content, (*kept, *rest), tuple(users.get(name, "") for name in [*kept, *rest])


def is_weight(array: np.ndarray) -> bool:
    """Whether an initializer is stored as a tensor of the file, not as a constant of its graph.

    Floating-point arrays with axes are tensors, and so are all large ones.
    """
    exact = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return (exact and array.ndim > 0) or array.size > LARGEST_CONSTANT
