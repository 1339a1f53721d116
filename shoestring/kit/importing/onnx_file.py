"""ONNX files of anybody's.

Read with what lies beside them, brought into the form that our files have, and refused by name.
"""

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
"""Opset before which operators meant something else (broadcasting was an attribute).

Older files are converted first.
"""
_MODERN = 13


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file holds.

    Its graph and tensors, the names of the tensors and of the nodes that take each of them first,
    what all its files take in bytes, and what is in them beside (metadata), by name and bytes.
    """

    content: Content
    names: tuple[str, ...]
    users: tuple[str, ...]
    bytes: int
    beside: Mapping[str, int]


def read_onnx(
    path: str | Path, *, fixed: Mapping[str, Any] | None = None, modern: bool = False
) -> OnnxFile:
    """The graph of an ONNX file, as it is: opset, nodes and every bit of the tensors.

    External data is read too.
    `fixed`: values of inputs, by name, which are then inputs no more.
    `modern`: opsets before 7 are converted to 13. Raises ValueError for what is no ONNX file, and
        OperatorError, with all names at once, for what a file of ours does not hold: control flow
        (an If whose condition is known before anything is computed is taken, and what it does is
        inlined), sequences, random numbers, operators that are not ONNX's own.
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
    """As `read_onnx`, of a model in memory, which is changed; `where` is what errors call it."""
    path = Path(where)
    beside = {one.key: len(one.value.encode()) for one in model.metadata_props}
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
    """The opset of the operators that are ONNX's own."""
    return next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)


def _loaded(path: Path) -> tuple[onnx.ModelProto, int]:
    """The model with its external data, and the bytes of all files."""
    size = path.stat().st_size
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        raise ValueError(f"{path} is no ONNX file, or damaged") from None
    if not model.graph.node and not model.graph.output:
        raise ValueError(f"{path} is no ONNX file: there is no graph in it")
    found: set[str] = set()
    for one in _tensors(model.graph):
        if uses_external_data(one):
            location = next(
                (entry.value for entry in one.external_data if entry.key == "location"), None
            )
            if location is None:
                raise ValueError(
                    f"{path} keeps the tensor {one.name!r} in another file and does not say "
                    "which: it is damaged"
                )
            found.add(location)
    try:
        size += sum((path.parent / name).stat().st_size for name in found)
        load_external_data_for_model(model, str(path.parent))
    except (OSError, onnx.checker.ValidationError) as error:
        raise ValueError(
            f"{path} keeps tensors in {', '.join(sorted(found))}, which must lie beside it: "
            f"{str(error).splitlines()[0]}"
        ) from None
    return model, size


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for one in node.attribute:
            if one.type == onnx.AttributeProto.TENSOR:
                yield one.t
            elif one.type == onnx.AttributeProto.GRAPH:
                yield from _tensors(one.g)


def _modern(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    from onnx import version_converter

    try:
        return version_converter.convert_version(model, _MODERN)
    except Exception as error:  # its errors share no class of their own
        raise ValueError(
            f"{path} has opset {opset_of(model)}, and cannot be converted to {_MODERN} "
            f"({str(error).splitlines()[0]}): export it again"
        ) from None


def _refuse(model: onnx.ModelProto, path: Path) -> None:
    """Raises OperatorError with the names of everything in a graph that files do not hold."""
    found: Counter[str] = Counter()
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
            one.name
            for one in node.attribute
            if one.name not in ATTRIBUTES and one.type not in GRAPHS
        ]
        if name not in OPERATORS:
            found[name] += 1
        elif wrong:
            found[f"{name} with {wrong[0]}"] += 1
    if not found:
        return
    words = ", ".join(
        f"{name} ({count})" if count > 1 else name for name, count in found.most_common()
    )
    flow = sorted({one.split(" ")[0] for one in found} & {"If", "Loop", "Scan"})
    advice = ""
    if flow:
        ends = ", ".join(
            f"{one.name} ({', '.join(map(str, _sizes(one)))})" for one in model.graph.input[:8]
        )
        advice = (
            f"; {' and '.join(flow)} can be taken out where what decides is known beforehand: "
            "give inputs or axes that do a value "
            f"with fixed= (`--fix NAME=VALUE`), of {ends}; or export what is wanted alone"
        )
    raise OperatorError(words, f"{path} has what files do not hold{advice}")


def _sizes(value: onnx.ValueInfoProto) -> list[int | str]:
    """An input's sizes; an axis without one is named after the input."""
    return [
        one.dim_value
        if one.WhichOneof("value") == "dim_value" and one.dim_value >= 0
        else one.dim_param
        if any(map(str.isalnum, one.dim_param))
        else f"{value.name}.{place}"
        for place, one in enumerate(value.type.tensor_type.shape.dim)
    ]


def _shape(value: onnx.ValueInfoProto, path: Path) -> list[int | str]:
    """The sizes of an input.

    Raises ValueError where the file says none, OperatorError for what is no tensor.
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
    own = {one.name for one in body.initializer}
    inputs = [one for one in body.input if one.name not in own]
    for one in body.output:
        if one.type.WhichOneof("value") != "tensor_type":
            raise OperatorError(one.name, f"an input or output of {path} is no tensor")
    shapes = [_shape(one, path) for one in inputs]
    weights, arrays = list[onnx.ValueInfoProto](), dict[str, np.ndarray]()
    for one in list(body.initializer):
        array = numpy_helper.to_array(one)
        if is_weight(array):
            arrays[one.name] = array
            weights.append(onnx.helper.make_tensor_value_info(one.name, one.data_type, array.shape))
            body.initializer.remove(one)
    del body.input[:]
    body.input.extend([*weights, *inputs])
    names = Names(
        weights=len(weights),
        inputs=[one.name for one in inputs],
        axes=[
            {place: size for place, size in enumerate(shape) if isinstance(size, str)}
            for shape in shapes
        ],
        outputs=[one.name for one in body.output],
    )
    structure = 0 if len(body.output) == 1 else tuple(range(len(body.output)))
    try:
        graph, wanted, constants = convert(model, names, (tuple(range(len(inputs))), {}), structure)
        found: list[Tensor] = [
            tensor(arrays[weights[place].name], turn) for turn, place in enumerate(wanted)
        ]
    except TypeError as error:
        raise OperatorError("a tensor", f"{path}: {error}") from None
    kept = [weights[place].name for place in wanted]
    users = {name: node.name for node in reversed(body.node) for name in node.input}
    rest = [f"constant{place}" for place in range(len(constants))]
    content = Content(graph, [*found, *constants])
    return content, (*kept, *rest), tuple(users.get(name, "") for name in [*kept, *rest])


def is_weight(array: np.ndarray) -> bool:
    """Whether an initialiser is one of the tensors of a file, and no constant of its graph.

    Floats that have axes, and what is large.
    """
    exact = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return (exact and array.ndim > 0) or array.size > LARGEST_CONSTANT
