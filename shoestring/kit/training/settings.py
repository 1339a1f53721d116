"""How a model is trained, as a value that techniques and planners pass on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from shoestring.kit.training.optimizers import OPTIMIZERS, AdamW, Optimizer, brief

if TYPE_CHECKING:
    from torch import nn

    from shoestring.core import Task


def _check_warm_up(warm_up: float) -> None:
    if not 0 <= warm_up <= 1:
        raise ValueError(f"the warm-up is {warm_up}: it is a share of the steps, 0 to 1")


def _warmed_up(warm_up: float, step: int, steps: int) -> float:
    """The rate of a linear warm-up at a step, as a share of the highest rate."""
    return (step + 1) / max(1, math.floor(warm_up * steps + 1e-9))


@dataclass(frozen=True)
class Cosine:
    """The learning rate rises linearly, and falls along a cosine to 0.

    `warm_up`: the share of the steps over which it rises, 0 to 1.
    """

    warm_up: float = 0.02

    __repr__ = brief

    def __post_init__(self) -> None:
        _check_warm_up(self.warm_up)

    def height(self, step: int, steps: int) -> float:
        """The rate of a step (counted from 0) as a share of the highest, 0 to 1."""
        return min(
            _warmed_up(self.warm_up, step, steps),
            0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1.0)),
        )


@dataclass(frozen=True)
class Constant:
    """The learning rate rises linearly and then stays.

    `warm_up`: the share of the steps over which it rises, 0 to 1.
    """

    warm_up: float = 0.02

    __repr__ = brief

    def __post_init__(self) -> None:
        _check_warm_up(self.warm_up)

    def height(self, step: int, steps: int) -> float:
        """The rate of a step (counted from 0) as a share of the highest, 0 to 1."""
        return min(_warmed_up(self.warm_up, step, steps), 1.0)


@dataclass(frozen=True)
class Single:
    """The loss is computed in the type of the weights, unless the task decides otherwise."""


@dataclass(frozen=True)
class Mixed:
    """The loss is computed in bfloat16 where torch considers it safe (torch.autocast).

    It saves time on a processor that has bfloat16.
    """


@dataclass(frozen=True)
class Unclipped:
    """Gradients stay as they are."""


@dataclass(frozen=True)
class Clipped:
    """Gradients that are longer than `norm`, all parameters together, are shortened to it.

    Source: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural
    networks", algorithm 1.

    `norm`: the longest gradient, above 0. Adam divides gradients by their usual size, so it matters
        only which are longer than the usual ones.

    Raises ValueError for a norm out of range.
    """

    norm: float = 1.0

    __repr__ = brief

    def __post_init__(self) -> None:
        if not isinstance(self.norm, int | float) or not 0 < self.norm < math.inf:
            raise ValueError(
                f"gradients clipped at {self.norm!r}: give a norm above 0, such as 1.0"
            )


@dataclass(frozen=True)
class MovingAverage:
    """Batch norms keep the moving averages of their statistics, as torch's modules do.

    Those of half-precision norms are kept in single precision while they are trained: an average
    that is rounded at each step stops before it has arrived.
    """


@dataclass(frozen=True)
class Averaged:
    """Batch norms get the average statistics of some batches when the training ends (precise BN).

    Moving averages are those of the weights of earlier steps. Where the rate is high until the end
    (Constant()), or where there were only a few steps, a deep network in evaluation mode may be far
    from what it was in training.

    `batches`: of the training split, 1 or more; those of one pass at most.

    Raises ValueError for a number out of range.
    """

    batches: int = 20

    __repr__ = brief

    def __post_init__(self) -> None:
        if not isinstance(self.batches, int) or self.batches < 1:
            raise ValueError(f"statistics of {self.batches!r} batches: give an integer, 1 or more")


@runtime_checkable
class Workers(Protocol):
    """Who makes the gradients of a training, such as `parallel.SimulatedAsynchronous`: a value."""

    def steps_of(self, model: nn.Module, task: Task, training: Training) -> Any:
        """The steps of a training: a `kit.training.steps.Steps` that makes gradients its way."""
        ...


@dataclass(frozen=True)
class Training:
    """How a model is trained: `Training(2000)`, `Training(2000, AdamW(3e-3))`.

    `steps`: how many batches, 0 or more; 0 trains nothing.
    `optimizer`: AdamW(learning_rate, weight_decay); Adagrad(learning_rate) for inputs with a long
        tail; SGD(learning_rate, momentum); for very large batches LARS() or LAMB().
    `schedule`: of the learning rate, Cosine() or Constant().
    `precision`: of the loss, Single() or Mixed().
    `clipping`: of the gradients, Unclipped() or Clipped(norm).
    `statistics`: of batch norms, MovingAverage() or Averaged(batches).
    `workers`: who makes the gradients, such as those of `shoestring.parallel`; None for this
        process alone.

    Raises ValueError for steps that are below 0 or not an integer, and TypeError for another
    optimizer, schedule, precision, clipping, statistics or workers.
    """

    steps: int = 2000
    optimizer: Optimizer = AdamW()
    schedule: Cosine | Constant = Cosine()
    precision: Single | Mixed = Single()
    clipping: Unclipped | Clipped = Unclipped()
    statistics: MovingAverage | Averaged = MovingAverage()
    workers: Workers | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or self.steps < 0:
            raise ValueError(f"training for {self.steps!r} steps: give an integer, 0 or more")
        for name, kinds in (
            ("optimizer", OPTIMIZERS),
            ("schedule", (Cosine, Constant)),
            ("precision", (Single, Mixed)),
            ("clipping", (Unclipped, Clipped)),
            ("statistics", (MovingAverage, Averaged)),
        ):
            if not isinstance(value := getattr(self, name), kinds):
                choices = " or ".join(f"{kind.__name__}()" for kind in kinds)
                raise TypeError(f"the {name} is {value!r}: give {choices}")
        is_workers = isinstance(self.workers, Workers) and not isinstance(self.workers, type)
        if self.workers is not None and not is_workers:
            raise TypeError(
                f"the workers are {self.workers!r}: give None, or workers of shoestring.parallel"
            )

    def check_alone(self, what: str) -> None:
        """Raise ValueError where workers were given for what one process does."""
        if self.workers is not None:
            raise ValueError(
                f"{what} is of one process, and the training has workers: give "
                "dataclasses.replace(training, workers=None), and mind that a rate that is right "
                "for one process may be too high for late gradients"
            )

    def scaled(self, share: float) -> Training:
        """The same training with a share of the steps: at least one, or none where it has none.

        `share`: 0 or more.
        """
        return replace(self, steps=max(1, round(share * self.steps)) if self.steps else 0)


@dataclass(frozen=True)
class Ramp:
    """How a gradual change is spread over a training: `Ramp(0.5, rounds=20)`.

    `share`: of the steps, during which the change is made, 0 to 1; the rest trains the result.
    `rounds`: in how many parts, 1 or more.

    Raises ValueError for numbers out of range.
    """

    share: float = 0.5
    rounds: int = 20

    __repr__ = brief

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a ramp over {self.share} of the steps: give a share, 0 to 1")
        if not isinstance(self.rounds, int) or self.rounds < 1:
            raise ValueError(f"a ramp of {self.rounds!r} rounds: give an integer, 1 or more")
