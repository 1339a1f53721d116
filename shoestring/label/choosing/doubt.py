"""From the doubt about each place of an example to the examples that are labelled next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from shoestring.core.labels import LabelTask
from shoestring.label.choosing.answers import worths
from shoestring.label.choosing.batches import Batch
from shoestring.label.choosing.prices import Prices


class Ranks(Protocol):
    """What a technique needs that chooses by the worth of each example."""

    @property
    def batch(self) -> Batch: ...
    @property
    def prices(self) -> Prices: ...


def by_doubt(
    technique: Ranks,
    of_place: Callable[[Tensor], Tensor],
    model: nn.Module,
    task: LabelTask,
    pool: Tensor,
    count: int,
) -> Tensor:
    """`count` numbers of the pool's examples, from 0, by the summed doubt about their places.

    `of_place`: the doubt of each place, P, from its probabilities P×C.
    """
    return by_worth(
        technique, *worths(model, task, pool.numpy(), of_place), model, task, pool, count
    )


def by_worth(
    technique: Ranks,
    worth_N: Tensor,
    places_N: Tensor,
    model: nn.Module,
    task: LabelTask,
    pool: Tensor,
    count: int,
) -> Tensor:
    """The same, given the worth of each example and how many places it has; worth is by price."""
    rate_N = technique.prices.rates(task, pool, places_N)
    return technique.batch.of(worth_N / rate_N, model, task, pool, count)
