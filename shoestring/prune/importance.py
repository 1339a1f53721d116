"""How important each unit of a model is, by which Channels and Heads rank units."""

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
    """Gives each unit of each group a number of 0 or more: what it costs to lose the unit.

    The numbers of all groups must be comparable.
    """

    def __call__(
        self, model: nn.Module, task: Task, dependencies: DependencyGroups
    ) -> list[Tensor]:
        """For each group, a vector with the importance of each of its units."""
        ...


@dataclass(frozen=True)
class Norm:
    """The L2 norm of a unit's weights, in the layers that produce it and in those that read it.

    Relative to the other units of its group: a unit of average norm counts as much as the products
    that it takes part in.
    Source: Li et al. 2017 (filters); Fang et al. 2023 (the whole group).
    """

    def __call__(
        self, model: nn.Module, task: Task, dependencies: DependencyGroups
    ) -> list[Tensor]:
        """For each group, a vector with the importance of each of its units."""
        weights = parameters_of(model)
        return _relative(
            weights,
            dependencies,
            lambda group: _mean_square(weights, group, list(group.slices)).sqrt(),
        )


@dataclass(frozen=True)
class Scale:
    """The scale that batch norm gives a unit, relative to the other units of its group.

    Where a group has no batch norm, the norms of the units are used, as in Norm.
    Source: Liu et al. 2017 (network slimming).
    """

    def __call__(
        self, model: nn.Module, task: Task, dependencies: DependencyGroups
    ) -> list[Tensor]:
        """For each group, a vector with the importance of each of its units."""
        weights = parameters_of(model)

        def scales(group: Group) -> Tensor:
            wanted = [
                key
                for key in group.slices
                if any(
                    isinstance(module, _BatchNorm) and name == "weight"
                    for module, name in weights[key[0]].owners
                )
            ]
            return _mean_square(weights, group, wanted or list(group.slices)).sqrt()

        return _relative(weights, dependencies, scales)


@dataclass(frozen=True)
class Taylor:
    """How much the loss would change without a unit, to first order: (gradient · weight)².

    Summed over all weights that read the unit.
    Source: Molchanov et al. 2019. Differs: the weights are those that read the unit, so that the
    sum is the change of the loss without it, also for units with several readers.

    `batches`: how many batches of the training split it uses, 1 or more.
    Warns with a SkippedWarning of units whose readers no gradient reaches (within torch.no_grad(),
    for example). Their importance is unknown, and they are removed last.
    """

    batches: int = 20

    def __post_init__(self) -> None:
        if self.batches < 1:
            raise ValueError(f"Taylor looks at {self.batches} batches: give 1 or more")

    def __call__(
        self, model: nn.Module, task: Task, dependencies: DependencyGroups
    ) -> list[Tensor]:
        """For each group, a vector with the importance of each of its units."""
        plain = bake(clone(model))
        weights = parameters_of(plain)
        read = {position for group in dependencies.groups for position, _ in group.reads}
        for position, weight in enumerate(weights):
            if weight.is_parameter and weight.raw.is_floating_point():
                weight.raw.requires_grad_(position in read)
        scores, count = [torch.zeros(len(group)) for group in dependencies.groups], 0
        reached = [not group.reads for group in dependencies.groups]
        with evaluating(plain):
            for batch in islice(iter(batches(task, "train", plain)), self.batches):
                plain.zero_grad()
                count += 1
                task.loss(plain, batch).backward()
                for index, (score, group) in enumerate(
                    zip(scores, dependencies.groups, strict=True)
                ):
                    change = torch.zeros(len(group))
                    for position, axis in group.reads:
                        raw = weights[position].raw
                        if raw.grad is not None:
                            reached[index] = True
                            # In half precision the product may be zero.
                            product = _along(raw.detach().float() * raw.grad.float(), axis)
                            change += product[group.slices[position, axis]].sum(1)
                    score += change.square()
        if unknown := [
            group.name
            for group, is_reached in zip(dependencies.groups, reached, strict=True)
            if not is_reached
        ]:
            text = (
                f"Taylor skipped {', '.join(unknown)}: no gradient reaches the layers that read "
                "their channels"
            )
            warnings.warn(text, SkippedWarning, stacklevel=2)
        return [
            score / max(count, 1) if is_reached else torch.full_like(score, math.inf)
            for score, is_reached in zip(scores, reached, strict=True)
        ]


def _along(value: Tensor, axis: int) -> Tensor:
    """The sum of each slice along an axis."""
    return value.float().cpu().movedim(axis, 0).reshape(value.shape[axis], -1).sum(1)


def _mean_square(weights: Parameters, group: Group, keys: Sequence[tuple[int, int]]) -> Tensor:
    """For each unit, its mean square relative to the other units, summed over several weights.

    Each weight counts relative to its own mean, so that large weights do not drown the others.
    `keys`: (weight, axis) pairs.
    """
    total = torch.zeros(len(group))
    for index, axis in keys:
        if not weights[index].is_parameter:
            continue
        squares = _along(weights[index].value().float().square(), axis)
        per_unit = squares[group.slices[index, axis]].sum(1)
        total += per_unit / per_unit.mean().clamp(min=1e-30)
    return total


def _relative(
    weights: Parameters, dependencies: DependencyGroups, measure: Callable[[Group], Tensor]
) -> list[Tensor]:
    """Measures with a mean of 1 in each group, times the products that one unit takes part in."""
    full, scores = dependencies.products(weights), list[Tensor]()
    none = torch.zeros(0, dtype=torch.long)
    for group in dependencies.groups:
        single = [
            torch.zeros(1, dtype=torch.long) if another is group else none
            for another in dependencies.groups
        ]
        value = measure(group)
        scores.append(
            value / value.mean().clamp(min=1e-30) * (full - dependencies.products(weights, single))
        )
    return scores
