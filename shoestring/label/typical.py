"""Typical: the labels of examples that stand for many others, for a start without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Stage, Task, Technique
from shoestring.core.labels import LabelTask
from shoestring.kit import Training
from shoestring.label.choosing.buying import (
    AsRanked,
    Buys,
    Classes,
    bought,
    check_buying,
    ordered,
)
from shoestring.label.choosing.prices import Equal, Prices
from shoestring.label.choosing.spread import clusters
from shoestring.label.choosing.states import states

_NEIGHBOURS = 20
_MOST_CLUSTERS = 500
_SMALL = 5
"""Examples of a cluster that is too small to be typical of anything."""


@dataclass(frozen=True, kw_only=True)
class Typical(Technique):
    """Buy the label of the most typical example of each cluster (TypiClust).

    The features before the last linear layer are clustered into as many clusters as there will be
    labels. The largest cluster without a label comes first, and gives the example whose nearest
    neighbours in it are nearest. It is for the first labels: with many, doubt is the better guide.

    Saves: labels (what is like a labelled example is not bought).
    Costs: a training for each round, answers to the whole pool, and k-means.
    Source: Hacohen, Dekel & Weinshall 2022, algorithm 1 (TPC_RP).
    Differs: the features are those of the model that came in, not of self-supervision, and are not
    brought to length 1; labelled examples are not among the neighbours by which an example is
    typical.

    `labels`: how many to buy, 1 or more; with other prices than Equal(), how much to pay in all.
    `rounds`: in how many batches, 1 or more: the model, and so the features, learn in between.
    `training`: of a fresh copy of the model in each round, and at the end.
    `prices`: of labels: Equal(), ByLength() or Listed(); they do not change what is typical.
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
        """The next `count` indices to label, those of the largest clusters first.

        `model`: a module, trained or not: its features are what is clustered; nothing is bought.
        Raises ValueError for a count below 1 or above the pool, for an empty pool, and for features
        that are not finite.
        """
        return ordered(_ranked, self.classes, model, task, count)


def first_batch(technique: Buys) -> Typical:
    """What chooses the first labels of a task that has none, for a technique that needs some."""
    return Typical(
        labels=technique.labels,
        rounds=technique.rounds,
        training=technique.training,
        prices=technique.prices,
    )


def _ranked(model: nn.Module, task: LabelTask, pool: Tensor, count: int) -> Tensor:
    known = np.asarray(task.known())
    points_ND = states(model, task, np.concatenate([pool.numpy(), known]))
    group_N = clusters(points_ND, min(len(known) + count, _MOST_CLUSTERS))
    is_labelled_N = torch.arange(len(points_ND)) >= len(pool)
    members = {
        int(one): ((group_N == one) & ~is_labelled_N).nonzero().flatten()
        for one in group_N.unique()
    }
    labels = {one: int(((group_N == one) & is_labelled_N).sum()) for one in members}
    queue = {one: _most_typical_first(points_ND[rows], rows) for one, rows in members.items()}
    chosen: list[int] = []
    while len(chosen) < count:
        # fewest labels first; of these the large ones, and small clusters only at the end
        one = min(
            (one for one in queue if queue[one]),
            key=lambda one: (len(members[one]) < _SMALL, labels[one], -len(members[one])),
        )
        chosen.append(queue[one].pop(0))
        labels[one] += 1
    return torch.tensor(chosen, dtype=torch.long)


def _most_typical_first(points_MD: Tensor, rows: Tensor) -> list[int]:
    """The rows of a cluster by the mean distance to their nearest neighbours in it."""
    if len(rows) < 2:
        return rows.tolist()
    near = min(_NEIGHBOURS, len(rows) - 1)
    means = []
    for part in points_MD.split(1000):
        distances = torch.cdist(part, points_MD)
        means.append(distances.topk(near + 1, dim=1, largest=False).values[:, 1:].mean(1))
    return rows[torch.cat(means).argsort(stable=True)].tolist()
