"""From a module to a file: its graph with the weights as inputs, and the weights in the module's own layout."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import file
from shoestring.artifact.file import Content
from shoestring.artifact.graph import Graph, OperatorError, Tree
from shoestring.artifact.graph import encode as encode_graph
from shoestring.artifact.runtime import Loaded
from shoestring.artifact.tensors import NUMBERS, Tensor, unsigned
from shoestring.core import Task, Vary, array
from shoestring.kit.onnx_graph import Names, convert
from shoestring.kit.weights import bake, check_finite, clone, members

TOLERANCE = 1e-3
"""The file may differ from the module by this much, relative to the largest output."""


class ExportError(RuntimeError):
    """A model that cannot become a file; the message names the reason and the way round it."""


@dataclass(frozen=True)
class Exported:
    """A module's graph, which weights it wants (`wanted`: places among `members`), and constants too large for a graph."""

    graph: Graph
    wanted: tuple[int, ...]
    constants: tuple[Tensor, ...]


def write(model: nn.Module, task: Task, path: str | Path, *, exported: Exported | None = None) -> int:
    """Write the file of a model at `path`, whole or not at all, and return its size in bytes.

    Lossless: the file's weights are the module's, bit for bit. `exported`: the graph of `export(model, task)`, for a model
    of which only weights have changed since. Raises ExportError, ValueError for weights that are NaN or infinite, OSError.
    """
    check_finite(model)
    data = pack(model, exported or export(model, task))
    file.save(path, data)
    return len(data)


def pack(model: nn.Module, exported: Exported) -> bytes:
    """The bytes of the file."""
    return file.pack(Content(exported.graph, _tensors(model, exported)))


def restore(path: str | Path, model: nn.Module) -> nn.Module:
    """A copy of `model` with the weights of the file, to go on training: zeros become a mask, levels a codebook.

    Raises ValueError where the file is of another model, ShoeError for a damaged file.
    """
    model = bake(clone(model))
    found = members(model)
    content = file.read(path)
    for one, packed in zip(content.tensors, content.packed, strict=True):
        if one.member is None:
            continue
        if one.member >= len(found) or tuple(found[one.member].raw.shape) != one.bits.shape:
            name = found[one.member].name if one.member < len(found) else f"number {one.member}"
            raise ValueError(f"{path} is of another model: its tensor {list(one.bits.shape)} is not the shape of {name}")
        weight = found[one.member]
        value = _torch(one).to(weight.raw.dtype)
        with torch.no_grad():
            weight.raw.copy_(value)
        if not weight.is_parameter or not value.is_floating_point():
            continue
        if 1 < packed.levels <= 4096 and packed.levels * 4 < value.numel():
            levels, indices = torch.unique(value, return_inverse=True)
            weight.share(levels, indices)
        if weight.raw.ndim >= 2 and (value == 0).any():
            weight.prune(value != 0)
    return model


def parameter_bytes(model: nn.Module) -> int:
    """4 bytes for each element of the distinct parameters and buffers: the size that papers call uncompressed."""
    return 4 * sum(member.raw.numel() for member in members(model))


def export(model: nn.Module, task: Task) -> Exported:
    """The graph of a module in evaluation mode, checked at the example's shape and at a second one.

    Raises ExportError where the model fails on the example, has an operator that files do not hold, or is fixed along an
    axis that the example says varies.
    """
    model = bake(clone(model)).eval()
    example = _example(task)
    with torch.no_grad():
        try:
            expected = model(*example.args, **example.kwargs)
        except Exception as error:
            raise ExportError(
                f"the model failed on the task's example ({type(error).__name__}: {error}): "
                "make task.example() return arguments that the model takes"
            ) from error
    exported = _export(model, example, expected)
    loaded = _loadable(exported, model)
    _compare(loaded, example, expected, "")
    if (second := _longer(example)) is not None:
        with torch.no_grad():
            try:
                expected = model(*second.args, **second.kwargs)
            except Exception as error:
                raise ExportError(
                    f"the model itself failed at a second shape ({type(error).__name__}: {error}): wrap the tensor in "
                    "task.example() as Vary(x, {}) if it cannot vary, or name the axes that do"
                ) from error
        _compare(
            loaded, second, expected, " at a second shape, though it varies in the example: wrap the tensor in Vary(x, {})"
        )
    return exported


@dataclass(frozen=True)
class _Example:
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    axes: dict[int, Mapping[int, str]]  # of each tensor, by id


