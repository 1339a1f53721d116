"""Finding the dependency groups of a model on its task's example, and trying each of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import is_dataclass, replace
from typing import Any

import torch
from torch import nn

from shoestring.artifact import tree
from shoestring.artifact.format.axes import Axis
from shoestring.core import Task, seeded
from shoestring.kit.routing.traced import every_row
from shoestring.kit.surgery.cutting import reason_to_stay
from shoestring.kit.surgery.dependency import Dependencies
from shoestring.kit.surgery.groups import DependencyGroups, Group, groups_of, size_attributes_of
from shoestring.kit.surgery.removing import check, without
from shoestring.kit.tracing.example import Example, examples_of, tensors
from shoestring.kit.tracing.exporter import quiet
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.layers import Patterns, chosen
from shoestring.kit.weights.parameters import Parameters, SkippedWarning, bake, parameters_of

_SHORT = 8
"""The length to which axes that vary are cut to find dependencies."""


def dependency_groups(
    model: nn.Module, task: Task, only: Patterns = (), keep: Patterns = (), *, who: str
) -> DependencyGroups:
    """The groups of units that can be removed from a model.

    They are found by running the model on the task's example; then one unit of each group is
    removed, to see that the model answers as it does with zeros in place of the unit.

    `only`, `keep`: patterns of layers whose units may go, and must not.
    `who`: what asks, for the warnings.

    A SkippedWarning names what is skipped: the model, where it does not run on the task's example
    or returns something else than tensors; weights that are frozen, tied or parametrized by
    something else, whose units all stay; a group that fails when it is tried. Raises ValueError for
    a lazy module, NoLayerError (a ValueError) for names of no layer, ExportError for an example
    that does not fit its declared axes.
    """
    plain, examples = bake(clone(model)).eval().cpu(), examples_of(task)
    reasons = {
        weight.name: reason for weight in parameters_of(model) if (reason := reason_to_stay(weight))
    }
    dependencies, why = dependencies_of(plain, examples, reasons)
    if dependencies is None:
        warnings.warn(f"{who} skipped the model: {why}", SkippedWarning, stacklevel=3)
        return DependencyGroups((), (), {})
    groups = groups_of(dependencies)
    _say_what_stays(dependencies, groups, who)
    names = list(dict.fromkeys(name for group in groups for name in group.layers))
    if only or keep:
        wanted, left = set(chosen(names, only, (), who)), set(chosen(names, (), keep, who))
        groups = [
            group
            for group in groups
            if wanted.intersection(group.layers) and left.issuperset(group.layers)
        ]
    known = DependencyGroups((), tuple(dependencies.used), dependencies.each)
    removable: list[Group] = []
    for group in groups:
        tried, why = _tried(plain, dependencies.parameters, examples, known, group)
        if tried is not None:
            removable.append(tried)
        else:
            text = f"without one of its {len(group)} units the model {why}"
            warnings.warn(f"{who} skipped {group.name}: {text}", SkippedWarning, stacklevel=3)
    return replace(known, groups=tuple(removable))


def _tried(
    plain: nn.Module,
    parameters: Parameters,
    examples: Sequence[Example],
    known: DependencyGroups,
    group: Group,
) -> tuple[Group | None, str]:
    """The group with the size attributes without which the model fails; or None, and how it fails.

    The last unit of the group is removed, without changing an attribute, then with each set.
    `known`: the model's `used` and `each`, without groups.
    """
    reasons: list[str] = []
    for sizes in ((), *size_attributes_of(plain, parameters, group)):
        tried = replace(group, size_attributes=sizes)
        alone, gone = replace(known, groups=(tried,)), [torch.tensor([len(group) - 1])]
        cut = without(plain, alone, gone)
        if not (reason := check(plain, cut, examples, alone, gone, parameters)):
            return tried, ""
        reasons.append(reason)
    return None, reasons[0]


def dependencies_of(
    plain: nn.Module, examples: Sequence[Example], reasons: dict[str, str]
) -> tuple[Dependencies | None, str]:
    """The dependencies of a plain model in evaluation mode; or None, and why there are none.

    The model is run on shortened examples where it takes them.
    `examples`: one of each entry of the model.
    `reasons`: why weights must not be cut, by their names.
    """
    try:
        dependencies, answered = _followed(plain, examples, reasons)
    except Exception as error:
        return None, f"it does not run on the task's example ({type(error).__name__}: {error})"
    reason = next(filter(None, map(_opaque, answered)), "")
    return (None, reason) if reason else (dependencies, "")


def _followed(
    plain: nn.Module, examples: Sequence[Example], reasons: dict[str, str]
) -> tuple[Dependencies, list[Any]]:
    """The dependencies of a model after a run of each entry, and the answers of these runs.

    The runs share the marks: what only one entry reads is read.
    """
    short = [_shortened(example) for example in examples]
    shorter = [full if cut is None else cut for full, cut in zip(examples, short, strict=True)]
    for tried in (shorter, examples) if any(cut is not None for cut in short) else (examples,):
        dependencies = Dependencies(plain, lambda weight: reasons.get(weight.name, ""))
        try:
            with quiet(), seeded(0), torch.no_grad(), every_row():
                with dependencies:
                    answered = [example.run(plain) for example in tried]
                dependencies.fix_values(answered)
            return dependencies, answered
        except Exception:
            if tried is examples:
                raise
    raise AssertionError("unreachable")


def _opaque(answer: Any) -> str:
    """Why a model's answers cannot be compared; "" where they can."""
    leaves = tree.leaves(answer)
    wrong = leaves[:1] if not tensors(answer) else [leaf for leaf in leaves if is_dataclass(leaf)]
    kind = type(wrong[0] if wrong else answer).__name__
    return (
        f"it returns {kind}: have forward() return tensors, in tuples, lists and dicts"
        if wrong or not leaves
        else ""
    )


def _shortened(example: Example) -> Example | None:
    """The example, cut along the axes that vary; None where it is short already."""
    cut = False

    def shorter(leaf: Any) -> Any:
        nonlocal cut
        for axis, name in example.axes.get(id(leaf), {}).items():
            if leaf.shape[axis] > (short := Axis.read(name).near(_SHORT)):
                leaf, cut = leaf.narrow(axis, 0, short), True
        return leaf

    changed = Example(
        tree.map(shorter, example.args), tree.map(shorter, example.kwargs), {}, example.entry
    )
    return changed if cut else None


def _say_what_stays(dependencies: Dependencies, groups: Sequence[Group], who: str) -> None:
    """Warn of the layers whose units all stay, with the reason."""
    followed = {
        index
        for index, _ in (
            *dependencies.gives,
            *dependencies.reads,
            *(key for group in groups for key in group.slices),
        )
    }
    layers: dict[str, list[str]] = {}
    for index, weight in enumerate(dependencies.parameters):
        mixed = "" if index in followed else "what it computes does not keep channels apart"
        reason = dependencies.marks.reasons.get(index, mixed)
        if reason and weight.is_parameter and weight.raw.ndim > 1:
            layers.setdefault(reason, []).extend(name or weight.name for name in weight.layers)
    for reason, names in layers.items():
        warnings.warn(
            f"{who} skipped {', '.join(dict.fromkeys(names))}: {reason}",
            SkippedWarning,
            stacklevel=4,
        )
