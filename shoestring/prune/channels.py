"""Channels taken out, so that layers become smaller and faster."""

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
    """The share is of the layers' multiply-adds.

    Channels go from whichever layers lose least for what they save.
    """


@dataclass(frozen=True)
class OfChannels:
    """The share is of the channels, and every layer keeps the same share."""


@dataclass(frozen=True, kw_only=True)
class Channels(Technique):
    """Take out the channels that matter least, a few at a time, with all that belongs to them.

    Saves: operations, milliseconds and bytes: layers have fewer channels.
    Costs: the time of `training`; score.
    Source: Li et al. 2017 (filters); Molchanov et al. 2019 (the default importance); Fang et al.
    2023 (what goes together).
    Differs: what goes together is found by trying; widths are rounded; recovery is taught by the
    model as it was.

    `share`: what is kept, above 0 and at most 1, of what `of` says: OfOperations() or OfChannels().
        Layers whose channels must stay count too; where the rest cannot go so far, it goes as far
        as it can.
    `importance`: what is compared: Taylor(), Norm(), Scale() or another callable (model, task,
        coupling) -> numbers.
    `multiple`: the channels of a layer that are left are a multiple of this, where more than that
        were there.
    `training`: in all; Training(0) trains nothing.
    `ramp`: the share of it over which channels go, and in how many rounds.
    `only`, `keep`: patterns of names of layers, those that lose channels and those that do not;
        empty `only` is all of them. Layers whose outputs are added lose the same channels: `keep`
        of one keeps them all. To compare layers one by one, ask for a share OfChannels(): one layer
        alone cannot save half of all operations. Heads of attentions are left alone. With a
        SkippedWarning: weights that are frozen, tied or parametrized by something else, layers
        whose channels are not kept apart, those without which the model does not run. Raises
        ValueError for settings out of range, names of no layer, and weights that are NaN or
        infinite.
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
        found = dependency_groups(model, task, self.only, self.keep, who="Channels")
        found = replace(found, groups=tuple(one for one in found.groups if not one.are_parts))
        full = found.products(parameters_of(model)), [len(group) for group in found.groups]

        def choose(thin: nn.Module, coupling: DependencyGroups, way: float) -> list[Tensor]:
            share = 1 - (1 - self.share) * way
            scores = self.importance(thin, task, coupling)
            if isinstance(self.of, OfOperations):
                return self._cheapest(thin, coupling, scores, share * full[0])
            goals = [
                self._rounded(group, share * count)
                for group, count in zip(coupling.groups, full[1], strict=True)
            ]
            return [
                score.argsort()[: max(0, len(score) - goal)]
                for score, goal in zip(scores, goals, strict=True)
            ]

        thin, left = thinned(
            model,
            task,
            found,
            choose,
            training=self.training,
            ramp=self.ramp,
            who="Channels",
            key=repr(self),
        )
        if found.groups and not self.only and not self.keep:
            self._say_how_far(full, thin, left)
        return thin

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may have: of layers whose outputs are added, the first."""
        return named(model, task, parts=False)

    def _say_how_far(
        self, full: tuple[float, list[int]], thin: nn.Module, left: DependencyGroups
    ) -> None:
        by_operations = isinstance(self.of, OfOperations)
        reached = (
            left.products(parameters_of(thin)) / max(full[0], 1)
            if by_operations
            else sum(map(len, left.groups)) / sum(full[1])
        )
        why = "the other layers must stay as they are"
        if any(len(group) <= self._multiple(group) for group in left.groups):
            why = (
                f"channels go in multiples of {self.multiple}, and some layers have no more "
                "than that (multiple=1 goes further)"
            )
        say_how_far(
            "Channels", self.share, reached, "operations" if by_operations else "channels", why
        )

    def _multiple(self, group: Group) -> int:
        """How many units make channels of the multiple that is asked for."""
        each = min(
            slices.shape[1] for place, slices in group.slices.items() if place not in group.reads
        )
        return self.multiple // gcd(self.multiple, each)

    def _rounded(self, group: Group, units: float) -> int:
        """That many units, up to the next multiple."""
        multiple = self._multiple(group)
        return min(len(group), max(1, -int(-units // multiple)) * multiple)

    def _cheapest(
        self, model: nn.Module, coupling: DependencyGroups, scores: list[Tensor], goal: float
    ) -> list[Tensor]:
        """The units that go so that no more than `goal` products are left.

        Those next whose importance per product is least.
        """
        order = [score.argsort() for score in scores]
        counts = [0] * len(order)
        shapes = [
            one.raw.shape for one in parameters_of(model)
        ]  # once: walking through a large model takes long
        products = coupling.products_of(shapes, counts)
        while products > goal:
            best: tuple[float, int, int, float] | None = None
            for place, group in enumerate(coupling.groups):
                left = len(group) - counts[place]
                fewer = (left - 1) // self._multiple(group) * self._multiple(group)
                if not fewer:
                    continue
                more = counts[place] + left - fewer
                after = coupling.products_of(shapes, [*counts[:place], more, *counts[place + 1 :]])
                price = float(scores[place][order[place][counts[place] : more]].sum()) / max(
                    products - after, 1e-9
                )
                if best is None or price < best[0]:
                    best = price, place, more, after
            if best is None:
                break
            _, place, count, products = best
            counts[place] = count
        return [
            torch.sort(units[:count]).values for units, count in zip(order, counts, strict=True)
        ]
