"""What each class looks like: a normal distribution of each number, for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Portraits(nn.Module):
    """A mean and the logarithm of a deviation of every number of an example, for each class.

    The simplest generator of examples by their class: numbers are independent, as in naive Bayes.
    Classes N (int64) to means and logarithms of deviations, each N×shape.

    `classes`: how many there are.
    `shape`: of an example, such as (1, 28, 28).
    `mean`, `deviation`: where the training begins.
    """

    def __init__(
        self,
        classes: int,
        shape: tuple[int, ...],
        *,
        mean: float = 0.3,
        deviation: float = 0.22,
    ) -> None:
        super().__init__()
        start = torch.tensor(deviation).log().item()
        self.mean = nn.Parameter(torch.full((classes, *shape), mean))
        self.logarithm = nn.Parameter(torch.full((classes, *shape), start))

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Means and logarithms of deviations."""
        return self.mean[labels], self.logarithm[labels]