def _example(task: Task) -> _Example:
    axes: dict[int, Mapping[int, str]] = {}

    def unwrap(leaf: Any) -> Any:
        tensor, names = (leaf.tensor, leaf.axes) if isinstance(leaf, Vary) else (leaf, {0: "N"})
        if isinstance(tensor, np.ndarray):
            tensor = torch.from_numpy(tensor)
        if not isinstance(tensor, torch.Tensor):
            return tensor
        names = {axis % max(tensor.ndim, 1): name for axis, name in names.items() if tensor.ndim}
        for axis in names:  # an axis of length 1 is taken for fixed: show two
            if tensor.shape[axis] < 2:
                tensor = torch.cat([tensor] * 2, axis)
        tensor = tensor.detach().clone()
        axes[id(tensor)] = names
        return tensor

    args, kwargs = task.example()
    return _Example(_map(unwrap, tuple(args)), _map(unwrap, dict(kwargs)), axes)


def _longer(example: _Example) -> _Example | None:
    """The example one longer along every axis that varies."""
    varied = False

    def lengthen(leaf: Any) -> Any:
        nonlocal varied
        for axis in example.axes.get(id(leaf), {}):
            varied = True
            leaf = torch.cat([leaf, leaf.narrow(axis, 0, 1)], axis)
        return leaf

    longer = _Example(_map(lengthen, example.args), _map(lengthen, example.kwargs), {})
    return longer if varied else None


def _map(change: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _map(change, branch) for key, branch in tree.items()}
    if isinstance(tree, list | tuple) and not isinstance(tree, Vary):
        return type(tree)(_map(change, branch) for branch in tree)
    return change(tree)


class _Call(nn.Module):
    """Calls a module with weights that are given, so that they are inputs of the graph and keep their layout."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.__dict__["model"] = model  # not as a submodule, or its weights would be the graph's own
        self.names = names

    def forward(self, weights: list[torch.Tensor], call: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
        named = dict(zip(self.names, weights, strict=True))
        return torch.func.functional_call(self.model, named, call[0], call[1], tie_weights=True)


def _export(model: nn.Module, example: _Example, expected: Any) -> Exported:
    found = members(model)
    values = [member.raw.detach() for member in found]
    fixed = torch.export.Dim.DYNAMIC
    shapes = _map(
        lambda leaf: dict.fromkeys(example.axes[id(leaf)], fixed) if id(leaf) in example.axes else None, example.args
    )
    keyed = _map(
        lambda leaf: dict.fromkeys(example.axes[id(leaf)], fixed) if id(leaf) in example.axes else None, example.kwargs
    )
    # The default domain's opset 20 is the first with Gelu; nothing newer is needed.
    call = _Call(model, [member.name for member in found])
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                call,
                (values, (example.args, example.kwargs)),
                dynamo=True,
                verbose=False,
                opset_version=20,
                dynamic_shapes=([None] * len(values), (shapes, keyed)),
            )
    except Exception as error:
        raise ExportError(_explain(error)) from error
    assert program is not None
    arguments, inputs = _numbered((example.args, example.kwargs))
    structure, outputs = _numbered(_plain(expected))
    names = Names(
        weights=len(values),
        inputs=_input_names(model, arguments),
        axes=[example.axes.get(id(leaf), {}) for leaf in inputs],
        outputs=_output_names(structure, len(outputs)),
    )
    try:
        graph, wanted, constants = convert(program.model_proto, names, arguments, structure)
        encode_graph(graph)
    except OperatorError as error:
        raise ExportError(
            f"the model uses the operator {error}. Write that step with other functions, or leave it out of forward() and do "
            "it before or after the file runs"
        ) from None
    return Exported(graph, wanted, constants)


def _explain(error: BaseException) -> str:
    """The cause of a failed export in one sentence."""
    deepest: BaseException = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    reason = (str(deepest).strip() or type(deepest).__name__).split("\n\n")[0]
    advice = (
        "write that step with functions that torch.onnx.export knows, or leave it out of forward() and do it before or "
        "after the file runs"
    )
    if any(word in reason for word in ("Constraints violated", "constrain", "specialized", "L['")):
        advice = "wrap the tensor in task.example() as Vary(x, {}) if an axis cannot vary, and name those that do"
    elif any(word in reason for word in ("data-dependent", "Could not guard", "GuardOnDataDependent", "Eq(u0")):
        advice = "forward() branches on the values of a tensor: use torch.where, so that the same steps run for every input"
    return f"the model cannot be exported: {reason}. What to do: {advice}"


@contextlib.contextmanager
def _quiet():
    """The exporter's chatter is not the user's business; what fails is raised."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _plain(output: Any) -> Any:
    """An output as tensors in tuples, lists and dicts; a mapping of any class is a dict."""
    if isinstance(output, Mapping):
        return {str(key): _plain(value) for key, value in output.items()}
    if isinstance(output, tuple):
        return tuple(_plain(value) for value in output)
    return [_plain(value) for value in output] if isinstance(output, list) else output


