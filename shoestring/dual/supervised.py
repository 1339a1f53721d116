"""Dual supervised learning: both directions must agree on how likely a pair is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique, View
from shoestring.dual.lessons import checked_reward
from shoestring.dual.task import dual_of
from shoestring.kit import AdamW, Training, clone, train


@dataclass(frozen=True, kw_only=True)
class DualSupervised(Technique):
    """Train both directions on pairs, with a term for their joint probability.

    A pair is as likely read one way as the other: log p(x) + log p(y|x) = log p(y) + log p(x|y).
    The square of the difference is added to the loss. It needs no unpaired examples, but the
    marginals of both sides. Give it a model that was trained on the pairs: where the directions
    know little, the difference is large, and the cheapest way to close it is a wrong p(y|x).

    Saves: nothing that is measured here yet; the paper reports points, from the same pairs.
    Costs: the marginals, and about a third more time a step than training without the term.
    Source: Xia et al. 2017, "Dual supervised learning", equation 5.
    Differs: the difference is divided by the number of items of the pair (pieces, pixels, labels),
    so that one weight fits short and long sentences; both directions are trained by one optimizer.

    `weight`: of the squared difference in nats an item, 0 or more; 0 trains without the term.
    `training`: of both directions.

    Raises TypeError for a task of one direction, ValueError for a weight below 0, a side without a
    marginal, and a marginal that is not a number.
    """

    stage: ClassVar = Stage.LABELS

    weight: float = 1.0
    training: Training = Training(2000, AdamW(1e-3))

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"the weight is {self.weight}: it must be 0 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model, trained on the pairs."""
        dual = dual_of(task)
        for side in ("source", "target"):
            if getattr(dual.marginals, side) is None:
                raise ValueError(
                    f"the {side} side has no marginal: give one, marginals=Marginals({side}=...), "
                    "such as LanguageModel(module, alphabet) or Frequencies(counts)"
                )
        lesson = _JointProbability(task, self.weight)
        return train(clone(model), lesson, self.training, what="dual supervised", key=repr(self))


def joint_gap(dual: Any, model: Any, source: Tensor, target: Tensor) -> Tensor:
    """log p(x) + log p(y|x) - log p(y) - log p(x|y) of each pair, N, in nats an item.

    Gradients flow into the two conditional terms. Raises ValueError where a marginal is not finite.
    """
    with torch.no_grad():
        of_source = checked_reward(dual.marginals.source(source), "the marginal of sources")
        of_target = checked_reward(dual.marginals.target(target), "the marginal of targets")
    there = dual.forward.log_likelihood(dual.forward.of(model), source, target)
    back = dual.backward.log_likelihood(dual.backward.of(model), target, source)
    items = dual.forward.items(target) + dual.backward.items(source)
    return (of_source + there - of_target - back) / items


@dataclass(frozen=True, eq=False)
class _JointProbability(View):
    """The task's loss and the squared gap."""

    task: Task
    weight: float

    def loss(self, model: Any, batch: Any) -> Any:
        loss = self.task.loss(model, batch)
        if not self.weight:
            return loss
        return loss + self.weight * joint_gap(self.task, model, *batch).square().mean()
