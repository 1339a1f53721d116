"""A price of a bit that is steered while training goes on, so that the weights end at a number of bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass

INTEGRAL, PROPORTIONAL = 40.0, 4.0
"""By how much of the distance from the course the price moves: over a whole training, and at once. Both in logarithms."""
_FURTHEST = 0.7  # of a distance, as a logarithm, that counts: half or twice
_FIRST = 1e-5
_TENSOR_BYTES = 20.0  # that describe a tensor, besides its numbers


@dataclass(frozen=True)
class Toward:
    """Whatever price it takes for the coded weights to have about so many bytes at the end (the graph and the frame of the file come on top).

    The bits fall along a straight line in logarithms while the price would rise, and stay there after. `bytes`: above 0.
    """

    bytes: float

    def __post_init__(self) -> None:
        if not 0 < self.bytes < math.inf:
            raise ValueError(f"the weights are to have {self.bytes} bytes: give a number above 0")

    def course(self, tensors: int, steps: int, rise: float, *, price: float = _FIRST, begun: bool = False) -> Course:
        """The course for a training of so many steps; `begun`: the bits are to be there from the start on."""
        goal = max(self.bytes - _TENSOR_BYTES * tensors, self.bytes / 4) * 8
        return Course(goal, steps, 0.0 if begun else rise, price)


class Course:
    """Where the bits should be at each step, and the price that takes them there."""

    def __init__(self, goal: float, steps: int, rise: float, price: float) -> None:
        self.goal, self.steps, self.rise, self.price = goal, max(steps, 1), rise, price
        self._first: float | None = None
        self._last = 0

    def steer(self, step: int, bits: float) -> float:
        """The price from this step on, given the bits that the weights take now."""
        if self._first is None:
            self._first = bits
        way = min(1.0, step / (self.rise * self.steps)) if self.rise > 0 else 1.0
        course = math.exp(math.log(self._first) * (1 - way) + math.log(min(self.goal, self._first)) * way)
        off = max(-_FURTHEST, min(_FURTHEST, math.log(max(bits, 1.0) / course)))
        self.price *= math.exp(INTEGRAL * off * (step - self._last) / self.steps)
        self._last = step
        return self.price * math.exp(PROPORTIONAL * off)
