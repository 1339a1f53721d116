"""Back-translation: each direction learns from what the other makes of unpaired examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique, View
from shoestring.dual.lessons import Best, Drawn, check_unpaired, pairs_loss, sides, with_unpaired
from shoestring.dual.task import dual_of
from shoestring.kit import AdamW, Training, clone, train


@dataclass(frozen=True, kw_only=True)
class BackTranslation(Technique):
    """Translate unpaired examples, and train the way back on them: the baseline of dual learning.

    Of an unpaired target y, the backward direction makes a source, and the forward direction learns
    to give y for it; and the other way round. What is learnt is always real, what it is learnt
    from is made. It goes on from a model that was trained on the pairs.

    Saves: labels, where both directions have learnt something from the pairs.
    Costs: about three times the time of a step on the pairs.
    Source: Sennrich, Haddow & Birch 2016, "Improving neural machine translation models with
    monolingual data", section 3.
    Differs: examples are translated anew whenever they are met, by the models as they are then
    (Hoang et al. 2018, "Iterative back-translation"), in both directions.

    `writing`: how the other direction writes, Drawn(count) or Best(count).
    `weight`: of the unpaired examples beside the pairs, above 0.
    `training`: steps with a batch of pairs, one of sources and one of targets each.

    A made example that is empty teaches nothing and is left out. Raises TypeError for a task of one
    direction, and ValueError for one without unpaired examples on either side and for a weight out
    of range.
    """

    stage: ClassVar = Stage.LABELS

    writing: Drawn | Best = Drawn(1)
    weight: float = 1.0
    training: Training = Training(2000, AdamW(5e-4))

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"the weight is {self.weight}: it must be above 0")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model, trained on pairs and on unpaired examples."""
        check_unpaired(dual_of(task), "sources", "targets")
        lesson = _Back(task, self.writing, self.weight)
        return train(clone(model), lesson, self.training, what="back-translation", key=repr(self))


@dataclass(frozen=True, eq=False)
class _Back(View):
    task: Task
    writing: Drawn | Best
    weight: float

    def batches(self, split: str, *, model: Any = None) -> Iterator[Any]:
        return with_unpaired(self.task, split, model)

    def loss(self, model: Any, batch: Any) -> Any:
        pairs, *unpaired = batch
        loss = pairs_loss(self.task, model, pairs, 1.0)
        for (there, back, _), alone in zip(sides(self.task), unpaired, strict=True):
            loss = loss + self.weight * self._learnt(model, there, back, alone)
        return loss

    def _learnt(self, model: Any, there: Any, back: Any, alone: Tensor) -> Any:
        """The loss of the way back, on what the way there makes of unpaired examples."""
        part = back.of(model)
        made = self.writing.write(there, there.of(model), alone)
        wanted = alone.repeat_interleave(self.writing.count, 0)
        says = ~there.is_empty(made)
        if not bool(says.any()):
            return 0.0
        return back.loss(part, made[says], wanted[says])
