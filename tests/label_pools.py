"""Small pools for the tests of what chooses labels, and slow references that are plain to read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import Supervised


class Echo(nn.Module):
    """Logits that are the inputs: what a model says of an example is written in the example."""

    def __init__(self, size: int, classes: int | None = None) -> None:
        super().__init__()
        self.last = nn.Linear(size, classes or size, bias=False)
        nn.init.eye_(self.last.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(inputs)


def pool_of(inputs: Tensor, *, known: int = 0, classes: int = 3, **settings: Any) -> Supervised:
    """A task whose pool has these inputs, N×…; the first `known` of them have a label too."""
    labels = torch.arange(len(inputs)) % classes
    return Supervised(
        train=(inputs[:known], labels[:known]),
        validation=(inputs[:4], labels[:4]),
        test=(inputs[:4], labels[:4]),
        unlabelled=inputs,
        answer=labels,
        **settings,
    )


def probabilities(*rows: tuple[float, ...]) -> Tensor:
    """Inputs of `Echo` at which it says these probabilities."""
    return torch.tensor(rows).log()


def random_pool(count: int, size: int = 3, *, seed: int = 0, **settings: Any) -> Supervised:
    """Inputs N×size that are drawn by a seed."""
    with seeded(seed):
        return pool_of(2 * torch.randn(count, size), classes=size, **settings)