def _numbered(tree: Any) -> tuple[Tree, list[torch.Tensor]]:
    """The tree with numbers in place of tensors, and the tensors."""
    leaves: list[torch.Tensor] = []

    def number(leaf: Any) -> int | None:
        if not isinstance(leaf, torch.Tensor):
            return None
        leaves.append(leaf)
        return len(leaves) - 1

    return _map(number, tree), leaves


def _input_names(model: nn.Module, arguments: Tree) -> list[str]:
    """Names as forward() has them; a tensor within a list or dict is named by its path."""
    parameters = inspect.signature(model.forward).parameters.values()
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = dict(_paths(arguments[1], ""))
    for place, branch in enumerate(arguments[0]):
        names |= dict(_paths(branch, positional[place] if place < len(positional) else f"input_{place}"))
    return [names[place] for place in range(len(names))]


def _output_names(structure: Tree, count: int) -> list[str]:
    names = dict(_paths(structure, ""))
    return [
        names[place] if names[place].isidentifier() or "." in names[place] else f"output_{names[place]}".rstrip("_")
        for place in range(count)
    ]


def _paths(tree: Tree, path: str) -> list[tuple[int, str]]:
    if isinstance(tree, int):
        return [(tree, path)]
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    return [leaf for key, branch in pairs for leaf in _paths(branch, f"{path}.{key}".lstrip("."))]


def _tensors(model: nn.Module, exported: Exported) -> list[Tensor]:
    found = members(model)
    return [_bits(found[place].value(), place) for place in exported.wanted] + list(exported.constants)


def _bits(value: torch.Tensor, member: int) -> Tensor:
    name = str(value.dtype).removeprefix("torch.")
    if name not in NUMBERS:
        raise ExportError(f"a file cannot hold tensors of type {name}: convert the model with model.float()")
    value = value.cpu().contiguous()
    kind = unsigned(NUMBERS[name])
    plain = value.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[kind.itemsize])
    return Tensor(NUMBERS[name], plain.numpy().view(kind), member)


def _torch(one: Tensor) -> torch.Tensor:
    signed = one.bits.view(one.bits.dtype.str.replace("u", "i").replace("<i1", "|i1"))
    name = next(name for name, number in NUMBERS.items() if number == one.element)
    return torch.from_numpy(signed.copy()).view(getattr(torch, name))


def _loadable(exported: Exported, model: nn.Module) -> Loaded:
    try:
        return Loaded(Content(exported.graph, _tensors(model, exported)), threads=1)
    except file.ShoeError as error:
        raise ExportError(
            f"the model was exported, but {error}: if it computes in bfloat16 or another type that the runtime lacks, convert "
            "it with model.float()"
        ) from error


def _compare(loaded: Loaded, example: _Example, expected: Any, where: str) -> None:
    """The file must answer as the module does."""
    try:
        got = loaded(*example.args, **example.kwargs)
    except (file.ShoeError, ValueError) as error:
        raise ExportError(f"the exported graph fails{where}: {error}") from error
    _, wanted = _numbered(_plain(expected))
    for value, ours in zip(wanted, _arrays(got), strict=True):
        theirs = array(value.float() if value.dtype == torch.bfloat16 else value)
        if theirs.shape != ours.shape:
            raise ExportError(f"the exported graph returns shape {ours.shape} and the module {theirs.shape}{where}")
        coarse = 8 if value.dtype in (torch.float16, torch.bfloat16) else 1
        a, b = theirs.astype(np.float64), ours.astype(np.float64)
        same = np.isclose(a, b, rtol=TOLERANCE * coarse, atol=TOLERANCE * coarse * max(_largest(a), 1e-6), equal_nan=True)
        if not same.all():
            off = float(np.nanmax(np.abs(a - b)))
            raise ExportError(
                f"the exported graph differs from the module by {off:.3g}{where}; if forward() draws random numbers or "
                "changes the module, make it give the same answer twice in evaluation mode"
            )


def _largest(values: np.ndarray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max()) if finite.size else 0.0


def _arrays(tree: Any) -> list[np.ndarray]:
    if isinstance(tree, np.ndarray):
        return [tree]
    branches = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [leaf for branch in branches for leaf in _arrays(branch)]
