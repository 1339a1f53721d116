"""The settings of a training that can be turned, and between which values."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol

from shoestring.core import Task
from shoestring.kit import Adagrad, AdamW, Clipped, Constant, Cosine, Training, Unclipped
from shoestring.kit.training.optimizers import Optimizer

BATCH_SIZE = "batch_size"
"""The field of a task that has one, as kit.Supervised does."""


class Turning(Protocol):
    """What picks values: a trial of Optuna, or one that was noted."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float: ...

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A training, and the batch size that goes with it.

    `batch_size`: of the task; None where the task decides.
    """

    training: Training
    batch_size: int | None

    def task(self, task: Task) -> Task:
        """The task with this batch size."""
        return task if self.batch_size is None else replace(task, batch_size=self.batch_size)  # type: ignore[type-var]


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """Which settings of a training are turned, and how far; one value alone is not turned.

    Where the batch size changes, the steps change with it, so that every training sees as many
    examples.

    `optimizers`: which there are, 1 or more, of different kinds; each with a rate in the middle of
        its range.
    `rate_factor`: a rate is that of the optimizer, divided or multiplied by up to this, 1 or more.
    `weight_decays`: the lowest and the highest of AdamW, above 0.
    `batch_sizes`: multiples of that of the task, above 0; a task without one has this knob not.
    `schedules`, `clippings`: which there are, 1 or more.

    Raises ValueError for numbers out of range, and where there is nothing to choose from.
    """

    optimizers: tuple[Optimizer, ...] = (AdamW(), Adagrad())
    rate_factor: float = 30.0
    weight_decays: tuple[float, float] = (1e-3, 1.0)
    batch_sizes: tuple[float, ...] = (0.5, 1.0, 2.0)
    schedules: tuple[Cosine | Constant, ...] = (Cosine(), Cosine(0.1), Cosine(0.3), Constant())
    clippings: tuple[Unclipped | Clipped, ...] = (Unclipped(), Clipped(1.0), Clipped(0.1))

    def __post_init__(self) -> None:
        for field in fields(self):
            if not (value := getattr(self, field.name)):
                raise ValueError(f"{field.name}={value!r}: give one value or more")
        if len({type(one) for one in self.optimizers}) < len(self.optimizers):
            raise ValueError(f"optimizers={self.optimizers!r}: give at most one of each kind")
        low, high = self.weight_decays
        if not 0 < low <= high < math.inf or not 1 <= self.rate_factor < math.inf:
            raise ValueError(
                f"weight decays {self.weight_decays} and rates within {self.rate_factor}: give two "
                "decays above 0, the lower one first, and a factor of 1 or more"
            )
        if not all(0 < one < math.inf for one in self.batch_sizes):
            raise ValueError(f"batch_sizes={self.batch_sizes}: give multiples above 0, such as 0.5")

    def turned(self, by: Turning, size: int | None, steps: int) -> Chosen:
        """A training with the values that are picked.

        `size`: the task's own batch size; None where it has none.
        `steps`: at that size.
        """
        kinds = {type(one).__name__: one for one in self.optimizers}
        kind = _picked(by, "optimizer", kinds)
        name, own = type(kind).__name__, kind.learning_rate
        optimizer = replace(
            kind,
            learning_rate=_between(
                by, f"{name}: learning rate", own / self.rate_factor, own * self.rate_factor
            ),
        )
        if isinstance(optimizer, AdamW):
            decay = _between(by, f"{name}: weight decay", *self.weight_decays)
            optimizer = replace(optimizer, weight_decay=decay)
        chosen = steps
        if size is not None:
            sizes = {str(max(1, round(one * size))): one for one in self.batch_sizes}
            picked = _picked(by, "batch size", {name: int(name) for name in sizes})
            chosen, size = max(1, round(steps * size / picked)), picked
        training = Training(
            chosen,
            optimizer,
            _picked(by, "schedule", {repr(one): one for one in self.schedules}),
            clipping=_picked(by, "clipping", {repr(one): one for one in self.clippings}),
        )
        return Chosen(training=training, batch_size=size)

    def names(self, size: int | None) -> tuple[str, ...]:
        """The settings that have more than one value, for a task with this batch size."""
        adams = any(isinstance(one, AdamW) for one in self.optimizers)
        turned = {
            "optimizer": len(self.optimizers) > 1,
            "learning rate": self.rate_factor > 1,
            "weight decay": adams and self.weight_decays[0] < self.weight_decays[1],
            "batch size": size is not None and len(self.batch_sizes) > 1,
            "schedule": len(self.schedules) > 1,
            "clipping": len(self.clippings) > 1,
        }
        return tuple(name for name, is_turned in turned.items() if is_turned)


def batch_size(task: Task) -> int | None:
    """The batch size of a task that is a dataclass with such a field; None for other tasks."""
    if not is_dataclass(task) or BATCH_SIZE not in {one.name for one in fields(task) if one.init}:
        return None
    size = getattr(task, BATCH_SIZE)
    return size if isinstance(size, int) else None


def _picked(by: Turning, name: str, choices: dict[str, Any]) -> Any:
    """One of some values, which go by their names in the records of trials."""
    if len(choices) == 1:
        return next(iter(choices.values()))
    return choices[by.suggest_categorical(name, tuple(choices))]


def _between(by: Turning, name: str, low: float, high: float) -> float:
    return low if low == high else float(f"{by.suggest_float(name, low, high, log=True):.4g}")
