"""Pseudo-labels: what a network is sure of becomes a label, and the next one learns from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from shoestring.core import Stage, Task, Technique
from shoestring.kit import AdamW, Training, clone, train
from shoestring.unlabelled.augmentations import Augmentation
from shoestring.unlabelled.checks import check_count, check_share, check_weight
from shoestring.unlabelled.consistency import Weakly
from shoestring.unlabelled.guard import Tried, guarded
from shoestring.unlabelled.material import Material


@dataclass(frozen=True, kw_only=True)
class PseudoLabel(Technique):
    """Label what a network is sure of, and train the next one on that too, in rounds.

    Each network starts from the initial weights. The first round has the answers of the network
    that learnt from the labels alone. What is returned is the network of the last round, unless the
    guard refuses it, as `MeanTeacher` says.

    Saves: nothing that the label curve on digits proves; `docs/unlabelled.md` has more figures.
    Costs: a training for each round; and one on the labels alone, which is the guard's too.
    Source: Lee 2013; Yarowsky 1995 (rounds, and a threshold).
    Differs: labels are given between trainings and not in each step; their weight does not rise.

    `training`: of each network.
    `rounds`: 1 or more; fewer where no answer is sure.
    `confidence`: the least probability of a class that is taken for a label, 0 to 1.
    `weight`: of such a label in the loss, 0 or more; true labels have 1.
    `weak`: the change of the training inputs, labelled or not, and `strong` is not used; None: by
        their kind (`augmentations`).

    Raises TypeError and ValueError as `material` does, and ValueError for settings out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))
    rounds: int = 3
    confidence: float = 0.95
    weight: float = 1.0
    weak: Augmentation | None = None
    strong: Augmentation | None = None

    def __post_init__(self) -> None:
        check_count("the number of rounds", self.rounds)
        check_share("the confidence", self.confidence)
        check_weight(self.weight)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The network of the last round, or the one that learnt from labels alone."""
        return self.tried(model, task).network

    def tried(self, model: nn.Module, task: Task) -> Tried:
        """Both networks, their scores and which one is used."""
        return guarded(self, model, task)

    def learnt(self, model: nn.Module, given: Material, labels_only: nn.Module) -> nn.Module:
        """The network of the last round, before the guard looks at it (`guard.Learner`)."""
        network = labels_only
        for number in range(self.rounds):
            task = self._labelled(network, given)
            if task is None:
                break
            what = f"round {number + 1} of {self.rounds} of pseudo-labels"
            network = train(clone(model), task, self.training, what=what, key=repr(self))
        return clone(network) if network is labels_only else network

    def _labelled(self, network: nn.Module, given: Material) -> Task | None:
        """The task with the answers that the network is sure of as labels; None without any."""
        task, known = given.task, given.task.known()
        belief = task.outputs(network, task.inputs(given.pool)).float().softmax(1)
        sure, label = belief.max(1)
        kept = (sure >= self.confidence).nonzero().flatten()
        if not len(kept):
            return None
        true = torch.as_tensor(task.labels(known))
        with_answers = task.with_labels(
            torch.cat([true, label[kept].to(true.dtype)]),
            torch.cat([torch.ones(len(true)), torch.full((len(kept),), float(self.weight))]),
            np.concatenate([known, given.pool[kept.numpy()]]),
        )
        return Weakly(with_answers, given.augmentations.weak)
