"""A price per bit that is steered during training, so that the weights end at a given size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

INTEGRAL, PROPORTIONAL = 40.0, 4.0
"""How much the price moves per distance from the course, all in logarithms.

The integral term acts over a whole training, the proportional term at once.
"""
_FURTHEST = 0.7  # the largest distance that counts, as a logarithm: half or twice
_FIRST = 1e-5
_LEAST, _MOST = 1e-9, 1e3  # bounds of the price, so that it recovers soon from having no effect
_TENSOR_BYTES = 20.0  # of the description of a tensor, besides its numbers
_BUFFER = "price_of_a_bit"


@dataclass(frozen=True)
class Toward:
    """Whatever price takes the coded weights to about this many bytes at the end.

    The graph and the frame of the file come on top. While the price would rise, the bits follow a
    straight line in logarithms from their start to the goal; they stay there afterwards.

    `bytes`: above 0 and finite; otherwise raises ValueError.
    """

    bytes: float

    def __post_init__(self) -> None:
        if not 0 < self.bytes < math.inf:
            raise ValueError(f"the weights are to have {self.bytes} bytes: give a number above 0")


class Course:
    """How many bits there should be at each step of a training, and the price that leads there.

    Its state is in a buffer of the model while that trains, so that a resumed training has it.
    `remove_course` removes it.

    `tensors`: how many tensors the goal counts.
    `steps`: of the training.
    `rise`: the share of the steps over which the bits go to the goal, 0 to 1.
    """

    def __init__(
        self, goal: Toward, tensors: int, steps: int, rise: float, model: nn.Module
    ) -> None:
        self.goal = max(goal.bytes - _TENSOR_BYTES * tensors, goal.bytes / 4) * 8
        self.steps, self.rise = max(steps, 1), rise
        before = model._buffers.get(_BUFFER)
        price = _FIRST if before is None else float(before[0])
        # The price without and with the proportional term, the bits at the start, the last step.
        self.known: Tensor = torch.tensor([price, price, 0.0, 0.0], dtype=torch.float64)
        model.register_buffer(_BUFFER, self.known)

    @property
    def price(self) -> float:
        """The price per bit, now."""
        return float(self.known[1])

    def steer(self, step: int, bits: float) -> None:
        """Set the price from this step on, given the bits that the weights take now."""
        price, _, first, last = self.known.tolist()
        first = first or max(bits, 1.0)
        progress = min(1.0, step / (self.rise * self.steps)) if self.rise > 0 else 1.0
        target = math.exp(math.log(first) * (1 - progress) + math.log(self.goal) * progress)
        distance = max(-_FURTHEST, min(_FURTHEST, math.log(max(bits, 1.0) / target)))
        price = min(
            max(price * math.exp(INTEGRAL * distance * (step - last) / self.steps), _LEAST), _MOST
        )
        self.known.copy_(
            torch.tensor(
                [price, price * math.exp(PROPORTIONAL * distance), first, float(step)],
                dtype=torch.float64,
            )
        )


def remove_course(model: nn.Module) -> None:
    """Remove the state of a course from a model."""
    model._buffers.pop(_BUFFER, None)
