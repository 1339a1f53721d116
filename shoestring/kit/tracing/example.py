"""The example of a call.

What is in its nest of arguments, which axes vary, and what each tensor is called.
"""

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
    """A model that cannot become a file; the message names the reason and the way round it."""


@dataclass(frozen=True)
class Example:
    """The arguments of one call, as tensors without their declarations, and the declarations."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    axes: dict[
        int, Mapping[int, str]
    ]  # of each tensor, by id: names, with their bounds as a file has them
    # what is called: the model's method or part of that name, the model itself if it is empty
    entry: str = ""

    def run(self, model: nn.Module) -> Any:
        """What the model returns; raises whatever it does."""
        return called(model, self.entry)(*self.args, **self.kwargs)


def example_of(task: Task) -> Example:
    """The task's example; raises ExportError where it declares an axis that a tensor has not, or is
    not as long as it declares, and where it names entries, which whoever asks for one example
    cannot deal with.
    """
    examples = examples_of(task)
    if names := [one.entry for one in examples if one.entry]:
        raise ExportError(
            "this is for models that are called in one way, and the task's example names entries "
            f"({', '.join(names)}): what can "
            "be done with several entries is in docs/tasks.md"
        )
    return examples[0]


def examples_of(task: Task) -> list[Example]:
    """The task's example, or that of each of the entries that it names.

    Raises ExportError as `example_of`.
    """
    try:
        calls = calls_of(task.example())
    except ValueError as error:
        raise ExportError(str(error)) from None
    return [_example(call, entry) for entry, call in calls.items()]


def with_shapes(examples: Sequence[Example]) -> list[Example]:
    """The examples, each followed by itself at a second shape where it may have one."""
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
                f"{tensor.ndim} axes: "
                "name those that it has in Vary(tensor, {axis: name})"
            )
        names = {axis % tensor.ndim: str(name) for axis, name in names.items()}
        for axis, name in names.items():
            if tensor.shape[axis] not in Axis.read(name):
                raise ExportError(
                    f"the task's example is {tensor.shape[axis]} long along axis {axis}, which is "
                    f"declared as {name}"
                )
            if tensor.shape[axis] == 1 and 2 in Axis.read(
                name
            ):  # an axis of length 1 is taken for fixed: show two
                tensor = torch.cat([tensor] * 2, axis)
        tensor = tensor.detach().cpu().clone()
        axes[id(tensor)] = names
        return tensor

    args, kwargs = call
    leaves, structure = tree.flatten((tuple(args), dict(kwargs)))
    args, kwargs = tree.fill(structure, [unwrap(leaf) for leaf in leaves])
    return Example(args, kwargs, axes, entry)


def reshaped(example: Example) -> Example | None:
    """The example one shorter along every axis that varies (an axis of two one longer.

    Of multiples of 4, four), None where none does.
    Shorter, because the example may be as long as the model allows: a text of as many words as it
    has positions.
    """
    varied = False

    def change(leaf: Any) -> Any:
        nonlocal varied
        for axis, name in example.axes.get(id(leaf), {}).items():
            size, allowed = leaf.shape[axis], Axis.read(name)
            shorter = allowed.near(size - 1)
            other = shorter if 1 < shorter < size else size + allowed.multiple
            varied = varied or other in allowed
            leaf = lengthened(leaf, axis, other if other in allowed else size)
        return leaf

    changed = Example(
        tree.map(change, example.args), tree.map(change, example.kwargs), {}, example.entry
    )
    return changed if varied else None


def lengthened(leaf: torch.Tensor, axis: int, length: int) -> torch.Tensor:
    """A tensor cut along an axis, or repeated from its start, to be so long.

    A list of whole numbers, which may be places that rise, goes on with its last.
    """
    if leaf.ndim == 1 and not leaf.is_floating_point() and length > len(leaf):
        return torch.cat([leaf, leaf[-1:].expand(length - len(leaf))])
    times = -(-length // leaf.shape[axis])
    return (torch.cat([leaf] * times, axis) if times > 1 else leaf).narrow(axis, 0, length)


def numbered(nest: Any) -> tuple[Tree, list[torch.Tensor]]:
    """The nest with numbers in place of tensors and None in place of all else, and the tensors."""
    tensors, structure = tree.flatten(nest, lambda leaf: isinstance(leaf, torch.Tensor))
    return structure, tensors


def tensors(nest: Any) -> list[torch.Tensor]:
    """The tensors of a nest, in order."""
    return [leaf for leaf in tree.leaves(nest) if isinstance(leaf, torch.Tensor)]


def arrays(nest: Any) -> list[np.ndarray]:
    """The arrays of a nest, in order."""
    return [leaf for leaf in tree.leaves(nest) if isinstance(leaf, np.ndarray)]


def input_names(model: nn.Module, arguments: Tree, entry: str = "") -> list[str]:
    """Names as forward() has them, or the method that is the entry.

    A tensor within a list or dict is named by its path.
    """
    target = called(model, entry)
    parameters = inspect.signature(
        target.forward if isinstance(target, nn.Module) else target
    ).parameters.values()
    positional = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    names = _numbers(arguments[1], "")
    for place, branch in enumerate(arguments[0]):
        names |= _numbers(
            branch, positional[place] if place < len(positional) else f"input_{place}"
        )
    return [names[place] for place in range(len(names))]


def output_names(structure: Tree, count: int) -> list[str]:
    """The paths of what is returned."""
    names = _numbers(structure, "")
    return [
        names[place]
        if names[place].isidentifier() or "." in names[place]
        else f"output_{names[place]}".rstrip("_")
        for place in range(count)
    ]


def _numbers(structure: Tree, start: str) -> dict[int, str]:
    """The path of each tensor, by its number."""
    return {number: path for path, number in tree.paths(structure, start) if number is not None}
