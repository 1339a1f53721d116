"""Removing units of dependency groups from a model, and checking what it answers without them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit.surgery.cutting import answers, differs, take
from shoestring.kit.surgery.groups import DependencyGroups
from shoestring.kit.surgery.marks import WeightAxis
from shoestring.kit.tracing.example import Example, at_both_shapes, examples_of
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import Parameters, SkippedWarning, bake, parameters_of
from shoestring.kit.weights.sizes import resize


def without(model: nn.Module, groups: DependencyGroups, gone: Sequence[Tensor]) -> nn.Module:
    """A copy of the model without some units; the layers keep their classes, with smaller weights.

    States of weights, requires_grad, training mode, device and memory format are kept; gradients
    are not.
    `gone`: of each group, the indices of the units to remove.
    """
    stays = [torch.ones(len(group), dtype=torch.bool) for group in groups.groups]
    for stay, units in zip(stays, gone, strict=True):
        stay[units] = False
    return arranged(model, groups, [stay.nonzero().flatten() for stay in stays])


def arranged(model: nn.Module, groups: DependencyGroups, units: Sequence[Tensor]) -> nn.Module:
    """A copy of the model with only some units, in a given order; see `without`.

    `units`: of each group, the indices of the units to keep, in their new order.
    """
    model = clone(model)
    parameters, modules = parameters_of(model), dict(model.named_modules())
    order: dict[WeightAxis, Tensor] = {}
    for group, stay in zip(groups.groups, units, strict=True):
        for path, name, each in group.size_attributes:
            size = getattr(modules[path], name) - each * (len(group) - len(stay))
            setattr(modules[path], name, size)
        for (index, axis), slices in group.slices.items():
            own = order.setdefault((index, axis), torch.arange(parameters[index].raw.shape[axis]))
            own[slices.flatten()] = -1
            own[slices[stay.sort().values].flatten()] = slices[stay].flatten()
    for (index, axis), own in order.items():
        if not torch.equal(taken := own[own >= 0], torch.arange(len(own))):
            take(parameters[index], axis, taken)
            resize(parameters[index], groups.each.get(index, 0))
    return model


def _silence(
    parameters: Parameters, groups: DependencyGroups, gone: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Put zeros where layers read these units; returns (changed tensor, its values before)."""
    before = dict[int, tuple[Tensor, Tensor]]()
    with torch.no_grad():
        for group, units in zip(groups.groups, gone, strict=True):
            for index, axis in group.reads if len(units) else ():
                raw = parameters[index].raw
                before.setdefault(index, (raw, raw.clone()))
                raw.index_fill_(axis, group.slices[index, axis][units].flatten().to(raw.device), 0)
    return list(before.values())


def removed(
    model: nn.Module, task: Task, groups: DependencyGroups, gone: Sequence[Tensor], *, who: str
) -> tuple[nn.Module, DependencyGroups]:
    """The model without these units of each group, and its groups; checked on the task's example.

    Where the model without the units answers otherwise than the model in which nothing reads them,
    groups that fail alone are left whole, with a SkippedWarning from `who`. Where it still does,
    the model comes back as it was, with a SkippedWarning.
    """
    plain, examples = bake(clone(model)).eval().cpu(), examples_of(task)
    cut, parameters = without(model, groups, gone), parameters_of(plain)
    if not check(plain, bake(clone(cut)).eval().cpu(), examples, groups, gone, parameters):
        return cut, groups.after(parameters, gone)
    fine = list(gone)
    for index, group in enumerate(groups.groups):
        if not len(gone[index]):
            continue
        alone = [units if at == index else units[:0] for at, units in enumerate(gone)]
        trial = without(plain, groups, alone)
        if reason := check(plain, trial, examples, groups, alone, parameters):
            text = f"without {len(gone[index])} of its {len(group)} units the model {reason}"
            warnings.warn(f"{who} skipped {group.name}: {text}", SkippedWarning, stacklevel=3)
            fine[index] = fine[index][:0]
    cut = without(model, groups, fine)
    if reason := check(plain, bake(clone(cut)).eval().cpu(), examples, groups, fine, parameters):
        warnings.warn(
            f"{who} removed nothing: with fewer units in several layers the model {reason}",
            SkippedWarning,
            stacklevel=3,
        )
        return model, groups
    return cut, groups.after(parameters, fine)


def check(
    plain: nn.Module,
    cut: nn.Module,
    examples: Sequence[Example],
    groups: DependencyGroups,
    gone: Sequence[Tensor],
    parameters: Parameters,
) -> str:
    """How a model without units answers differently from one in which nothing reads them.

    "" where it does not. Both are plain, in evaluation mode and on the CPU.
    `examples`: one of each entry of the model.
    `plain`: the model with all units; its parameters are changed, and changed back.
    `cut`: the model without the units; it is left in training mode.
    `parameters`: those of `plain`.
    """
    both_shapes = at_both_shapes(examples)
    expected = answers_without(plain, both_shapes, groups, gone, parameters)
    with torch.no_grad():
        return differs(cut, both_shapes, expected) or fails_in_training(plain, cut, examples)


def answers_without(
    plain: nn.Module,
    examples: Sequence[Example],
    groups: DependencyGroups,
    gone: Sequence[Tensor],
    parameters: Parameters,
) -> list[Tensor]:
    """What a plain model answers where no layer reads these units of each group.

    `parameters`: those of the model; they are changed, and changed back.
    """
    with torch.no_grad():
        before = _silence(parameters, groups, gone)
        try:
            return answers(plain, examples)
        finally:
            for raw, values in before:
                raw.copy_(values)


def fails_in_training(plain: nn.Module, cut: nn.Module, examples: Sequence[Example]) -> str:
    """How the cut model fails in training mode, in which forward() may call more layers.

    "" where it does not fail, or the model with all units fails too.
    """
    try:
        answers(cut.train(), examples)
    except Exception as error:
        try:
            answers(clone(plain).train(), examples)
        except Exception:
            return ""
        return f"fails in training ({type(error).__name__}: {error})"
    return ""
