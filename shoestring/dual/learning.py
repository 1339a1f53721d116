"""Dual learning: both directions teach one another on unpaired examples by round trips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique, View
from shoestring.dual.directions import Direction
from shoestring.dual.lessons import (
    Best,
    Drawn,
    check_unpaired,
    checked_reward,
    gained,
    pairs_loss,
    sides,
    with_unpaired,
)
from shoestring.dual.task import dual_of
from shoestring.kit import AdamW, Training, clone, train


@dataclass(frozen=True, kw_only=True)
class DualLearning(Technique):
    """Reward a direction for examples that are fluent and that lead back to where they came from.

    Of an unpaired source x, the forward direction writes some targets y. The reward of y is its
    fluency, log p(y) by the marginal, and the reconstruction, log p(x|y) by the backward direction.
    The forward direction follows the policy gradient of the reward; the backward one learns to
    reconstruct x. Unpaired targets make the round trip the other way. It goes on from a model that
    was trained on the pairs, and keeps a share of pairs in each step.

    Saves: labels, where both directions have learnt something from the pairs.
    Costs: about five times the time of a step on the pairs, for two samples; a marginal of each
    side, where fluency counts.
    Source: He et al. 2016, "Dual learning for machine translation", algorithm 1.
    Differs: rewards are nats an item, as sentences differ in length; the baseline of a reward is
    the mean of the other samples of the same example, where the paper has none; fluency counts 0.1
    and not 0.01; the reconstruction counts whole and not 1 - fluency times, and the policy gradient
    a tenth as much, instead of rates of their own; one optimizer moves both directions.

    `writing`: Drawn(count), whose policy gradient is that of the expected reward (`docs/dual.md`
        has the exceptions), or Best(count), the paper's beam, which is biased towards what the
        model believes already. 2 or more samples.
    `fluency`: the share of the fluency in the reward, 0 to 1; 0 needs no marginals.
    `weight`: of the round trips beside the pairs, above 0.
    `policy`: of the policy gradient beside the reconstruction, 0 or more.
    `training`: steps with a batch of pairs, one of sources and one of targets each.

    A sample that is empty, or was cut off before its end, gets the lowest reward of its batch, and
    teaches the way back nothing. Raises TypeError for a task of one direction; ValueError for one
    without unpaired examples or, where fluency counts, without marginals, and for numbers out of
    range; RewardError for a reward that is no number.
    """

    stage: ClassVar = Stage.LABELS

    writing: Drawn | Best = Drawn(2)
    fluency: float = 0.1
    weight: float = 1.0
    policy: float = 0.1
    training: Training = Training(2000, AdamW(5e-4))

    def __post_init__(self) -> None:
        if not 0 <= self.fluency <= 1 or not self.weight > 0 or not self.policy >= 0:
            raise ValueError(
                f"fluency is {self.fluency}, weight {self.weight} and policy {self.policy}: they "
                "must be 0 to 1, above 0 and at least 0"
            )
        if self.writing.count < 2:
            raise ValueError(
                f"{self.writing!r} writes one sample, whose reward has no other to be compared "
                "with: write 2 or more"
            )

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model, trained on pairs and by round trips."""
        dual = dual_of(task)
        check_unpaired(dual, "sources", "targets")
        if self.fluency and None in (dual.marginals.source, dual.marginals.target):
            raise ValueError(
                "fluency counts and a side has no marginal: give marginals=Marginals(source=..., "
                "target=...), or set fluency=0"
            )
        lesson = _RoundTrips(task, self.writing, self.fluency, self.weight, self.policy)
        return train(clone(model), lesson, self.training, what="dual learning", key=repr(self))


@dataclass(frozen=True, kw_only=True)
class RoundTrip:
    """Where samples of unpaired examples led.

    `given`, `made`: the examples, each as often as there are samples, and the samples.
    `reward`: of each sample in nats an item, M.
    `advantage`: how much better than the other samples of the same example, M.
    `reconstruction`: the log-probability of the way back in nats an item, M, with gradients.
    `says`: which samples are not empty, M.
    """

    given: Tensor
    made: Tensor
    reward: Tensor
    advantage: Tensor
    reconstruction: Tensor
    says: Tensor


def round_trip(
    model: Any,
    there: Direction,
    back: Direction,
    marginal: Any,
    alone: Tensor,
    *,
    writing: Drawn | Best,
    fluency: float,
) -> RoundTrip:
    """Write samples of unpaired examples, and say how good they are.

    `marginal`: of what is written; None where `fluency` is 0.
    Raises RewardError for a reward that is no number.
    """
    made = writing.write(there, there.of(model), alone)
    given = alone.repeat_interleave(writing.count, 0)
    says = ~there.is_empty(made)
    reconstruction = back.log_likelihood(back.of(model), made, given) / back.items(given)
    reward = (1 - fluency) * checked_reward(reconstruction, "the reconstruction")
    if fluency:
        fluent = checked_reward(marginal(made), "the fluency") / there.items(made)
        reward = reward + fluency * fluent
    reward = torch.where(says, reward, reward.min())
    grouped = reward.view(-1, writing.count)
    others = (grouped.sum(1, keepdim=True) - grouped) / (writing.count - 1)
    return RoundTrip(
        given=given,
        made=made,
        reward=reward,
        advantage=(grouped - others).flatten(),
        reconstruction=reconstruction,
        says=says,
    )


@dataclass(frozen=True, eq=False)
class _RoundTrips(View):
    task: Task
    writing: Drawn | Best
    fluency: float
    weight: float
    policy: float

    def batches(self, split: str, *, model: Any = None) -> Iterator[Any]:
        dual: Any = self.task
        return with_unpaired(self.task, split, model, dual.sources, dual.targets)

    def loss(self, model: Any, batch: Any) -> Any:
        pairs, *unpaired = batch
        loss = pairs_loss(self.task, model, pairs, 1.0)
        written = reversed(pairs)  # the targets, and on the other way round trip the sources
        for (there, back, marginal), alone, like in zip(
            sides(self.task), unpaired, written, strict=True
        ):
            trip = round_trip(
                model,
                there,
                back,
                marginal,
                alone,
                writing=self.writing,
                fluency=self.fluency,
            )
            loss = loss + self.weight * self._learnt(model, there, trip, like)
        return loss

    def _learnt(self, model: Any, there: Direction, trip: RoundTrip, like: Tensor) -> Any:
        """Minus what both gain: the way there its reward, the way back its likelihood."""
        loss = -(trip.reconstruction * trip.says).sum() / trip.says.sum().clamp(min=1)
        if not self.policy:
            return loss
        gain = gained(there, there.of(model), trip.given, trip.made, trip.advantage, like=like)
        return loss - self.policy * gain
