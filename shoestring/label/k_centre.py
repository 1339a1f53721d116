"""K-centre: the labels of examples that are far from all labelled ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique
from shoestring.core.labels import LabelTask
from shoestring.kit import Training
from shoestring.label.choosing.buying import AsRanked, Classes, bought, check_buying, ordered
from shoestring.label.choosing.prices import Equal, Prices
from shoestring.label.choosing.spread import farthest_first
from shoestring.label.choosing.states import states


@dataclass(frozen=True, kw_only=True)
class KCentre(Technique):
    """Buy labels so that every example is near a labelled one (a core set).

    One by one it takes the example that is farthest, by the features before the last linear layer,
    from all that are labelled or taken.

    Saves: labels (what is like a labelled example is not bought).
    Costs: a training for each round, and answers to the whole pool.
    Source: Sener & Savarese 2018, algorithm 1 (greedy).
    Differs: without their integer program, which moves the centres past outliers. Where nothing is
    labelled, the first is the example nearest to the mean.

    `labels`: how many to buy, 1 or more; with other prices than Equal(), how much to pay in all.
    `rounds`: in how many batches, 1 or more: the model, and so the features, learn in between.
    `training`: of a fresh copy of the model in each round, and at the end.
    `prices`: of labels: Equal(), ByLength() or Listed(); they do not change which are far.
    `classes`: AsRanked(), or Balanced().

    Raises ValueError for numbers out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    labels: int = 100
    rounds: int = 5
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
        """The next `count` indices to label, the farthest first.

        `model`: a module that was trained on the labels that are there; nothing is bought.
        Raises ValueError for a count below 1 or above the pool, for an empty pool, and for features
        that are not finite.
        """
        return ordered(_ranked, self.classes, model, task, count)


def _ranked(model: nn.Module, task: LabelTask, pool: Tensor, count: int) -> Tensor:
    known = np.asarray(task.known())
    points_ND = states(model, task, np.concatenate([pool.numpy(), known]))
    pool_ND, known_MD = points_ND.split([len(pool), len(known)])
    return farthest_first(pool_ND, count, known_MD)
