"""Remove attention heads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Strength, Task, Technique
from shoestring.kit import AdamW, Patterns, Ramp, Training, check_finite
from shoestring.kit.surgery.groups import DependencyGroups, dependency_groups
from shoestring.kit.weights.layers import say_how_far
from shoestring.prune.importance import Importance, Taylor
from shoestring.prune.thinning import named, thinned


@dataclass(frozen=True, kw_only=True)
class Heads(Technique):
    """Remove the least important attention heads: their queries, keys, values and what reads them.

    Saves: operations, milliseconds and bytes: projections are narrower, and fewer heads attend.
    Costs: the time of `training`; score, little for the first half of the heads.
    Source: Michel, Levy & Neubig 2019, section 4.
    Differs: heads are found by trying, whatever the class of the attention; importance is squared.

    `share`: the share of the model's heads that is kept, above 0 and at most 1; every attention
        keeps at least one.
    `importance`: how heads are compared: Taylor(), Norm() or another callable (model, task,
        dependencies) -> a vector for each group.
    `training`: steps of all rounds together; Training(0) trains nothing.
    `ramp`: the share of the training over which heads are removed, and in how many rounds.
    `only`, `keep`: patterns of names of layers (the projection of the queries, say) whose heads may
        go, and of those whose heads must stay.

    A head is a set of channels of several layers that a softmax mixes with each other, and that
    nothing else mixes with other channels. Attentions that are a single operation to torch, such as
    nn.MultiheadAttention's, have no such heads and are skipped with a SkippedWarning. Raises
    ValueError for settings out of range, patterns that match no layer, and weights that are NaN or
    infinite.
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
        dependencies = dependency_groups(model, task, self.only, self.keep, who="Heads")
        dependencies = replace(
            dependencies, groups=tuple(group for group in dependencies.groups if group.are_parts)
        )
        heads = sum(map(len, dependencies.groups))

        def choose(pruned: nn.Module, current: DependencyGroups, progress: float) -> list[Tensor]:
            goal = round(heads * (1 - (1 - self.share) * progress))
            return _least(
                self.importance(pruned, task, current), sum(map(len, current.groups)) - goal
            )

        pruned, left = thinned(
            model,
            task,
            dependencies,
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
        return pruned

    def layers(self, model: nn.Module, task: Task) -> list[str]:
        """Names that `only` and `keep` may match.

        Of each attention, the name of the layer that is called first.
        """
        return named(model, task, parts=True)


def _least(scores: list[Tensor], count: int) -> list[Tensor]:
    """The `count` units of least score over all groups; each group keeps at least its best unit."""
    candidates = sorted(
        (float(score[unit]), index, unit)
        for index, score in enumerate(scores)
        for unit in score.argsort()[:-1].tolist()
    )
    gone: list[list[int]] = [[] for _ in scores]
    for _, index, unit in candidates[: max(count, 0)]:
        gone[index].append(unit)
    return [torch.tensor(sorted(units), dtype=torch.long) for units in gone]
