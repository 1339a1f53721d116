"""A price of a bit that is steered while training goes on, so that the weights end at a number of
bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

INTEGRAL, PROPORTIONAL = 40.0, 4.0
"""By how much of the distance from the course the price moves: over a whole training, and at once.

Both in logarithms.
"""
_FURTHEST = 0.7  # of a distance, as a logarithm, that counts: half or twice
_FIRST = 1e-5
_LEAST, _MOST = 1e-9, 1e3  # so that it finds its way back soon from where it had no effect
_TENSOR_BYTES = 20.0  # that describe a tensor, besides its numbers
_NAME = "price_of_a_bit"


@dataclass(frozen=True)
class Toward:
    """Whatever price it takes for the coded weights to have about so many bytes at the end.

    The graph and the frame of the file come on top.
    The bits go there along a straight line in logarithms while the price would rise, and stay there
    after.
    `bytes`: above 0. Raises ValueError.
    """

    bytes: float

    def __post_init__(self) -> None:
        if not 0 < self.bytes < math.inf:
            raise ValueError(f"the weights are to have {self.bytes} bytes: give a number above 0")


class Course:
    """Where the bits should be at each step of a training, and the price that takes them there.

    What it knows is in a buffer of the model while that trains: a training that is resumed must
    know of it. `leave` takes it out.
    """

    def __init__(
        self, goal: Toward, tensors: int, steps: int, rise: float, model: nn.Module
    ) -> None:
        self.goal = max(goal.bytes - _TENSOR_BYTES * tensors, goal.bytes / 4) * 8
        self.steps, self.rise = max(steps, 1), rise
        before = model._buffers.get(_NAME)
        price = _FIRST if before is None else float(before[0])
        # The price without what the moment adds, with it, the bits at the start, and the step that
        # was last looked at.
        self.known: Tensor = torch.tensor([price, price, 0.0, 0.0], dtype=torch.float64)
        model.register_buffer(_NAME, self.known)

    @property
    def price(self) -> float:
        """Of a bit, now."""
        return float(self.known[1])

    def steer(self, step: int, bits: float) -> None:
        """Set the price from this step on, given the bits that the weights take now."""
        price, _, first, last = self.known.tolist()
        first = first or max(bits, 1.0)
        way = min(1.0, step / (self.rise * self.steps)) if self.rise > 0 else 1.0
        course = math.exp(math.log(first) * (1 - way) + math.log(self.goal) * way)
        off = max(-_FURTHEST, min(_FURTHEST, math.log(max(bits, 1.0) / course)))
        price = min(
            max(price * math.exp(INTEGRAL * off * (step - last) / self.steps), _LEAST), _MOST
        )
        self.known.copy_(
            torch.tensor(
                [price, price * math.exp(PROPORTIONAL * off), first, float(step)],
                dtype=torch.float64,
            )
        )


def leave(model: nn.Module) -> None:
    """Take out of a model what a course left in it."""
    model._buffers.pop(_NAME, None)
