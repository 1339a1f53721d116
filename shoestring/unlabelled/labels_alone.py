"""Labels alone: ordinary training, which the techniques of this room have to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from shoestring.core import Stage, Task, Technique
from shoestring.kit import AdamW, Training, clone, train


@dataclass(frozen=True, kw_only=True)
class LabelsAlone(Technique):
    """Train a network on the labels that there are, and look at nothing else: the baseline.

    Inputs are changed only as the task says (`augment`). A planner that tries techniques which
    learn from unlabelled examples tries this one beside them.

    Saves: nothing.
    Costs: nothing beyond its training.
    Source: Rumelhart, Hinton & Williams 1986.

    `training`: of the network.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    training: Training = Training(1000, AdamW(2e-3))

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model, trained on the labels."""
        return train(clone(model), task, self.training, what="training on labels alone")
