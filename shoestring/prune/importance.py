"""How much each unit of a model matters: what Channels, Heads and others rank by."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from shoestring.core import Task, batches
from shoestring.core.task import evaluating
from shoestring.kit import Parameters, SkippedWarning, bake, clone, parameters_of
from shoestring.kit.surgery.groups import DependencyGroups, Group


class Importance(Protocol):
    """Gives each unit of each family a number of 0 or more.

    What it costs to lose the unit, the same measure in all families.
    """

    def __call__(self, model: nn.Module, task: Task, coupling: DependencyGroups) -> list[Tensor]:
        """A vector for each family."""
        ...


@dataclass(frozen=True)
class Norm:
    """The length of a unit's weights, all slices of the layers that give it and take it in.

    Relative to the others of its family.
    Source: Li et al. 2017 (filters); Fang et al. 2023 (the whole group). A unit of average length
    counts as much as the products that it takes part in.
    """

    def __call__(self, model: nn.Module, task: Task, coupling: DependencyGroups) -> list[Tensor]:
        """A vector for each family."""
        found = parameters_of(model)
        return _relative(
            found, coupling, lambda group: _mean_square(found, group, list(group.slices)).sqrt()
        )


@dataclass(frozen=True)
class Scale:
    """The scales that batch norm gives a unit.

    Relative to the others of its family, whose lengths count where there is no batch norm.
    Source: Liu et al. 2017 (network slimming).
    """

    def __call__(self, model: nn.Module, task: Task, coupling: DependencyGroups) -> list[Tensor]:
        """A vector for each family."""
        found = parameters_of(model)

        def scales(group: Group) -> Tensor:
            wanted = [
                place
                for place in group.slices
                if any(
                    isinstance(module, _BatchNorm) and name == "weight"
                    for module, name in found[place[0]].owners
                )
            ]
            return _mean_square(found, group, wanted or list(group.slices)).sqrt()

        return _relative(found, coupling, scales)


@dataclass(frozen=True)
class Taylor:
    """How much the loss would change without a unit, to first order.

    (gradient · weight)², summed over whatever reads the unit.
    `batches`: of the training split that are looked at.
    Source: Molchanov et al. 2019. Differs: the weights are those that read the unit, so that the
    sum is the change of the loss when it is gone, also for units with several readers. With a
    SkippedWarning: units that only layers read which no gradient reaches, as within
    torch.no_grad(); nothing is known of them, and they go last.
    """

    batches: int = 20

    def __post_init__(self) -> None:
        if self.batches < 1:
            raise ValueError(f"Taylor looks at {self.batches} batches: give 1 or more")

    def __call__(self, model: nn.Module, task: Task, coupling: DependencyGroups) -> list[Tensor]:
        """A vector for each family."""
        plain = bake(clone(model))
        found = parameters_of(plain)
        read = {place for group in coupling.groups for place, _ in group.reads}
        for place, weight in enumerate(found):
            if weight.is_parameter and weight.raw.is_floating_point():
                weight.raw.requires_grad_(place in read)
        scores, seen = [torch.zeros(len(group)) for group in coupling.groups], 0
        reached = [not group.reads for group in coupling.groups]
        with evaluating(plain):
            for batch in islice(iter(batches(task, "train", plain)), self.batches):
                plain.zero_grad()
                seen += 1
                task.loss(plain, batch).backward()
                for turn, (score, group) in enumerate(zip(scores, coupling.groups, strict=True)):
                    change = torch.zeros(len(group))
                    for place, axis in group.reads:
                        weight = found[place].raw
                        if weight.grad is not None:
                            reached[turn] = True
                            product = _along(
                                weight.detach().float() * weight.grad.float(), axis
                            )  # in half it may be zero
                            change += product[group.slices[place, axis]].sum(1)
                    score += change.square()
        if unknown := [
            group.name for group, one in zip(coupling.groups, reached, strict=True) if not one
        ]:
            text = (
                f"Taylor skipped {', '.join(unknown)}: no gradient reaches the layers that "
                "read their channels"
            )
            warnings.warn(text, SkippedWarning, stacklevel=2)
        return [
            score / max(seen, 1) if one else torch.full_like(score, math.inf)
            for score, one in zip(scores, reached, strict=True)
        ]


def _along(value: Tensor, axis: int) -> Tensor:
    """The sum of each slice along an axis."""
    return value.float().cpu().movedim(axis, 0).reshape(value.shape[axis], -1).sum(1)


def _mean_square(found: Parameters, group: Group, places: Sequence[tuple[int, int]]) -> Tensor:
    """Over several weights, the mean of a unit's squares as a share of those of all units, so that
    large weights do not drown others.
    """
    total = torch.zeros(len(group))
    for place, axis in places:
        if not found[place].is_parameter:
            continue
        squares = _along(found[place].value().float().square(), axis)
        own = squares[group.slices[place, axis]].sum(1)
        total += own / own.mean().clamp(min=1e-30)
    return total


def _relative(
    found: Parameters, coupling: DependencyGroups, measure: Callable[[Group], Tensor]
) -> list[Tensor]:
    """Measures with a mean of 1 in each family, times the products that one unit of the family
    takes part in.
    """
    full, scores = coupling.products(found), list[Tensor]()
    none = torch.zeros(0, dtype=torch.long)
    for group in coupling.groups:
        one = [
            torch.zeros(1, dtype=torch.long) if other is group else none
            for other in coupling.groups
        ]
        value = measure(group)
        scores.append(
            value / value.mean().clamp(min=1e-30) * (full - coupling.products(found, one))
        )
    return scores
