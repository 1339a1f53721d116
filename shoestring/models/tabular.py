"""A small network for tables: categories and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TabularNet(nn.Module):
    """Vectors of the categories beside the standardised numbers, then 128 → 64 → classes with ReLU
    (Guo & Berkhahn 2016).

    `sizes`: how many ids each column of categories has.
    `mean` and `deviation`: of each column of numbers, in training.
    `width`: of a category's vector. All columns' vectors are in one table. Ids N×C and numbers N×D
        as they are to logits N×classes: the standardisation is inside.
    """

    starts: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        mean: Sequence[float],
        deviation: Sequence[float],
        *,
        classes: int = 2,
        width: int = 8,
    ) -> None:
        super().__init__()
        self.register_buffer(
            "starts", torch.tensor([sum(sizes[:column]) for column in range(len(sizes))])
        )
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("deviation", torch.tensor(deviation))
        self.categories = nn.Embedding(sum(sizes), width)
        self.layers = nn.Sequential(
            nn.Linear(len(sizes) * width + len(mean), 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, classes),
        )

    def forward(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """Logits N×classes."""
        vectors = self.categories(ids + self.starts).flatten(1)
        return self.layers(torch.cat([vectors, (numbers - self.mean) / self.deviation], 1))
