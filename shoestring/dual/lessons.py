"""What the lessons of both directions have in common: unpaired batches, samples and rewards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shoestring.core import Task, evaluating, seeded
from shoestring.core.task import asked
from shoestring.dual.directions import Direction


@dataclass(frozen=True)
class Drawn:
    """Examples drawn from the model's probabilities.

    `count`: for each given example, 1 or more.
    Raises ValueError for fewer.
    """

    count: int = 2

    def __post_init__(self) -> None:
        _check_count(self.count)

    def write(self, direction: Direction, part: Any, given: Tensor) -> Tensor:
        """Rows N·count, those of one given example together."""
        with evaluating(part), torch.no_grad():
            return direction.sample(part, given.repeat_interleave(self.count, 0))


@dataclass(frozen=True)
class Best:
    """The likeliest examples, of a beam where they are sequences.

    `count`: for each given example, 1 or more.
    Raises ValueError for fewer.
    """

    count: int = 1

    def __post_init__(self) -> None:
        _check_count(self.count)

    def write(self, direction: Direction, part: Any, given: Tensor) -> Tensor:
        """Rows N·count, those of one given example together."""
        with evaluating(part), torch.no_grad():
            return direction.best(part, given, self.count)


def _check_count(count: int) -> None:
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"{count!r} samples of an example: give an integer, 1 or more")


class RewardError(ValueError):
    """A reward or a marginal is no number, so that nothing can be learnt from it."""


def checked_reward(values: Tensor, what: str) -> Tensor:
    """The values in single precision; raises RewardError where they are not N finite numbers."""
    values = values.detach().float()
    if values.ndim != 1:
        raise RewardError(
            f"{what} has the shape {list(values.shape)}: give one number for each example, N"
        )
    wrong = ~values.isfinite()
    if bool(wrong.any()):
        raise RewardError(
            f"{what} is {float(values[wrong][0])} for {int(wrong.sum())} of {len(values)} "
            "examples: check what computes it, and the data for NaN"
        )
    return values


def check_unpaired(task: Any, *sides: str) -> None:
    """Raise ValueError where a pool of these sides ("sources", "targets") has no batch."""
    for side in sides:
        if next(iter(getattr(task, side)), None) is None:
            raise ValueError(
                f"the task has no {side} without a pair: give {side}=, batches of examples of that "
                "side alone, or train on the pairs with DualSupervised"
            )


def endless(pool: Iterable[Any]) -> Iterator[Any]:
    """The batches of a pool, pass after pass.

    Raises ValueError where a pass has none, as the second one of a generator does.
    """
    while True:
        is_empty = True
        for batch in pool:
            is_empty = False
            yield batch
        if is_empty:
            raise ValueError(
                "the examples without a pair gave no batch when they were read again: give a list, "
                "or an object that can be read again and again, and not a generator"
            )


def with_unpaired(
    task: Task, split: str, model: Any, of_sources: Iterable[Any], of_targets: Iterable[Any]
) -> Iterator[tuple[Any, Any, Any]]:
    """The task's pairs, each batch with one of sources alone and one of targets alone.

    `of_sources`, `of_targets`: those batches, a pass whenever they are iterated.

    What pools draw depends on the beginning of the pass alone: a model that draws too, between the
    batches, changes nothing, and a killed training finds the same batches again.
    """
    sources, targets = endless(of_sources), endless(of_targets)
    first = int(torch.randint(2**31, (1,)))
    for step, batch in enumerate(asked(task, split, model)):
        with seeded(first + step):
            alone = next(sources), next(targets)
        yield batch, *alone


def sides(task: Any) -> tuple[tuple[Direction, Direction, Any], tuple[Direction, Direction, Any]]:
    """Of both round trips: the way there, the way back, and the marginal of what is between."""
    return (
        (task.forward, task.backward, task.marginals.target),
        (task.backward, task.forward, task.marginals.source),
    )


def pairs_loss(task: Task, model: Any, batch: Any, weight: float) -> Any:
    """The loss on the pairs, times its weight; a weight of 0 leaves it out."""
    return weight * task.loss(model, batch) if weight else torch.zeros(())
