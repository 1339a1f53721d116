"""The loop that every technique of this room shares: train, choose, buy, and again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Task, label_task
from shoestring.core.labels import LabelBudgetError, LabelTask
from shoestring.core.model import unwrapped
from shoestring.kit import SkippedWarning, Training, clone, train
from shoestring.label.choosing.answers import predicted
from shoestring.label.choosing.prices import Equal, Prices

_WIDER = 4
"""From how many times the batch Balanced() chooses."""


@final
@dataclass(frozen=True)
class AsRanked:
    """Examples are taken in the order in which the technique ranks them."""


@final
@dataclass(frozen=True)
class Balanced:
    """The next example is the highest of the class that has the fewest labels so far.

    Labels count that are there, and those chosen as what the model says that they are. A class
    that nobody has seen comes first as soon as the model says it of some example.
    Source: Bengar et al. 2022, "Class-balanced active learning for image classification".
    Differs: greedily, from the four batches that rank highest, in place of an integer program.
    """


Classes = AsRanked | Balanced


class Buys(Protocol):
    """What the loop needs of a technique."""

    @property
    def labels(self) -> int: ...
    @property
    def rounds(self) -> int: ...
    @property
    def training(self) -> Training: ...
    @property
    def prices(self) -> Prices: ...

    def choose(self, model: Any, task: Task, count: int) -> np.ndarray:
        """The next `count` indices, the first to label first."""
        ...


def check_buying(labels: int, rounds: int) -> None:
    """Raise ValueError for a number of labels or rounds that is not an integer, 1 or more."""
    for name, value in (("labels", labels), ("rounds", rounds)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}: give an integer, 1 or more")


def ordered(
    rank: Callable[[nn.Module, LabelTask, Tensor, int], Tensor],
    classes: Classes,
    model: Any,
    task: Task,
    count: int,
) -> np.ndarray:
    """The next `count` indices of a task's pool, the first to label first.

    `rank`: from (model, task, pool P, count) to numbers of the pool's examples, from 0.

    Raises ValueError for a count below 1 or above the pool, and for an empty pool.
    """
    sold, module = label_task(task), unwrapped(model)
    pool = np.asarray(sold.pool())
    if not len(pool):
        raise ValueError(
            f"the pool of {sold.name or 'the task'} is empty: every example has a label that was "
            "bought. Give more examples as unlabelled="
        )
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= len(pool):
        raise ValueError(
            f"{count!r} examples were asked for, and the pool has {len(pool)}: give an integer, 1 "
            f"to {len(pool)}"
        )
    rows = torch.from_numpy(pool.astype(np.int64))
    if isinstance(classes, AsRanked):
        return pool[rank(module, sold, rows, count).numpy()]
    wider = rank(module, sold, rows, min(_WIDER * count, len(pool)))
    return _balanced(pool[wider.numpy()], predicted(module, sold, pool[wider.numpy()]), sold, count)


def _balanced(order: np.ndarray, told: Tensor, task: LabelTask, count: int) -> np.ndarray:
    known = task.known()
    labels = torch.as_tensor(task.labels(known)) if len(known) else torch.zeros(0).long()
    if labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(
            f"Balanced() balances labels that are one integer an example, and these have shape "
            f"{list(labels.shape)} and type {labels.dtype}: use AsRanked()"
        )
    counts: dict[int, int] = {}
    for label in labels.tolist():
        counts[label] = counts.get(label, 0) + 1
    waiting: dict[int, list[int]] = {}
    for index, label in zip(order.tolist(), told.tolist(), strict=True):
        waiting.setdefault(label, []).append(index)
    chosen: list[int] = []
    while len(chosen) < count:
        rarest = min(waiting, key=lambda label: counts.get(label, 0))
        chosen.append(waiting[rarest].pop(0))
        counts[rarest] = counts.get(rarest, 0) + 1
        if not waiting[rarest]:
            del waiting[rarest]
    return np.array(chosen)


def bought(technique: Buys, model: Any, task: Task, *, first: Buys | None = None) -> nn.Module:
    """The model, trained with the labels that a technique bought in rounds.

    In each round a copy of the model is trained on the labels that are there, which then chooses.
    A task without labels has no training before the first round.

    `first`: chooses the first batch of a task that has no label; None: the technique itself.

    Raises LabelBudgetError, before any work, where the pool or the task's limit has fewer labels.
    """
    *_, (learner, _) = purchases(technique, model, task, first=first)
    return learner


def purchases(
    technique: Buys, model: Any, task: Task, *, first: Buys | None = None
) -> Iterator[tuple[nn.Module, LabelTask]]:
    """The loop of `bought`, with the model and the task after each training on some labels."""
    sold, begin = label_task(task), unwrapped(model)
    _check_there_is_enough(technique, sold)
    left, learner = float(technique.labels), clone(begin)
    if len(sold.known()):
        learner = _trained(learner, sold, technique.training, "training on the first labels")
        yield learner, sold
    for number in range(technique.rounds):
        chooser = first if first is not None and not len(sold.known()) else technique
        now = left / (technique.rounds - number)
        if isinstance(technique.prices, Equal):
            now = float(int(left) // (technique.rounds - number))
        indices, paid = _affordable(chooser, technique.prices, learner, sold, now, left)
        if not len(indices):
            if not isinstance(technique.prices, Equal):  # those buy in the rounds that follow
                _warn_of_nothing(number, technique.prices, sold, now, left)
            continue
        sold, left = sold.buy(indices), left - paid
        learner = _trained(clone(begin), sold, technique.training, f"training, round {number + 1}")
        yield learner, sold


def _trained(model: nn.Module, task: LabelTask, training: Training, what: str) -> nn.Module:
    """As `train`; raises ValueError, which names the example, for a class the network has not."""
    try:
        return train(model, task, training, what=what)
    except IndexError as error:
        known = np.asarray(task.known())
        labels = np.asarray(task.labels(known))
        outputs = task.outputs(model, task.inputs(known[:1]))
        if not isinstance(outputs, Tensor) or outputs.ndim != 2 or labels.ndim != 1:
            raise
        classes = outputs.shape[1]
        unknown = np.flatnonzero((labels < 0) | (labels >= classes))
        if not len(unknown):
            raise
        place = unknown[0]
        raise ValueError(
            f"the label of example {known[place]} is {labels[place]}, and the network has "
            f"{classes} classes, 0 to {classes - 1} ({len(unknown)} labels are such): answer with "
            "one of these, or give a network with more outputs"
        ) from error


def _check_there_is_enough(technique: Buys, task: LabelTask) -> None:
    pool, left = len(task.pool()), task.left()
    most = pool if left is None else min(pool, left)
    if isinstance(technique.prices, Equal) and technique.labels > most:
        raise LabelBudgetError(
            f"labels={technique.labels} are to be bought, and the task sells {most} more "
            f"({pool} in the pool, {'no limit' if left is None else f'{left} to the limit'}): ask "
            "for fewer"
        )
    if not most:
        raise LabelBudgetError(
            f"the task sells no label ({pool} in the pool, {left} to the limit): give it "
            "unlabelled= and answer="
        )


def _affordable(
    chooser: Buys, prices: Prices, model: nn.Module, task: LabelTask, now: float, left: float
) -> tuple[np.ndarray, float]:
    """The indices to buy for about `now`, `left` at most, and what they cost."""
    pool, most = task.pool(), task.left()
    count = len(pool) if most is None else min(len(pool), most)
    if isinstance(prices, Equal):
        chosen = min(count, int(now))
        return (chooser.choose(model, task, chosen) if chosen else pool[:0]), float(chosen)
    if not count:
        return pool[:0], 0.0
    of_pool, may = prices.of(task, pool), min(now, left) + 1e-6
    middle = float(of_pool.median())
    asked = min(count, max(1, round(2 * now / float(of_pool.mean()))))
    while True:
        order = chooser.choose(model, task, asked)
        paid, chosen_now = 0.0, []
        for index, price in zip(order, prices.of(task, order).tolist(), strict=True):
            if paid + price <= may:
                chosen_now.append(index)
                paid += price
        # Where the chosen are cheap or too dear, more are asked for, until no usual price is left.
        if (chosen_now and may - paid < middle) or asked == count:
            return np.array(chosen_now, dtype=np.int64), paid
        asked = min(count, 2 * asked)


def _warn_of_nothing(number: int, prices: Prices, task: LabelTask, now: float, left: float) -> None:
    """Say why a round bought nothing."""
    pool, most = task.pool(), task.left()
    if not len(pool):
        why = "no example is left in the pool"
    elif most == 0:
        why = "the task sells no more label: its limit is reached"
    else:
        why = (
            f"the cheapest label of the {len(pool)} in the pool costs "
            f"{float(prices.of(task, pool).min()):,.6g}: give fewer rounds= or more labels="
        )
    warnings.warn(
        f"round {number + 1} buys nothing with {min(now, left):,.6g} of the {left:,.6g} that are "
        f"left, since {why}",
        SkippedWarning,
        stacklevel=3,
    )
