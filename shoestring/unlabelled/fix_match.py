"""FixMatch: what a network is sure of on a weak change is the label of a strong one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique
from shoestring.kit import AdamW, Training
from shoestring.unlabelled.augmentations import Augmentation, Augmentations
from shoestring.unlabelled.checks import check_count, check_share, check_weight
from shoestring.unlabelled.consistency import Pair, learn_alongside, own_network, where_sure
from shoestring.unlabelled.guard import Tried, guarded
from shoestring.unlabelled.material import Material


@dataclass(frozen=True, kw_only=True)
class FixMatch(Technique):
    """Label unlabelled examples by what the network is sure of, and learn that on strong changes.

    In each step the network answers weak changes of a batch; where its probability is high enough,
    its class is the label of a strong change of the same example. What is returned is the average
    of the weights, unless the guard refuses it, as `MeanTeacher` says.

    Saves: labels, where changes of the inputs keep their classes.
    Costs: four passes more in each step; and a training on the labels alone, for the guard.
    Source: Sohn et al. 2020, algorithm 1.
    Differs: the optimiser is the training's, and the batches of labels are the task's. Labelled
    inputs, weak and strong changes pass the network one after the other, so that a batch norm sees
    three batches, where the authors' code joins them in one (from memory). The labels alone are
    compared without an average of their weights.

    `training`: of both networks.
    `confidence`: the least probability of a class that is taken for a label, 0 to 1.
    `weight`: of the unlabelled examples in the loss, 0 or more.
    `decay`: the share of the average that stays in each step, 0 to 1.
    `size`: unlabelled examples of a batch, 1 or more.
    `weak`, `strong`: changes of inputs; None: by their kind (`augmentations`).

    Raises TypeError and ValueError as `material` does, and ValueError for settings out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))
    confidence: float = 0.95
    weight: float = 1.0
    decay: float = 0.99
    size: int = 128
    weak: Augmentation | None = None
    strong: Augmentation | None = None

    def __post_init__(self) -> None:
        check_share("the confidence", self.confidence)
        check_weight(self.weight)
        check_share("the decay of the average", self.decay)
        check_count("the unlabelled examples of a batch", self.size)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The averaged network, or the one that learnt from labels alone."""
        return self.tried(model, task).network

    def tried(self, model: nn.Module, task: Task) -> Tried:
        """Both networks, their scores and which one is used."""
        return guarded(self, model, task)

    def learnt(self, model: nn.Module, given: Material, labels_only: nn.Module) -> nn.Module:
        """The averaged network, before the guard looks at it (`guard.Learner`)."""
        pair = learn_alongside(
            model,
            given,
            self.training,
            _Sure(given.augmentations, self.confidence),
            what="training by FixMatch",
            weight=self.weight,
            size=self.size,
            decay=self.decay,
            key=repr(self),
        )
        return own_network(pair.average, model)


@dataclass(frozen=True)
class _Sure:
    """The cross-entropy of strong changes with the classes that the network is sure of."""

    changes: Augmentations
    confidence: float

    def __call__(self, pair: Pair, inputs: tuple[Tensor, ...], share: float) -> Tensor:
        return where_sure(pair.network, inputs, self.changes, lambda _, __: self.confidence)
