"""ONNX files, and .shoe files without their class, become modules that can be trained."""

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
from shoestring.artifact.format.protobuf import onnx_bytes
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

_LENGTH = 16  # of an axis that varies, in generated inputs


def from_onnx(path: str | Path, *, fixed: Mapping[str, Any] | None = None) -> Network:
    """An ONNX file as a module of torch functions, which can be trained and compressed.

    Floating-point initializers become parameters, other tensors buffers; `network.names` maps their
    names in the file to paths. The module answers as ONNX Runtime does, up to rounding. Where the
    graph resizes, both run once on generated inputs, and a SkippedWarning names the outputs in
    which they differ.

    `path`: of the file.
    `fixed`: values of inputs, or lengths of axes that vary, by name. They are no longer inputs.

    Raises ValueError for what is not an ONNX file. Raises OperatorError, with all names at once,
    for control flow whose condition is not known beforehand, and for operators that torch has no
    function for.
    """
    imported = read_onnx(path, fixed=fixed, modern=True)
    module = network(imported.content, str(path), imported.names, imported.users)
    resizes = any(node.operator == "Resize" for node in imported.content.graph.nodes)
    if resizes and (differ := _differing(module, imported.content)):
        warnings.warn(
            f"{path}: as a module it answers otherwise than ONNX Runtime in {differ}, on generated "
            "inputs. Resize by a scale that is not an integer does that, as the two round "
            "coordinates differently: compare on inputs of yours before you go on",
            SkippedWarning,
            stacklevel=2,
        )
    return module


def _differing(module: Network, content: Content) -> str:
    """The outputs in which a module differs from ONNX Runtime on generated inputs.

    "" where none differs, or where these inputs do not fit the graph.
    """
    args, kwargs = module.example(length=_LENGTH)
    given = [vary.tensor for vary in (*args, *kwargs.values())]
    try:
        with torch.no_grad(), evaluating(module):
            ours = [array(output) for output in outputs_of(module(*given)).values()]
        theirs = arrays(Loaded(content, threads=1)(*given))
    except Exception:  # generated inputs need not fit, as where an image is too small
        return ""
    pairs = zip(module.outputs, ours, theirs, strict=False)
    return ", ".join(
        name for name, mine, its in pairs if mine.shape != its.shape or not all_close(mine, its)
    )


def from_shoe(
    path: str | Path, *, max_bytes: int = file.MAX_BYTES, max_seconds: float | None = None
) -> Network:
    """A .shoe file that runs, as a module without the class that it came from.

    It is otherwise like `from_onnx`. Weights on a grid stay on it, and activations that the file
    rounds are rounded. The file has no names, so parameters are named after the kind of their
    layer. Memory and time of the module are not bounded as in `load`: use it for files that you
    trust.

    `path`: of the file.
    `max_bytes`: the most that its tensors may take in memory.
    `max_seconds`: the most work that decoding them may be, as `load` takes it.

    Raises ShoeError for a damaged file, and OperatorError as `from_onnx` does.
    """
    return network(file.read(path, max_bytes, max_seconds), str(path))


def network(
    content: Content, where: str, names: Sequence[str] = (), users: Sequence[str] = ()
) -> Network:
    """The module of a graph and its tensors; `where` names the file in errors."""
    graph = content.graph
    unserved = Counter(
        node.operator
        for node in graph.nodes
        if node.operator not in SERVED and node.operator not in OF_LAYERS
    )
    if unserved:
        listed = ", ".join(
            f"{name} ({count})" if count > 1 else name for name, count in unserved.most_common()
        )
        raise OperatorError(
            listed,
            f"torch has no function for what {where} uses; the file runs as it is with `shoestring "
            "pack`",
        )
    if graph.opset < OLDEST:
        raise ValueError(
            f"{where} has opset {graph.opset}, whose operators meant something else: {OLDEST} is "
            "the oldest"
        )
    return built(content, names, users, lambda: _axes(content))


def _axes(content: Content) -> dict[int, int]:
    """The number of axes of each value, where that is known before it is computed."""
    import onnx

    from shoestring.artifact.format.graph import Port

    graph = content.graph
    ports = tuple(
        Port(f"weight.{index}", tensor.element, tensor.bits.shape)
        for index, tensor in enumerate(content.tensors)
    )
    # Tensors as inputs: the numbers of values stay the same.
    bare = replace(graph, inputs=(*graph.inputs, *ports), weights=0)
    try:
        model = onnx.shape_inference.infer_shapes(
            onnx.load_from_string(onnx_bytes(bare, [])), data_prop=True
        )
    except Exception:  # a graph with a wrong shape may run all the same
        return {}
    numbers = {
        f"v{number}": number
        for number in range(_count(graph.nodes, len(bare.inputs) + len(graph.constants)))
    }
    axes = {index: len(port.shape) for index, port in enumerate(bare.inputs)}
    for value in model.graph.value_info:
        if value.name in numbers and value.type.tensor_type.HasField("shape"):
            axes[numbers[value.name]] = len(value.type.tensor_type.shape.dim)
    return axes


def _count(nodes: Sequence[Node], first: int) -> int:
    return first + sum(node.outputs for node in nodes)
