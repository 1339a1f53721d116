"""Mean teacher: a network agrees with the average of its own weights on unlabelled examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique
from shoestring.kit import AdamW, Training
from shoestring.kit.training.splits import changed
from shoestring.unlabelled.augmentations import Augmentation, Augmentations
from shoestring.unlabelled.checks import check_count, check_share, check_weight
from shoestring.unlabelled.consistency import Pair, learn_alongside, own_network, risen
from shoestring.unlabelled.guard import Tried, guarded
from shoestring.unlabelled.material import Material


@dataclass(frozen=True, kw_only=True)
class MeanTeacher(Technique):
    """Train a network to answer as the average of its weights does, on inputs that were changed.

    Each step has a batch of labels and a batch of all examples. Of the latter the network sees one
    change and its average, the teacher, another; the squared difference of their probabilities
    joins the loss. The teacher is what is returned, unless the guard refuses it: where it does not
    score higher on the validation split than a network that was trained alike on the labels alone,
    that one is returned, with a RefusedWarning.

    Saves: labels, where changes of the inputs keep their classes.
    Costs: four passes more in each step; and a training on the labels alone, for the guard.
    Source: Tarvainen & Valpola 2017, section 3.
    Differs: the teacher is in evaluation mode, and the network sees the strong change. The labels
    alone are compared without an average of their weights.

    `training`: of both networks.
    `weight`: of the unlabelled examples in the loss, 0 or more, reached after a rise.
    `rise`: the share of the training over which it rises, 0 to 1.
    `decay`: the share of the average that stays in each step, 0 to 1.
    `size`: unlabelled examples of a batch, 1 or more.
    `weak`, `strong`: changes of inputs; None: by their kind (`augmentations`).

    Raises TypeError and ValueError as `material` does, and ValueError for settings out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))
    weight: float = 10.0
    rise: float = 0.3
    decay: float = 0.99
    size: int = 128
    weak: Augmentation | None = None
    strong: Augmentation | None = None

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_share("the rise", self.rise)
        check_share("the decay of the average", self.decay)
        check_count("the unlabelled examples of a batch", self.size)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The teacher, or the network that learnt from labels alone."""
        return self.tried(model, task).network

    def tried(self, model: nn.Module, task: Task) -> Tried:
        """Both networks, their scores and which one is used."""
        return guarded(self, model, task)

    def learnt(self, model: nn.Module, given: Material, labels_only: nn.Module) -> nn.Module:
        """The teacher, before the guard looks at it (`guard.Learner`)."""
        term = _Agreeing(given.augmentations, self.rise)
        pair = learn_alongside(
            model,
            given,
            self.training,
            term,
            what="training with a mean teacher",
            weight=self.weight,
            size=self.size,
            decay=self.decay,
            key=repr(self),
        )
        return own_network(pair.average, model)


@dataclass(frozen=True)
class _Agreeing:
    """The squared difference of the network's probabilities from its average's."""

    changes: Augmentations
    rise: float

    def __call__(self, pair: Pair, inputs: tuple[Tensor, ...], share: float) -> Tensor:
        with torch.no_grad():
            wanted = pair.average(*changed(inputs, self.changes.weak)).softmax(1)
        own = pair.network(*changed(inputs, self.changes.strong)).softmax(1)
        return risen(share, self.rise) * (own - wanted).square().sum(1).mean()
