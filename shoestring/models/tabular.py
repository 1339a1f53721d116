"""A small network for tables of categories and numbers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TabularNet(nn.Module):
    """Embedded categories and standardized numbers, then 128 → 64 → classes with ReLU.

    Source: Guo & Berkhahn 2016. Ids N×C and raw numbers N×D to logits N×classes; the
    standardization is inside. One embedding table serves all columns.

    `sizes`: the number of ids of each column of categories.
    `mean`, `deviation`: of each column of numbers, in training.
    `classes`: the number of classes.
    `width`: the length of a category's vector.
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
