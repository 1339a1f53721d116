"""Gradients in one bit a number: signs, and the mean of each sign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shoestring.parallel.exchange.protocols import GradientCoder, WorkerGroup
from shoestring.parallel.exchange.shapes import (
    Shapes,
    bytes_of,
    checked,
    mean_of_decoded,
    numbers,
)


@dataclass(frozen=True)
class OneBit:
    """Of each number its sign is sent, and of each tensor the mean of either sign: 1 bit a number.

    What a sign leaves out is fed back: it is added to the next gradient.

    Source: Seide et al. 2014, "1-bit stochastic gradient descent"; Zheng, Huang & Kwok
    2019 (dist-EF-SGD with momentum) for the workers' momentum.
    Differs: the two means are those of a tensor, where the first source has those of each column;
    momentum is not Nesterov's, and what a server sends back is in single precision.

    `momentum`: the share of a worker's last step that stays in each step, 0 or more and below 1.
        Signs are then those of the worker's mean gradient. The optimizer should have none if
        workers do.

    Raises ValueError for a momentum out of range.
    """

    momentum: float = 0.0

    def __post_init__(self) -> None:
        check_momentum(self.momentum)

    def coder(self, gradients: Sequence[Tensor]) -> GradientCoder:
        """A coder for one worker."""
        return _OneBit(Shapes.of(gradients), self.momentum)


def check_momentum(momentum: float) -> None:
    """Raise ValueError for a share out of range."""
    if not 0 <= momentum < 1:
        raise ValueError(f"a momentum of {momentum!r}: give a share, 0 or more and below 1")


class _OneBit:
    """The mean of the numbers of 0 and above, and of those below, of each tensor; then bits."""

    def __init__(self, shapes: Shapes, momentum: float) -> None:
        self.shapes, self.momentum = shapes, momentum
        self.error = torch.zeros(shapes.total)
        self.velocity = torch.zeros(shapes.total) if momentum else None
        self.tensors = [one for one in (self.error, self.velocity) if one is not None]

    def encode(self, gradients: Sequence[Tensor]) -> Tensor:
        """The means and the signs; the error is kept."""
        vector = self.shapes.vector(gradients)
        if self.velocity is not None:
            vector = self.velocity.mul_(self.momentum).add_(vector)
        self.error += vector
        above = self.error >= 0
        means = torch.stack(
            [
                torch.stack(_means(one, mask))
                for one, mask in zip(
                    self.error.split(self.shapes.lengths),
                    above.split(self.shapes.lengths),
                    strict=True,
                )
            ]
        )
        self.error -= self._values(above, means)
        return bytes_of(means, torch.from_numpy(np.packbits(above.numpy())))

    def decode(self, sent: Tensor) -> list[Tensor]:
        """The mean that each bit stands for."""
        count, total = len(self.shapes.each), self.shapes.total
        checked(sent, 8 * count + -(-total // 8))
        bits = np.unpackbits(sent[8 * count :].numpy(), count=total)
        means = numbers(sent[: 8 * count]).view(count, 2)
        return self.shapes.split(self._values(torch.from_numpy(bits).bool(), means))

    def mean(self, gradients: Sequence[Tensor], group: WorkerGroup) -> list[Tensor]:
        """The mean of what all workers sent."""
        return mean_of_decoded(self, gradients, group)

    def _values(self, above: Tensor, means: Tensor) -> Tensor:
        """A vector of the means that signs stand for."""
        parts = above.split(self.shapes.lengths)
        return torch.cat([torch.where(one, *two) for one, two in zip(parts, means, strict=True)])


def _means(values: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of the values that are marked, and of the others; 0 of none."""
    marked = above.sum()
    high = values.clamp(min=0).sum() / marked.clamp(min=1)
    low = values.clamp(max=0).sum() / (len(values) - marked).clamp(min=1)
    return high, low
