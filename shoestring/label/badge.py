"""BADGE: the labels that would move the last layer far, and in different directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Stage, Task, Technique
from shoestring.core.labels import LabelTask
from shoestring.kit import Training
from shoestring.label.choosing.answers import Places
from shoestring.label.choosing.buying import AsRanked, Classes, bought, check_buying, ordered
from shoestring.label.choosing.prices import Equal, Prices
from shoestring.label.choosing.spread import SquaredTo, seeded_far_apart
from shoestring.label.choosing.states import states_of_places
from shoestring.label.typical import first_batch


@dataclass(frozen=True, kw_only=True)
class Badge(Technique):
    """Buy labels whose gradients are long and differ (batch active learning by diverse gradients).

    The gradient of an example is that of the loss by the weights of the last linear layer, as if
    the likeliest class were its label. A batch is drawn by the seeding of k-means++, which begins
    with the longest.

    Saves: labels (what the model is sure of has no gradient, and copies have the same).
    Costs: a training for each round, and answers to the whole pool.
    Source: Ash et al. 2020, algorithm 1.
    Differs: the gradients of a sequence or a picture are summed over its places. Where no label is
    there yet, the first batch is that of Typical().

    `labels`: how many to buy, 1 or more; with other prices than Equal(), how much to pay in all.
    `rounds`: in how many batches, 1 or more: the model learns in between.
    `training`: of a fresh copy of the model in each round, and at the end.
    `prices`: of labels: Equal(), ByLength() or Listed(); squared distances count by price.
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
        return bought(self, model, task, first=first_batch(self))

    def choose(self, model: Any, task: Task, count: int) -> np.ndarray:
        """The next `count` indices to label, in the order in which they were drawn.

        `model`: a module that was trained on the labels that are there; nothing is bought.
        Raises ValueError for a count below 1 or above the pool, for an empty pool, and for answers
        that are not of classes, that have one class, or that are NaN.
        """
        return ordered(self._ranked, self.classes, model, task, count)

    def _ranked(self, model: nn.Module, task: LabelTask, pool: Tensor, count: int) -> Tensor:
        parts = list(states_of_places(model, task, pool.numpy()))
        places_N = torch.cat([places.counts() for places, _ in parts])
        price_N = self.prices.rates(task, pool, places_N)
        if all(len(places.owner_P) == places.examples for places, _ in parts):
            factors = [(error(places.probabilities_PC), states) for places, states in parts]
            to = ProductsSquaredTo(*(torch.cat(column) for column in zip(*factors, strict=True)))
            return seeded_far_apart(to, count, _longest(to.square_N, price_N), 1 / price_N)
        points = torch.cat([_summed(*part) for part in parts])
        far = SquaredTo(points)
        return seeded_far_apart(far, count, _longest(far.square_N, price_N), 1 / price_N)


def error(probabilities_PC: Tensor) -> Tensor:
    """The gradient of the cross-entropy by the logits, with the likeliest class as label: P×C."""
    likeliest = functional.one_hot(probabilities_PC.argmax(1), probabilities_PC.shape[1])
    return probabilities_PC - likeliest


class ProductsSquaredTo:
    """The squared distances of outer products a⊗h, which are never built.

    |a⊗h - b⊗k|² is |a|²|h|² + |b|²|k|² - 2 (a·b)(h·k).

    `left_NC`, `right_ND`: a and h of each example.
    """

    def __init__(self, left_NC: Tensor, right_ND: Tensor) -> None:
        self.left_NC, self.right_ND = left_NC, right_ND
        self.square_N = left_NC.square().sum(1) * right_ND.square().sum(1)

    def __call__(self, number: int) -> Tensor:
        """To the product of this number: N, 0 or more."""
        products_N = (self.left_NC @ self.left_NC[number]) * (self.right_ND @ self.right_ND[number])
        return (self.square_N - 2 * products_N + self.square_N[number]).clamp(min=0)


def _longest(square_N: Tensor, price_N: Tensor) -> int:
    return int((square_N / price_N).argmax())


def _summed(places: Places, states_PD: Tensor) -> Tensor:
    """The sum over places of the outer products: N×(C·D)."""
    left_PC = error(places.probabilities_PC)
    total_NCD = torch.zeros(places.examples, left_PC.shape[1], states_PD.shape[1])
    for column in range(left_PC.shape[1]):  # one class at a time: all of them take much memory
        total_NCD[:, column].index_add_(0, places.owner_P, left_PC[:, column, None] * states_PD)
    return total_NCD.flatten(1)
