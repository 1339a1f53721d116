"""Π-model: a network agrees with itself on two changes of an unlabelled example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique
from shoestring.kit import AdamW, Training
from shoestring.kit.training.splits import changed
from shoestring.unlabelled.augmentations import Augmentation
from shoestring.unlabelled.checks import check_count, check_share, check_weight
from shoestring.unlabelled.consistency import Pair, learn_alongside, own_network, risen
from shoestring.unlabelled.guard import Tried, guarded
from shoestring.unlabelled.material import Material


@dataclass(frozen=True, kw_only=True)
class PiModel(Technique):
    """Train a network to answer alike on two changes of each unlabelled example.

    The squared difference of the probabilities of the two joins the loss. What is returned is the
    network as it is at the end, unless the guard refuses it, as `MeanTeacher` says.

    Saves: nothing that the label curve on digits proves; `docs/unlabelled.md` has more figures.
    Costs: four passes more in each step; and a training on the labels alone, for the guard.
    Source: Laine & Aila 2017, section 2.1.
    Differs: one of the two changes is the strong one.

    `training`: of both networks.
    `weight`: of the unlabelled examples in the loss, 0 or more, reached after a rise.
    `rise`: the share of the training over which it rises, 0 to 1.
    `size`: unlabelled examples of a batch, 1 or more.
    `weak`, `strong`: changes of inputs; None: by their kind (`augmentations`).

    Raises TypeError and ValueError as `material` does, and ValueError for settings out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))
    weight: float = 10.0
    rise: float = 0.3
    size: int = 128
    weak: Augmentation | None = None
    strong: Augmentation | None = None

    def __post_init__(self) -> None:
        check_weight(self.weight)
        check_share("the rise", self.rise)
        check_count("the unlabelled examples of a batch", self.size)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The network, or the one that learnt from labels alone."""
        return self.tried(model, task).network

    def tried(self, model: nn.Module, task: Task) -> Tried:
        """Both networks, their scores and which one is used."""
        return guarded(self, model, task)

    def learnt(self, model: nn.Module, given: Material, labels_only: nn.Module) -> nn.Module:
        """The network, before the guard looks at it (`guard.Learner`)."""
        changes = given.augmentations

        def apart(pair: Pair, inputs: tuple[Tensor, ...], share: float) -> Tensor:
            first, second = (
                pair.network(*changed(inputs, one)).softmax(1)
                for one in (changes.weak, changes.strong)
            )
            return risen(share, self.rise) * (first - second).square().sum(1).mean()

        pair = learn_alongside(
            model,
            given,
            self.training,
            apart,
            what="training of a Π-model",
            weight=self.weight,
            size=self.size,
            decay=0.0,
            key=repr(self),
        )
        return own_network(pair.network, model)
