"""Random: the labels of examples drawn at random, which every other choice must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique
from shoestring.core.labels import LabelTask
from shoestring.kit import Training
from shoestring.label.choosing.buying import AsRanked, Classes, bought, check_buying, ordered
from shoestring.label.choosing.prices import Equal, Prices


@dataclass(frozen=True, kw_only=True)
class Random(Technique):
    """Buy labels of examples that are drawn at random.

    It is the baseline of all others. With Balanced() it draws four times as many, and prefers the
    classes that are rare so far.

    Saves: nothing (it is what the others are compared with).
    Costs: a training for each round.
    Source: none.

    `labels`: how many to buy, 1 or more; with other prices than Equal(), how much to pay in all.
    `rounds`: in how many batches, 1 or more; only Balanced() gains by more than one.
    `training`: of a fresh copy of the model in each round, and at the end.
    `prices`: of labels: Equal(), ByLength() or Listed(); they do not change what is drawn.
    `classes`: AsRanked(), or Balanced().

    Raises ValueError for numbers out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    labels: int = 100
    rounds: int = 1
    training: Training = Training(500)
    prices: Prices = Equal()
    classes: Classes = AsRanked()

    def __post_init__(self) -> None:
        check_buying(self.labels, self.rounds)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The model, trained with the labels that were bought.

        Raises LabelBudgetError where the pool or the task's limit has fewer labels.
        """
        return bought(self, model, task)

    def choose(self, model: Any, task: Task, count: int) -> np.ndarray:
        """The next `count` indices to label, in the order in which they were drawn.

        `model`: only Balanced() asks it; nothing is bought.
        Raises ValueError for a count below 1 or above the pool, and for an empty pool.
        """
        return ordered(_ranked, self.classes, model, task, count)


def _ranked(model: nn.Module, task: LabelTask, pool: Tensor, count: int) -> Tensor:
    return torch.randperm(len(pool))[:count]
