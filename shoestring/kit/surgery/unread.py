"""Units that nothing reads, and a model without them, wherever its outputs go."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit.surgery.groups import DependencyGroups, dependency_groups, removed
from shoestring.kit.weights.parameters import SkippedWarning, Weight, members


def unread(model: nn.Module, coupling: DependencyGroups) -> list[Tensor]:
    """Of each family the units that nothing reads: all weights are zero that take them in.

    One stays at least.
    """
    found, gone = members(model), list[Tensor]()
    for group in coupling.groups:
        alive = torch.zeros(len(group), dtype=torch.bool)
        for place, axis in group.reads:
            value = found[place].value().cpu()
            read = (value != 0).movedim(axis, 0).reshape(value.shape[axis], -1).any(1)
            alive |= read[group.slices[place, axis]].any(1)
        alive[0] |= not alive.any()
        gone.append(
            (~alive).nonzero().flatten() if group.reads else torch.zeros(0, dtype=torch.long)
        )
    return gone


def remove_unread(model: nn.Module, task: Task) -> nn.Module:
    """The model without the units that nothing reads.

    A copy, or the model itself where there are none.
    """
    if not any(_has_empty_slice(one) for one in members(model)):
        return model
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", SkippedWarning
        )  # what is left alone is left alone without a word
        coupling = dependency_groups(model, task, who="remove_unread")
        gone = unread(model, coupling)
        return (
            removed(model, task, coupling, gone, who="remove_unread")[0]
            if any(map(len, gone))
            else model
        )


def _has_empty_slice(weight: Weight) -> bool:
    if not weight.is_parameter or weight.raw.ndim < 2 or not weight.raw.numel():
        return False
    zero = weight.value() == 0
    return any(
        bool(zero.movedim(axis, 0).reshape(zero.shape[axis], -1).all(1).any()) for axis in (0, 1)
    )
