"""Adversarial training of both directions: a discriminator rewards pairs that seem real."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Stage, Task, Technique, View
from shoestring.core.task import asked
from shoestring.dual.directions import Direction
from shoestring.dual.judges import Judge
from shoestring.dual.lessons import Drawn, checked_reward, gained
from shoestring.dual.task import dual_of
from shoestring.kit import AdamW, SkippedWarning, Training, clone, train

_LAST = 20  # steps over which the discriminator is watched
_WINS = 0.99


@dataclass(frozen=True, kw_only=True)
class Adversarial(Technique):
    """Reward each direction for examples that a discriminator takes for real.

    The discriminator sees a source and a target, and learns to tell real pairs from those of which
    a direction made one side. Each direction follows the policy gradient of the probability that
    its pair is real. It needs no unpaired examples. It goes on from a model that was trained on
    the pairs, and keeps learning from them.

    Saves: nothing that is measured here yet; the paper reports points, from the same pairs.
    Costs: about four times the time of a step on the pairs, and the discriminator in training.
    Source: Wu et al. 2017, "Adversarial neural machine translation", section 3.
    Differs: the reward is D, the probability that a pair is real, and not -log(1 - D); one
    discriminator for both directions, trained by the same optimizer; the baseline of a reward is
    the mean of the batch's other rewards.

    `judge`: the kind of discriminator, such as SequenceJudge(ids=8000).
    `policy`: of the policy gradient beside the loss on the pairs, above 0.
    `training`: of both directions and the discriminator.

    A sample that is empty, or was cut off before its end, has the lowest reward, 0.
    Where the discriminator is right about nearly all pairs at the end, its rewards said nothing,
    and a SkippedWarning says so. Raises TypeError for a task of one direction, ValueError for a
    policy out of range, and RewardError for a reward that is no number.
    """

    stage: ClassVar = Stage.LABELS

    judge: Judge
    policy: float = 0.1
    training: Training = Training(2000, AdamW(5e-4))

    def __post_init__(self) -> None:
        if not self.policy > 0:
            raise ValueError(f"the policy's weight is {self.policy}: it must be above 0")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model, trained on the pairs and against the discriminator."""
        dual_of(task)
        both = _WithJudge(clone(model), self.judge.made())
        lesson = _Contest(task, self.policy)
        train(both, lesson, self.training, what="adversarial", key=repr(self))
        if len(lesson.right) == _LAST and sum(lesson.right) / _LAST >= _WINS:
            warnings.warn(
                f"the discriminator tells {100 * sum(lesson.right) / _LAST:.0f} % of the pairs "
                "right, so that its rewards teach little: train longer on the pairs first, or use "
                "a smaller discriminator or a lower learning rate",
                SkippedWarning,
                stacklevel=2,
            )
        return both.model.train(model.training)


class _WithJudge(nn.Module):
    """The model and the discriminator, so that one training and its snapshots have both."""

    def __init__(self, model: nn.Module, judge: nn.Module) -> None:
        super().__init__()
        self.model, self.judge = model, judge


@dataclass(frozen=True, eq=False)
class _Contest(View):
    task: Task
    policy: float
    right: deque[float] = field(default_factory=lambda: deque(maxlen=_LAST))
    """The discriminator's shares of right answers in the last steps."""

    def batches(self, split: str, *, model: Any = None) -> Iterable[Any]:
        return asked(self.task, split, model.model if isinstance(model, _WithJudge) else model)

    def loss(self, model: Any, batch: Any) -> Any:
        dual: Any = self.task
        source, target = batch
        loss = self.task.loss(model.model, batch)
        forward, backward = dual.forward, dual.backward
        target_made = Drawn(1).write(forward, forward.of(model.model), source)
        source_made = Drawn(1).write(backward, backward.of(model.model), target)
        real = model.judge(source, target)
        made = [model.judge(source, target_made), model.judge(source_made, target)]
        loss = loss + _judged(real, *made)
        shares = [(real > 0).float().mean(), *((one < 0).float().mean() for one in made)]
        self.right.append(float(shares[0] / 2 + (shares[1] + shares[2]) / 4))
        gains = self._gain(model.model, forward, (source, target), target_made, made[0])
        gains = gains + self._gain(model.model, backward, (target, source), source_made, made[1])
        return loss - self.policy * gains

    def _gain(
        self,
        model: Any,
        direction: Direction,
        real: tuple[Tensor, Tensor],
        made: Tensor,
        logits: Tensor,
    ) -> Tensor:
        """What the direction gains by its samples, made of the first of the real examples."""
        given, like = real
        reward = checked_reward(logits.sigmoid(), "the discriminator's reward")
        reward = reward * ~direction.is_empty(made)
        others = (reward.sum() - reward) / max(1, len(reward) - 1)
        return gained(direction, direction.of(model), given, made, reward - others, like=like)


def _judged(real: Tensor, *made: Tensor) -> Tensor:
    """The discriminator's cross-entropy; real and made pairs count alike."""
    of_made = sum(
        (functional.binary_cross_entropy_with_logits(one, torch.zeros_like(one)) for one in made),
        torch.zeros(()),
    )
    return functional.binary_cross_entropy_with_logits(real, torch.ones_like(real)) + of_made / len(
        made
    )
