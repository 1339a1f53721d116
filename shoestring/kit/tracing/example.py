"""The example of a model's call: its nest of arguments, the axes that vary, the tensors' names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import tree
from shoestring.artifact.format.axes import Axis
from shoestring.artifact.format.graph import Tree
from shoestring.core import Task, Vary
from shoestring.core.entries import Call, called, calls_of


class ExportError(RuntimeError):
    """A model cannot become a file; the message says why, and what to do."""


@dataclass(frozen=True)
class Example:
    """The arguments of one call, as tensors, and which of their axes vary.

    `args`, `kwargs`: the arguments; `Vary` is taken off the tensors.
    `axes`: of each tensor, by its id, the axes that vary, {axis: name with bounds, as in a file}.
    `entry`: the model's method or part that is called; "" for the model itself.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    axes: dict[int, Mapping[int, str]]
    entry: str = ""

    def run(self, model: nn.Module) -> Any:
        """What the model returns; raises what the call raises."""
        return called(model, self.entry)(*self.args, **self.kwargs)


def examples_of(task: Task) -> list[Example]:
    """The task's example, or one for each entry that it names.

    Raises ExportError where an example is no call, declares an axis that a tensor does not have, or
    is not as long along an axis as it declares.
    """
    try:
        calls = calls_of(task.example())
    except ValueError as error:
        raise ExportError(str(error)) from None
    return [_example(call, entry) for entry, call in calls.items()]


def at_both_shapes(examples: Sequence[Example]) -> list[Example]:
    """Each example, and after it the same example in a second shape where its axes vary."""
    return [one for example in examples for one in (example, reshaped(example)) if one is not None]


def _example(call: Call, entry: str) -> Example:
    axes: dict[int, Mapping[int, str]] = {}

    def unwrap(leaf: Any) -> Any:
        tensor, names = (leaf.tensor, leaf.axes) if isinstance(leaf, Vary) else (leaf, {0: "N"})
        if isinstance(tensor, np.ndarray):
            tensor = torch.from_numpy(tensor)
        if not isinstance(tensor, torch.Tensor):
            return tensor
        if tensor.ndim == 0 and not isinstance(leaf, Vary):
            names = {}
        if wrong := [axis for axis in names if not -tensor.ndim <= axis < tensor.ndim]:
            raise ExportError(
                f"the task's example says that axis {wrong[0]} varies of a tensor that has "
                f"{tensor.ndim} axes: name those that it has in Vary(tensor, {{axis: name}})"
            )
        names = {axis % tensor.ndim: str(name) for axis, name in names.items()}
        for axis, name in names.items():
            if tensor.shape[axis] not in Axis.read(name):
                raise ExportError(
                    f"the task's example is {tensor.shape[axis]} long along axis {axis}, which is "
                    f"declared as {name}"
                )
            # The exporter takes an axis of length 1 as fixed.
            if tensor.shape[axis] == 1 and 2 in Axis.read(name):
                tensor = torch.cat([tensor] * 2, axis)
        tensor = tensor.detach().cpu().clone()
        axes[id(tensor)] = names
        return tensor

    args, kwargs = call
    leaves, structure = tree.flatten((tuple(args), dict(kwargs)))
    args, kwargs = tree.fill(structure, [unwrap(leaf) for leaf in leaves])
    return Example(args, kwargs, axes, entry)


def reshaped(example: Example) -> Example | None:
    """The example with another length along every axis that varies; None where none varies.

    Each axis is shorter by one, or by 4 where its length must be a multiple of 4. An axis that
    would be shorter than 2 is longer instead. Shorter, since the example may be as long as the
    model allows: a text of as many words as the model has positions.
    """
    varied = False

    def change(leaf: Any) -> Any:
        nonlocal varied
        for axis, name in example.axes.get(id(leaf), {}).items():
            size, allowed = leaf.shape[axis], Axis.read(name)
            shorter = allowed.near(size - 1)
            length = shorter if 1 < shorter < size else size + allowed.multiple
            varied = varied or length in allowed
            leaf = lengthened(leaf, axis, length if length in allowed else size)
        return leaf

    changed = Example(
        tree.map(change, example.args), tree.map(change, example.kwargs), {}, example.entry
    )
    return changed if varied else None


def lengthened(leaf: torch.Tensor, axis: int, length: int) -> torch.Tensor:
    """A tensor cut to a length along an axis, or repeated from its start.

    A vector of integers is continued with its last value: it may be ascending indices.
    """
    if leaf.ndim == 1 and not leaf.is_floating_point() and length > len(leaf):
        return torch.cat([leaf, leaf[-1:].expand(length - len(leaf))])
    times = -(-length // leaf.shape[axis])
    return (torch.cat([leaf] * times, axis) if times > 1 else leaf).narrow(axis, 0, length)


def numbered(nest: Any) -> tuple[Tree, list[torch.Tensor]]:
    """(the nest with numbers in place of tensors and None in place of other leaves, tensors)."""
    tensors, structure = tree.flatten(nest, lambda leaf: isinstance(leaf, torch.Tensor))
    return structure, tensors


def tensors(nest: Any) -> list[torch.Tensor]:
    """The tensors of a nest, in order."""
    return [leaf for leaf in tree.leaves(nest) if isinstance(leaf, torch.Tensor)]


def arrays(nest: Any) -> list[np.ndarray]:
    """The arrays of a nest, in order."""
    return [leaf for leaf in tree.leaves(nest) if isinstance(leaf, np.ndarray)]


def input_names(model: nn.Module, arguments: Tree, entry: str = "") -> list[str]:
    """The name of each input, as forward() or the entry's method names its arguments.

    A tensor within a list or dict is named by its path.
    `arguments`: the structure of (args, kwargs) that `numbered` gives.
    """
    target = called(model, entry)
    parameters = inspect.signature(
        target.forward if isinstance(target, nn.Module) else target
    ).parameters.values()
    positional = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    names = _numbers(arguments[1], "")
    for index, branch in enumerate(arguments[0]):
        name = positional[index] if index < len(positional) else f"input_{index}"
        names |= _numbers(branch, name)
    return [names[number] for number in range(len(names))]


def output_names(structure: Tree, count: int) -> list[str]:
    """The path of each output in what the model returns; "output" or "output_0" without a path.

    `count`: the number of outputs.
    """
    names = _numbers(structure, "")
    paths = [names[number] for number in range(count)]
    return [
        path if path.isidentifier() or "." in path else f"output_{path}".rstrip("_")
        for path in paths
    ]


def _numbers(structure: Tree, start: str) -> dict[int, str]:
    """The path of each tensor of a structure, by its number."""
    return {number: path for path, number in tree.paths(structure, start) if number is not None}
