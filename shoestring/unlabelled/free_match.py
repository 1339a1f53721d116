"""FreeMatch: FixMatch whose thresholds follow how sure the network is of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique
from shoestring.kit import AdamW, Training
from shoestring.unlabelled.augmentations import Augmentation, Augmentations
from shoestring.unlabelled.checks import check_count, check_share, check_weight
from shoestring.unlabelled.consistency import Pair, learn_alongside, own_network, where_sure
from shoestring.unlabelled.guard import Tried, guarded
from shoestring.unlabelled.material import Material


@dataclass(frozen=True, kw_only=True)
class FreeMatch(Technique):
    """FixMatch with a threshold that adapts: low while the network is unsure, and by class.

    The threshold of a class is the average probability of the network's answers, times how often
    it gives that class relative to the most frequent one. So it learns from the unlabelled examples
    from the first steps on, and classes that are behind are not left out. What is returned is the
    average of the weights, unless the guard refuses it, as `MeanTeacher` says.

    Saves: labels, where changes of the inputs keep their classes.
    Costs: four passes more in each step; and a training on the labels alone, for the guard.
    Source: Wang et al. 2023, section 3.1 (the self-adaptive threshold).
    Differs: without the fairness penalty of section 3.2. A batch norm sees three batches in each
    step, and the labels alone are compared without an average, as `FixMatch` says.

    `training`: of both networks.
    `memory`: the share of the averages of the thresholds that stays in each step, 0 to 1.
    `weight`: of the unlabelled examples in the loss, 0 or more.
    `decay`: the share of the average of the weights that stays in each step, 0 to 1.
    `size`: unlabelled examples of a batch, 1 or more.
    `weak`, `strong`: changes of inputs; None: by their kind (`augmentations`).

    Raises TypeError and ValueError as `material` does, and ValueError for settings out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))
    memory: float = 0.99
    weight: float = 1.0
    decay: float = 0.99
    size: int = 128
    weak: Augmentation | None = None
    strong: Augmentation | None = None

    def __post_init__(self) -> None:
        check_share("the memory of the thresholds", self.memory)
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
            _SureEnough(given.augmentations, self.memory),
            what="training by FreeMatch",
            weight=self.weight,
            size=self.size,
            decay=self.decay,
            memory=Confidence(given.classes),
            key=repr(self),
        )
        return own_network(pair.average, model)


class Confidence(nn.Module):
    """How sure a network is, as moving averages: overall, and of each class.

    `overall`: the average of the highest probability. `shares`: that of the probabilities, C.
    """

    overall: Tensor
    shares: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("overall", torch.tensor(1 / classes))
        self.register_buffer("shares", torch.full((classes,), 1 / classes))

    @torch.no_grad()
    def follow(self, belief_NC: Tensor, memory: float) -> Tensor:
        """Move the averages by a batch, and return the threshold of each class, C."""
        self.overall.lerp_(belief_NC.max(1).values.mean().to(self.overall), 1 - memory)
        self.shares.lerp_(belief_NC.mean(0).to(self.shares), 1 - memory)
        return self.overall * self.shares / self.shares.max()


@dataclass(frozen=True)
class _SureEnough:
    """The cross-entropy of strong changes with the classes above their thresholds."""

    changes: Augmentations
    memory: float

    def __call__(self, pair: Pair, inputs: tuple[Tensor, ...], share: float) -> Tensor:
        memory = pair.memory
        assert isinstance(memory, Confidence)
        return where_sure(
            pair.network,
            inputs,
            self.changes,
            lambda belief, label: memory.follow(belief, self.memory)[label],
        )
