"""Remove channels, so that layers become smaller and faster."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import Patterns, Ramp, Training, check_finite, parameters_of
from shoestring.kit.surgery.finding import dependency_groups
from shoestring.kit.surgery.groups import DependencyGroups, Group
from shoestring.kit.weights.layers import say_how_far
from shoestring.prune.importance import Importance, Taylor
from shoestring.prune.thinning import named, thinned


@dataclass(frozen=True)
class OfOperations:
    """`share` is of the multiply-adds of all layers.

    Channels go from the layers where they cost the least importance per multiply-add saved.
    """


@dataclass(frozen=True)
class OfChannels:
    """`share` is of the channels, and every layer keeps the same share."""


@dataclass(frozen=True, kw_only=True)
class Channels(Technique):
    """Remove the least important channels in rounds, each with all the weights that depend on it.

    Saves: operations, milliseconds and bytes: layers have fewer channels.
    Costs: the time of `training`; score.
    Source: Li et al. 2017 (filters); Molchanov et al. 2019 (the default importance); Fang et al.
    2023 (dependency groups).
    Differs: dependency groups are found by trying; widths are rounded; the model as it was is the
    teacher during recovery.

    `share`: the share that is kept of what `of` names, above 0 and at most 1. Layers whose channels
        must stay count too. Where the others cannot reach the share, they go as far as they can.
    `of`: OfOperations() or OfChannels().
    `importance`: how units are compared: Taylor(), Norm(), Scale() or another callable (model,
        task, dependencies) -> a vector for each group.
    `multiple`: layers that have more channels than this are left with a multiple of it, 1 or more.
    `training`: steps of all rounds together; Training(0) trains nothing.
    `ramp`: the share of the training over which channels are removed, and in how many rounds.
    `only`, `keep`: patterns of names of layers that lose channels, and of those that do not; empty
        `only` means all layers. Layers whose outputs are added lose the same channels, so that
        `keep` of one keeps all of them.

    To compare single layers, use a share OfChannels(): one layer alone cannot save half of all
    operations. Attention heads are left alone. Skipped with a SkippedWarning: weights that are
    frozen, tied or parametrized by something else, layers whose channels the model mixes, and
    layers whose channels it does not run without. Raises ValueError for settings out of range,
    patterns that match no layer, and weights that are NaN or infinite.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(field="share", gentle=0.9, harsh=0.2)

    share: float = 0.5
    of: OfOperations | OfChannels = OfOperations()
    importance: Importance = Taylor()
    multiple: int = 8
    training: Training = Training(2000)
    ramp: Ramp = Ramp(0.3, rounds=4)
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"the share is {self.share}: it must be above 0 and at most 1")
        if self.multiple < 1:
            raise ValueError(f"channels in multiples of {self.multiple}: give 1 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with fewer channels."""
        check_finite(model)
        dependencies = dependency_groups(model, task, self.only, self.keep, who="Channels")
        dependencies = replace(
            dependencies,
            groups=tuple(group for group in dependencies.groups if not group.are_parts),
        )
        operations = dependencies.products(parameters_of(model))
        widths = [len(group) for group in dependencies.groups]

        def choose(pruned: nn.Module, current: DependencyGroups, progress: float) -> list[Tensor]:
            share = 1 - (1 - self.share) * progress
            scores = self.importance(pruned, task, current)
            if isinstance(self.of, OfOperations):
                return self._cheapest(pruned, current, scores, share * operations)
            goals = [
                self._rounded(group, share * count)
                for group, count in zip(current.groups, widths, strict=True)
            ]
            return [
                score.argsort()[: max(0, len(score) - goal)]
                for score, goal in zip(scores, goals, strict=True)
            ]

        pruned, left = thinned(
            model,
            task,
            dependencies,
            choose,
            training=self.training,
            ramp=self.ramp,
            who="Channels",
            key=repr(self),
        )
        if dependencies.groups and not self.only and not self.keep:
            self._say_how_far(operations, sum(widths), pruned, left)
        return pruned

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may have: of layers whose outputs are added, the first."""
        return named(model, task, parts=False)

    def _say_how_far(
        self, operations: float, channels: int, pruned: nn.Module, left: DependencyGroups
    ) -> None:
        by_operations = isinstance(self.of, OfOperations)
        reached = (
            left.products(parameters_of(pruned)) / max(operations, 1)
            if by_operations
            else sum(map(len, left.groups)) / channels
        )
        why = "the other layers must stay as they are"
        if any(len(group) <= self._multiple(group) for group in left.groups):
            why = (
                f"channels go in multiples of {self.multiple}, and some layers have no more than "
                "that (multiple=1 goes further)"
            )
        say_how_far(
            "Channels", self.share, reached, "operations" if by_operations else "channels", why
        )

    def _multiple(self, group: Group) -> int:
        """How many units it takes to make a multiple of `multiple` channels."""
        each = min(
            slices.shape[1] for key, slices in group.slices.items() if key not in group.reads
        )
        return self.multiple // gcd(self.multiple, each)

    def _rounded(self, group: Group, units: float) -> int:
        """This many units, rounded up to the next multiple."""
        multiple = self._multiple(group)
        return min(len(group), max(1, -int(-units // multiple)) * multiple)

    def _cheapest(
        self, model: nn.Module, dependencies: DependencyGroups, scores: list[Tensor], goal: float
    ) -> list[Tensor]:
        """The units to remove so that at most `goal` products are left.

        Greedy: the next to go are those with the least importance per product saved.
        """
        order = [score.argsort() for score in scores]
        counts = [0] * len(order)
        # Collected once: walking through a large model takes long.
        shapes = [weight.raw.shape for weight in parameters_of(model)]
        products = dependencies.products_of(shapes, counts)
        while products > goal:
            best: tuple[float, int, int, float] | None = None
            for index, group in enumerate(dependencies.groups):
                left = len(group) - counts[index]
                fewer = (left - 1) // self._multiple(group) * self._multiple(group)
                if not fewer:
                    continue
                more = counts[index] + left - fewer
                after = dependencies.products_of(
                    shapes, [*counts[:index], more, *counts[index + 1 :]]
                )
                price = float(scores[index][order[index][counts[index] : more]].sum()) / max(
                    products - after, 1e-9
                )
                if best is None or price < best[0]:
                    best = price, index, more, after
            if best is None:
                break
            _, index, count, products = best
            counts[index] = count
        return [
            torch.sort(units[:count]).values for units, count in zip(order, counts, strict=True)
        ]
