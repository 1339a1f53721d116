"""ProbCover: the labels whose neighbourhoods cover most of the pool, for a start without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Stage, Task, Technique
from shoestring.core.kinds import outputs_of
from shoestring.core.labels import LabelTask
from shoestring.kit import Training
from shoestring.label.choosing.answers import output_kind, probabilities_of
from shoestring.label.choosing.buying import AsRanked, Classes, bought, check_buying, ordered
from shoestring.label.choosing.prices import Equal, Prices
from shoestring.label.choosing.spread import clusters
from shoestring.label.choosing.states import states


@dataclass(frozen=True, kw_only=True)
class ProbCover(Technique):
    """Buy the labels whose balls cover the most examples (probability coverage).

    One by one it takes the example with the most uncovered examples within a radius, by the
    direction of the features before the last linear layer. The radius is the largest at which at
    least `purity` of the balls hold one cluster alone, with as many clusters as the model has
    classes. It is for the first labels.

    Saves: nothing that three seeds on digits prove (docs/choose.md: it beat random choice less
    often than the others).
    Costs: a training for each round, answers to the whole pool, and the distances of all pairs.
    Source: Yehuda et al. 2022, algorithm 1 and section 3.3.
    Differs: the features are those of the model that came in, not of self-supervision; where all is
    covered, the radius is halved.

    `labels`: how many to buy, 1 or more; with other prices than Equal(), how much to pay in all.
    `rounds`: in how many batches, 1 or more: the model, and so the features, learn in between.
    `training`: of a fresh copy of the model in each round, and at the end.
    `purity`: the share of balls that hold one cluster alone, above 0 and at most 1.
    `candidates`: of a larger pool only so many, drawn at random, 2 or more: memory grows with their
        square.
    `prices`: of labels: Equal(), ByLength() or Listed(); they do not change what is covered.
    `classes`: AsRanked(), or Balanced().

    Raises ValueError for numbers out of range.
    """

    stage: ClassVar[Stage | None] = Stage.LABELS

    labels: int = 100
    rounds: int = 5
    training: Training = Training(500)
    purity: float = 0.95
    candidates: int = 8000
    prices: Prices = Equal()
    classes: Classes = AsRanked()

    def __post_init__(self) -> None:
        check_buying(self.labels, self.rounds)
        if not 0 < self.purity <= 1:
            raise ValueError(f"purity={self.purity}: give a share above 0, at most 1")
        if not isinstance(self.candidates, int) or self.candidates < 2:
            raise ValueError(f"candidates={self.candidates!r}: give an integer, 2 or more")

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The model, trained with the labels that were bought.

        Raises LabelBudgetError where the pool or the task's limit has fewer labels.
        """
        return bought(self, model, task)

    def choose(self, model: Any, task: Task, count: int) -> np.ndarray:
        """The next `count` indices to label, those that cover the most first.

        `model`: a module, trained or not: its features are what is covered; nothing is bought.
        Raises ValueError for a count below 1 or above the pool, for an empty pool, and for features
        that are not finite.
        """
        return ordered(self._ranked, self.classes, model, task, count)

    def _ranked(self, model: nn.Module, task: LabelTask, pool: Tensor, count: int) -> Tensor:
        most = max(self.candidates, count)
        drawn = torch.arange(len(pool))
        if len(pool) > most:
            drawn = torch.randperm(len(pool))[:most].sort().values
        known = np.asarray(task.known())
        points = states(model, task, np.concatenate([pool[drawn].numpy(), known]))
        points_ND = functional.normalize(points, dim=1)
        radius = _radius(points_ND, clusters(points_ND, _classes(model, task, pool)), self.purity)
        return drawn[covering(points_ND, len(drawn), count, radius)]


def _classes(model: nn.Module, task: LabelTask, pool: Tensor) -> int:
    """How many classes a model has, 2 or more; without classes, how many numbers it gives."""
    values = outputs_of(task.outputs(model, task.inputs(pool[:1].numpy())))
    try:
        kind, path = output_kind(model, task, pool[:1].numpy())
    except ValueError:  # of numbers
        return max(2, next(iter(values.values())).shape[1])
    return max(2, probabilities_of(values[path].float(), kind).shape[-1])


def _radius(points_ND: Tensor, group_N: Tensor, purity: float) -> float:
    """The largest radius at which a share of the balls hold one cluster alone."""
    if len(points_ND) > 2000:  # pairs of 2,000 tell the share to a hundredth
        kept = torch.randperm(len(points_ND))[:2000]
        points_ND, group_N = points_ND[kept], group_N[kept]
    distances_NN = torch.cdist(points_ND, points_ND)
    # A ball is pure up to the nearest example of another cluster.
    other_N = distances_NN.masked_fill(group_N[:, None] == group_N, torch.inf).amin(1)
    finite = other_N[other_N.isfinite()]
    if not len(finite):
        return float(distances_NN.max())
    return max(float(finite.quantile(1 - purity)), 1e-6)


def covering(points_ND: Tensor, pool: int, count: int, radius: float) -> Tensor:
    """The numbers of `count` of the first `pool` points, each the one that covers most.

    The points after these are labelled: what they cover is covered.
    """
    distances_PN = torch.cdist(points_ND[:pool], points_ND)
    free_P = torch.ones(pool, dtype=torch.bool)
    chosen: list[int] = []
    while len(chosen) < count:
        near_PP = distances_PN[:, :pool] <= radius
        covered_P = (distances_PN[:, pool:] <= radius).any(1)
        for one in chosen:
            covered_P |= near_PP[one]
        gain_P = (near_PP & ~covered_P).sum(1)
        while len(chosen) < count:
            gain_P[~free_P] = -1
            best = int(gain_P.argmax())
            if gain_P[best] <= 0 and radius > 1e-6:
                break
            chosen.append(best)
            free_P[best] = False
            fresh = (near_PP[best] & ~covered_P).nonzero().flatten()
            gain_P -= near_PP[:, fresh].sum(1)
            covered_P |= near_PP[best]
        radius /= 2
    return torch.tensor(chosen, dtype=torch.long)
