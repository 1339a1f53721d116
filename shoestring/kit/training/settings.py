"""How a model is trained, as a value that techniques, planners and people hand on."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any


def _brief(self: Any) -> str:
    """The call that makes the value.

    Its first field, and of the others those that differ from their defaults.
    """
    told = [
        (f.name, getattr(self, f.name))
        for place, f in enumerate(fields(self))
        if not place or getattr(self, f.name) != f.default
    ]
    words = [
        repr(value) if not place else f"{name}={value!r}"
        for place, (name, value) in enumerate(told)
    ]
    return f"{type(self).__qualname__}({', '.join(words)})"


@dataclass(frozen=True)
class AdamW:
    """Adam whose decay of the weights is apart from the gradient.

    Source: Loshchilov & Hutter 2019, algorithm 2.
    `learning_rate`: at its height, above 0.
    `weight_decay`: what a weight loses each step, as a share of it and in units of the rate, 0 or
        more. Raises ValueError for numbers out of range.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0

    __repr__ = _brief

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(
                f"the learning rate is {self.learning_rate}: it must be above 0, such as 1e-3"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"the weight decay is {self.weight_decay}: it must be 0 or more")


def _check_warm_up(warm_up: float) -> None:
    if not 0 <= warm_up <= 1:
        raise ValueError(f"the warm-up is {warm_up}: it is a share of the steps, 0 to 1")


def _risen(warm_up: float, step: int, steps: int) -> float:
    """The share of its height that a rate has reached that rises along a line."""
    return (step + 1) / max(1, math.floor(warm_up * steps + 1e-9))


@dataclass(frozen=True)
class Cosine:
    """The rate rises along a line and then falls along a cosine to 0.

    `warm_up`: the share of the steps over which it rises, 0 to 1.
    """

    warm_up: float = 0.02

    __repr__ = _brief

    def __post_init__(self) -> None:
        _check_warm_up(self.warm_up)

    def height(self, step: int, steps: int) -> float:
        """The rate of a step (counted from 0) as a share of the highest, 0 to 1."""
        return min(
            _risen(self.warm_up, step, steps),
            0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1.0)),
        )


@dataclass(frozen=True)
class Constant:
    """The rate rises along a line and then stays.

    `warm_up`: the share of the steps over which it rises, 0 to 1.
    """

    warm_up: float = 0.02

    __repr__ = _brief

    def __post_init__(self) -> None:
        _check_warm_up(self.warm_up)

    def height(self, step: int, steps: int) -> float:
        """The rate of a step (counted from 0) as a share of the highest, 0 to 1."""
        return min(_risen(self.warm_up, step, steps), 1.0)


@dataclass(frozen=True)
class Single:
    """The loss is computed in the type of the weights, or as the task has it."""


@dataclass(frozen=True)
class Mixed:
    """The loss is computed in bfloat16 where torch holds that safe (torch.autocast).

    Less time where the processor has bfloat16.
    """


@dataclass(frozen=True)
class Training:
    """How a model is trained: `Training(2000)`, `Training(2000, AdamW(3e-3))`.

    `steps`: batches, 0 or more; 0 trains nothing.
    `optimizer`: AdamW(learning_rate, weight_decay).
    `schedule`: Cosine() or Constant(), how the learning rate rises and falls.
    `precision`: Single() or Mixed(), what the loss is computed in. Raises ValueError for steps that
        are below 0 or not whole, TypeError for another optimizer, schedule or precision.
    """

    steps: int = 2000
    optimizer: AdamW = AdamW()
    schedule: Cosine | Constant = Cosine()
    precision: Single | Mixed = Single()

    __repr__ = _brief

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or self.steps < 0:
            raise ValueError(f"training for {self.steps!r} steps: give a whole number, 0 or more")
        for name, kinds in (
            ("optimizer", (AdamW,)),
            ("schedule", (Cosine, Constant)),
            ("precision", (Single, Mixed)),
        ):
            if not isinstance(value := getattr(self, name), kinds):
                choices = " or ".join(f"{kind.__name__}()" for kind in kinds)
                raise TypeError(f"the {name} is {value!r}: give {choices}")

    def scaled(self, share: float) -> Training:
        """The same with that share of the steps (0 or more), one at least.

        None where there were none.
        """
        return replace(self, steps=max(1, round(share * self.steps)) if self.steps else 0)


@dataclass(frozen=True)
class Ramp:
    """How something that is done by and by is spread over a training: `Ramp(0.5, rounds=20)`.

    `share`: of the steps over which it is done, 0 to 1; the rest trains what came of it.
    `rounds`: how many times, 1 or more. Raises ValueError for numbers out of range.
    """

    share: float = 0.5
    rounds: int = 20

    __repr__ = _brief

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a ramp over {self.share} of the steps: give a share, 0 to 1")
        if not isinstance(self.rounds, int) or self.rounds < 1:
            raise ValueError(f"a ramp of {self.rounds!r} rounds: give a whole number, 1 or more")
