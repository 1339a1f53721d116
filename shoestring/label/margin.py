"""Margin: the labels of which the model hesitates between two classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique
from shoestring.kit import Training
from shoestring.label.choosing.batches import Batch, Clustered
from shoestring.label.choosing.buying import AsRanked, Classes, bought, check_buying, ordered
from shoestring.label.choosing.doubt import by_doubt
from shoestring.label.choosing.prices import Equal, Prices
from shoestring.label.typical import first_batch


@dataclass(frozen=True, kw_only=True)
class Margin(Technique):
    """Buy labels where the two likeliest classes are close.

    The worth of an example is 1 minus the difference of its two highest probabilities. That of a
    sequence or a picture is the sum over its places, without padding.

    Saves: labels (the easy examples, which teach nothing, are not bought).
    Costs: a training for each round, and answers to the whole pool.
    Source: Scheffer, Decomain & Wrobel 2001, section 3.
    Differs: a batch is chosen by `batch`, since the examples that rank highest are often near
    copies; where no label is there yet, the first batch is that of Typical().

    `labels`: how many to buy, 1 or more; with other prices than Equal(), how much to pay in all.
    `rounds`: in how many batches, 1 or more: the model learns in between.
    `training`: of a fresh copy of the model in each round, and at the end.
    `batch`: how a batch is chosen by worth: Clustered(), FarApart(), Stochastic() or Worthiest().
    `prices`: of labels: Equal(), ByLength() or Listed(); worth counts by price.
    `classes`: AsRanked(), or Balanced().

    Raises ValueError for numbers out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS
    first_choice: ClassVar[bool] = True

    labels: int = 100
    rounds: int = 5
    training: Training = Training(500)
    batch: Batch = Clustered()
    prices: Prices = Equal()
    classes: Classes = AsRanked()

    def __post_init__(self) -> None:
        check_buying(self.labels, self.rounds)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The model, trained with the labels that were bought.

        Raises LabelBudgetError where the pool or the task's limit has fewer labels.
        """
        return bought(self, model, task, first=first_batch(self))

    def choose(self, model: Any, task: Task, count: int) -> np.ndarray:
        """The next `count` indices to label, those with the most doubt first.

        `model`: a module that was trained on the labels that are there; nothing is bought.
        Raises ValueError for a count below 1 or above the pool, for an empty pool, and for answers
        that are not of classes, that have one class, or that are NaN.
        """
        return ordered(partial(by_doubt, self, _of_place), self.classes, model, task, count)


def _of_place(probabilities_PC: Tensor) -> Tensor:
    top_P2 = probabilities_PC.topk(2, dim=1).values
    return 1 - (top_P2[:, 0] - top_P2[:, 1])
