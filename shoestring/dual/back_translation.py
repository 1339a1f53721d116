"""Back-translation: each direction learns from what the other makes of unpaired examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from shoestring.artifact.progress import progress
from shoestring.core import Stage, Task, Technique, View
from shoestring.dual.directions import Direction
from shoestring.dual.lessons import Best, Drawn, check_unpaired, pairs_loss, sides, with_unpaired
from shoestring.dual.task import dual_of
from shoestring.kit import AdamW, Training, clone, train
from shoestring.kit.training.steps import in_precision


@dataclass(frozen=True)
class EachStep:
    """Examples are translated whenever they are met, by the models as they are then.

    Source: Hoang et al. 2018, "Iterative back-translation for neural machine translation", where
    the rounds are so short that they are steps.
    """


@dataclass(frozen=True)
class Rounds:
    """All unpaired examples are translated before each round of training, and kept for the round.

    Writing costs more than learning where examples are sequences, and each is written only `count`
    times, however often it is met. The steps of the training are shared out among the rounds, and
    each round has a schedule of its own.

    Source: Sennrich et al. 2016, section 3.1, which is one round; Hoang et al. 2018 have more.

    `count`: of the rounds, 1 or more.
    Raises ValueError for fewer.
    """

    count: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"{self.count!r} rounds: give an integer, 1 or more")


@dataclass(frozen=True, kw_only=True)
class BackTranslation(Technique):
    """Translate unpaired examples, and train the way back on them: the baseline of dual learning.

    Of an unpaired target y, the backward direction makes a source, and the forward direction learns
    to give y for it; and the other way round. What is learnt is always real, what it is learnt
    from is made. It goes on from a model that was trained on the pairs.

    Saves: labels, where both directions have learnt something from the pairs.
    Costs: about three times the time of a step on the pairs, and the writing.
    Source: Sennrich, Haddow & Birch 2016, "Improving neural machine translation models with
    monolingual data", section 3.
    Differs: both directions learn at once; by default examples are drawn, and anew at each step.
    `writing=Best(1), renewal=Rounds(1)` is next to the paper's, which has a beam in place of the
    likeliest id at each place.

    `writing`: how the other direction writes, Drawn(count) or Best(count).
    `renewal`: when examples are translated, EachStep() or Rounds(count).
    `weight`: of the unpaired examples beside the pairs, above 0.
    `training`: steps with a batch of pairs, one of sources and one of targets each.

    A made example that is empty, or was cut off before its end, teaches nothing and is left out.
    Raises TypeError for a task of one direction, and ValueError for one without unpaired examples
    on either side and for a weight out of range.
    """

    stage: ClassVar = Stage.LABELS

    writing: Drawn | Best = Drawn(1)
    renewal: EachStep | Rounds = EachStep()
    weight: float = 1.0
    training: Training = Training(2000, AdamW(5e-4))

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"the weight is {self.weight}: it must be above 0")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model, trained on pairs and on unpaired examples."""
        check_unpaired(dual_of(task), "sources", "targets")
        taught, what = clone(model), "back-translation"
        if isinstance(self.renewal, EachStep):
            lesson = _Anew(task, self.writing, self.weight)
            return train(taught, lesson, self.training, what=what, key=repr(self))
        training = self.training.scaled(1 / self.renewal.count)
        for number in range(self.renewal.count):
            made = [self._all_made(taught, one, what) for one in _trips(task)]
            lesson = _Kept(task, made[0], made[1], self.weight)
            train(taught, lesson, training, what=what, key=f"{self!r}, round {number}")
        return taught

    def _all_made(self, model: nn.Module, trip: _Trip, what: str) -> _Made:
        """All unpaired examples of a side with what is made of them, in the training's precision.

        A training that goes on where it was killed makes them again, from the same model.
        """
        alone = list(trip.pool)
        found = list[tuple[Tensor, Tensor]]()
        with (
            progress(f"{what}: writing", len(alone)) as advance,
            in_precision(model, self.training),
        ):
            for batch in alone:
                found.append(_made_of(model, trip.there, self.writing, batch))
                advance("")
        kept = [pair for pair in found if len(pair[0])]
        # Where nothing could be made, a batch without rows stands for it: it teaches nothing.
        return _Made(kept or found[:1])


@dataclass(frozen=True)
class _Trip:
    """What is translated, and by which direction."""

    there: Direction
    pool: Iterable[Tensor]


def _trips(task: Any) -> tuple[_Trip, _Trip]:
    return _Trip(task.forward, task.sources), _Trip(task.backward, task.targets)


def _made_of(
    model: Any, there: Direction, writing: Drawn | Best, alone: Tensor
) -> tuple[Tensor, Tensor]:
    """What is made of unpaired examples, and these; without those of which nothing was made."""
    made = writing.write(there, there.of(model), alone)
    says = ~there.is_empty(made)
    return made[says], alone.repeat_interleave(writing.count, 0)[says]


def _learnt(model: Any, back: Direction, made: Tensor, wanted: Tensor) -> Any:
    """The loss of the way back, on what the way there made of unpaired examples."""
    return back.loss(back.of(model), made, wanted) if len(made) else 0.0


@dataclass(frozen=True, eq=False)
class _Made:
    """Batches of made and unpaired examples; each iteration is a pass in an order drawn anew."""

    batches: Sequence[tuple[Tensor, Tensor]]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return (self.batches[index] for index in torch.randperm(len(self.batches)).tolist())


@dataclass(frozen=True, eq=False)
class _Kept(View):
    """Pairs, and what was made before the round began."""

    task: Task
    of_sources: _Made
    of_targets: _Made
    weight: float

    def batches(self, split: str, *, model: Any = None) -> Iterator[Any]:
        return with_unpaired(self.task, split, model, self.of_sources, self.of_targets)

    def loss(self, model: Any, batch: Any) -> Any:
        pairs, *unpaired = batch
        loss = pairs_loss(self.task, model, pairs, 1.0)
        for (_, back, _), (made, wanted) in zip(sides(self.task), unpaired, strict=True):
            loss = loss + self.weight * _learnt(model, back, made, wanted)
        return loss


@dataclass(frozen=True, eq=False)
class _Anew(View):
    """Pairs, and unpaired examples that are translated when they are met."""

    task: Task
    writing: Drawn | Best
    weight: float

    def batches(self, split: str, *, model: Any = None) -> Iterator[Any]:
        dual: Any = self.task
        return with_unpaired(self.task, split, model, dual.sources, dual.targets)

    def loss(self, model: Any, batch: Any) -> Any:
        pairs, *unpaired = batch
        loss = pairs_loss(self.task, model, pairs, 1.0)
        for (there, back, _), alone in zip(sides(self.task), unpaired, strict=True):
            made = _made_of(model, there, self.writing, alone)
            loss = loss + self.weight * _learnt(model, back, *made)
        return loss
