"""Modules from files: an ONNX graph, or a .shoe file without its class, as a `Network` that can be
trained and compressed.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shoestring.artifact.format import file
from shoestring.artifact.format.file import Content
from shoestring.artifact.format.graph import Node, OperatorError
from shoestring.artifact.format.protobuf import onnx as as_onnx
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.core import array, evaluating
from shoestring.core.kinds import outputs_of
from shoestring.kit.importing.build import built
from shoestring.kit.importing.network import Network
from shoestring.kit.importing.onnx_file import OLDEST, read_onnx
from shoestring.kit.importing.operators.table import OF_LAYERS, SERVED
from shoestring.kit.tracing.compare import all_close
from shoestring.kit.tracing.example import arrays
from shoestring.kit.weights.parameters import SkippedWarning

_LENGTH = 16  # of an axis that varies, in made inputs


def from_onnx(path: str | Path, *, fixed: Mapping[str, Any] | None = None) -> Network:
    """An ONNX file as a module made of torch's functions, so that everything here acts on it,
    training too.

    Its floating-point initialisers are parameters, under their own names (`network.names`), and
    other tensors buffers.
    `fixed`: values of inputs, or lengths of axes that vary, by name, which are then inputs no more.
        What it answers is what ONNX Runtime answers for the file, up to rounding; where it resizes,
        both are asked once, on made inputs, and a SkippedWarning says where they differ. Raises
        ValueError for what is no ONNX file, and OperatorError, with all names at once, for control
        flow whose condition is not known beforehand and operators that torch has no function for.
    """
    found = read_onnx(path, fixed=fixed, modern=True)
    made = network(found.content, str(path), found.names, found.users)
    resizes = any(node.operator == "Resize" for node in found.content.graph.nodes)
    if resizes and (differ := _differing(made, found.content)):
        warnings.warn(
            f"{path}: as a module it answers otherwise than ONNX Runtime in {differ}, on made "
            "inputs. Resize by a scale that is no whole number does that, "
            "as the two round places differently: compare on inputs of yours before you go on",
            SkippedWarning,
            stacklevel=2,
        )
    return made


def _differing(made: Network, content: Content) -> str:
    """The outputs in which a module answers otherwise than ONNX Runtime on made inputs.

    "" where in none, or where these do not fit the graph.
    """
    args, kwargs = made.example(length=_LENGTH)
    given = [one.tensor for one in (*args, *kwargs.values())]
    try:
        with torch.no_grad(), evaluating(made):
            ours = [array(one) for one in outputs_of(made(*given)).values()]
        theirs = arrays(Loaded(content, threads=1)(*given))
    except (
        Exception
    ):  # zeros where ids are wanted, a picture that is too small: nothing is known then
        return ""
    pairs = zip(made.outputs, ours, theirs, strict=False)
    return ", ".join(
        name for name, one, other in pairs if one.shape != other.shape or not all_close(one, other)
    )


def from_shoe(path: str | Path, *, max_bytes: int = file.MAX_BYTES) -> Network:
    """A .shoe file that runs as a module, without the class that it came from.

    Otherwise as `from_onnx`.
    Weights that are on a grid stay on it, and activations that the file rounds are rounded. The
    file has no names: parameters are named after the kind of their layer. What is computed is no
    longer bounded, as it is in `load`: for files that you trust. Raises ShoeError for a damaged
    file, OperatorError as `from_onnx`.
    """
    return network(file.read(path, max_bytes), str(path))


def network(
    content: Content, where: str, names: Sequence[str] = (), users: Sequence[str] = ()
) -> Network:
    """The module of a graph and its tensors; errors begin with `where`."""
    graph = content.graph
    found = Counter(
        node.operator
        for node in graph.nodes
        if node.operator not in SERVED and node.operator not in OF_LAYERS
    )
    if found:
        words = ", ".join(
            f"{name} ({count})" if count > 1 else name for name, count in found.most_common()
        )
        raise OperatorError(
            words,
            f"torch has no function for what {where} uses; the file runs as it is with "
            "`shoestring pack`",
        )
    if graph.opset < OLDEST:
        raise ValueError(
            f"{where} has opset {graph.opset}, whose operators meant something else: {OLDEST} is "
            "the oldest"
        )
    return built(content, names, users, lambda: _axes(content))


def _axes(content: Content) -> dict[int, int]:
    """How many axes each value has, where that can be told before it is computed."""
    import onnx

    from shoestring.artifact.format.graph import Port

    graph = content.graph
    ports = tuple(
        Port(f"weight.{place}", one.element, one.bits.shape)
        for place, one in enumerate(content.tensors)
    )
    bare = replace(
        graph, inputs=(*graph.inputs, *ports), weights=0
    )  # the numbers of values are the same
    try:
        model = onnx.shape_inference.infer_shapes(
            onnx.load_from_string(as_onnx(bare, [])), data_prop=True
        )
    except Exception:  # a graph that says something wrong of a shape may run all the same
        return {}
    numbers = {
        f"v{number}": number
        for number in range(_count(graph.nodes, len(bare.inputs) + len(graph.constants)))
    }
    found = {place: len(port.shape) for place, port in enumerate(bare.inputs)}
    for one in model.graph.value_info:
        if one.name in numbers and one.type.tensor_type.HasField("shape"):
            found[numbers[one.name]] = len(one.type.tensor_type.shape.dim)
    return found


def _count(nodes: Sequence[Node], first: int) -> int:
    return first + sum(node.outputs for node in nodes)
