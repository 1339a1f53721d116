"""Heads of attentions taken out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import AdamW, Patterns, Ramp, Training, check_finite
from shoestring.kit.surgery.finding import dependency_groups
from shoestring.kit.surgery.groups import DependencyGroups
from shoestring.kit.weights.layers import say_how_far
from shoestring.prune.importance import Importance, Taylor
from shoestring.prune.thinning import named, thinned


@dataclass(frozen=True, kw_only=True)
class Heads(Technique):
    """Take out the heads of attentions that matter least.

    Their queries, keys, values and what reads them.
    Saves: operations, milliseconds and bytes: projections are narrower, and there are fewer
    attentions.
    Costs: the time of `training`; score, little for the first half of the heads.
    Source: Michel, Levy & Neubig 2019, section 4.
    Differs: heads are found by trying, whatever the class of the attention; importance is squared.

    `share`: of the heads of the model that are kept, above 0 and at most 1; every attention keeps
        one at least.
    `importance`: what is compared: Taylor(), Norm() or another callable (model, task, coupling) ->
        numbers.
    `training`: in all; Training(0) trains nothing.
    `ramp`: the share of it over which heads go, and in how many rounds.
    `only`, `keep`: patterns of names of layers (of a query's projection, say), whose heads may go
        and must stay. What is a head: channels of several layers that a softmax mixes, and that
        nothing else mixes with others. Attentions that are one step to torch, as
        nn.MultiheadAttention's, have none, and are skipped with a SkippedWarning. Raises ValueError
        for settings out of range, names of no layer, and weights that are NaN or infinite.
    """

    stage: ClassVar = Stage.STRUCTURE
    strength: ClassVar = Strength(field="share", gentle=0.9, harsh=0.25)

    share: float = 0.5
    importance: Importance = Taylor()
    training: Training = Training(1000, AdamW(5e-4))
    ramp: Ramp = Ramp(0.3, rounds=3)
    only: Patterns = ()
    keep: Patterns = ()

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"the share is {self.share}: it must be above 0 and at most 1")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model with fewer heads."""
        check_finite(model)
        found = dependency_groups(model, task, self.only, self.keep, who="Heads")
        found = replace(found, groups=tuple(one for one in found.groups if one.are_parts))
        heads = sum(map(len, found.groups))

        def choose(thin: nn.Module, coupling: DependencyGroups, way: float) -> list[Tensor]:
            goal = round(heads * (1 - (1 - self.share) * way))
            return _least(
                self.importance(thin, task, coupling), sum(map(len, coupling.groups)) - goal
            )

        thin, left = thinned(
            model,
            task,
            found,
            choose,
            training=self.training,
            ramp=self.ramp,
            who="Heads",
            key=repr(self),
        )
        if heads and not self.only and not self.keep:
            why = "every attention keeps one head at least"
            say_how_far(
                "Heads", self.share, sum(map(len, left.groups)) / heads, "heads", why, heads
            )
        return thin

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may have: of each attention the layer that is called first."""
        return named(model, task, parts=True)


def _least(scores: list[Tensor], count: int) -> list[Tensor]:
    """The `count` units of least score over all families, of each all but the best at most."""
    candidates = sorted(
        (float(score[unit]), place, unit)
        for place, score in enumerate(scores)
        for unit in score.argsort()[:-1].tolist()
    )
    gone: list[list[int]] = [[] for _ in scores]
    for _, place, unit in candidates[: max(count, 0)]:
        gone[place].append(unit)
    return [torch.tensor(sorted(units), dtype=torch.long) for units in gone]
