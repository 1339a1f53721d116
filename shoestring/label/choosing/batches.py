"""From the worth of each example to a batch of them: the worthiest alone are often near copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor, nn

from shoestring.core.labels import LabelTask
from shoestring.label.choosing.spread import (
    SquaredTo,
    clusters,
    seed,
    seeded_far_apart,
)
from shoestring.label.choosing.states import states


class Batch(Protocol):
    """How a batch is chosen of examples that each have a worth."""

    def of(
        self, worth_N: Tensor, model: nn.Module, task: LabelTask, pool: Tensor, count: int
    ) -> Tensor:
        """`count` different numbers of the pool's examples, from 0, the first to label first."""
        ...


@final
@dataclass(frozen=True)
class Clustered:
    """The worthiest `factor` times as many, in clusters by k-means; the best of each cluster.

    Points count by their worth, and the best of a cluster is the one nearest to its mean.

    `factor`: from how many times the batch it chooses, 1 or more; 1 is the worthiest alone.
    Source: Zhdanov 2019, "Diverse mini-batch active learning", section 3.
    Raises ValueError for a factor below 1.
    """

    factor: float = 10.0

    def __post_init__(self) -> None:
        _check_factor(self.factor)

    def of(
        self, worth_N: Tensor, model: nn.Module, task: LabelTask, pool: Tensor, count: int
    ) -> Tensor:
        ranked = _worthiest(worth_N, self.factor, count)
        if len(ranked) <= count:
            return ranked
        points_ND = states(model, task, pool[ranked].numpy())
        weights = worth_N[ranked].clamp(min=1e-6)
        group = clusters(points_ND, count, weights)
        chosen = []
        for one in group.unique():
            inside = (group == one).nonzero().flatten()
            own = weights[inside, None]
            mean = (points_ND[inside] * own).sum(0) / own.sum()
            chosen.append(inside[(points_ND[inside] - mean).square().sum(1).argmin()])
        first = torch.stack(chosen)
        first = first[weights[first].argsort(descending=True, stable=True)]
        rest = torch.ones(len(ranked), dtype=torch.bool)
        rest[first] = False  # where points repeat there are fewer clusters than asked for
        return ranked[torch.cat([first, rest.nonzero().flatten()])][:count]


@final
@dataclass(frozen=True)
class FarApart:
    """The worthiest `factor` times as many, drawn by the seeding of k-means++ times their worth.

    `factor`: from how many times the batch it draws, 1 or more.
    Source: Arthur & Vassilvitskii 2007 for the seeding; Zhdanov 2019 for the factor.
    Raises ValueError for a factor below 1.
    """

    factor: float = 10.0

    def __post_init__(self) -> None:
        _check_factor(self.factor)

    def of(
        self, worth_N: Tensor, model: nn.Module, task: LabelTask, pool: Tensor, count: int
    ) -> Tensor:
        ranked = _worthiest(worth_N, self.factor, count)
        if len(ranked) <= count:
            return ranked
        points_ND = states(model, task, pool[ranked].numpy())
        weights = worth_N[ranked].double().clamp(min=1e-12)
        return ranked[seeded_far_apart(SquaredTo(points_ND), count, 0, weights)]


@final
@dataclass(frozen=True)
class Stochastic:
    """Drawn without replacement, each with a probability that is proportional to worth**power.

    `power`: 0 is random, and a large one the worthiest alone; 0 or more.
    Source: Kirsch et al. 2023, "Stochastic batch acquisition", section 3 (power sampling).
    Raises ValueError for a power below 0.
    """

    power: float = 1.0

    def __post_init__(self) -> None:
        if not self.power >= 0:
            raise ValueError(f"the power of a batch is {self.power}: give 0 or more")

    def of(
        self, worth_N: Tensor, model: nn.Module, task: LabelTask, pool: Tensor, count: int
    ) -> Tensor:
        draw = torch.Generator().manual_seed(seed())
        uniform = torch.rand(len(worth_N), generator=draw, dtype=torch.float64)
        gumbel = -(-uniform.clamp(min=1e-300).log()).log()
        return _by_worth(self.power * worth_N.double().clamp(min=1e-300).log() + gumbel)[:count]


@final
@dataclass(frozen=True)
class Worthiest:
    """The worthiest, whether they are near copies or not: for batches of one, and to compare."""

    def of(
        self, worth_N: Tensor, model: nn.Module, task: LabelTask, pool: Tensor, count: int
    ) -> Tensor:
        return _by_worth(worth_N)[:count]


def _by_worth(worth_N: Tensor) -> Tensor:
    return worth_N.argsort(descending=True, stable=True)


def _check_factor(factor: float) -> None:
    if not factor >= 1:
        raise ValueError(f"the factor of a batch is {factor}: give 1 or more")


def _worthiest(worth_N: Tensor, factor: float, count: int) -> Tensor:
    """The examples from which a batch of `count` is chosen: `factor` times as many."""
    return _by_worth(worth_N)[: max(count, int(factor * count))]
