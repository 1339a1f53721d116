"""Discriminators of pairs: networks that tell real pairs from made ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor, nn
from torch.nn import functional


class Judge(Protocol):
    """A kind of discriminator, as a value that makes one."""

    def made(self) -> nn.Module:
        """An untrained network: sources and targets with N rows to N logits that pairs are real."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class SequenceJudge:
    """For pairs of id sequences: convolutions over each side, and a dense layer over both.

    Source: Wu et al. 2017, section 3.2.
    Differs: each side has convolutions of its own instead of a grid of all pairs of words.

    `ids`: how many there are.
    `width`: of an id's vector and of a convolution.
    """

    ids: int
    width: int = 64

    def made(self) -> nn.Module:
        """The network, with random weights."""
        return _Sequences(self.ids, self.width)


@final
@dataclass(frozen=True, kw_only=True)
class DenseJudge:
    """For pairs of arrays or classes: a hidden layer over both sides.

    `source`, `target`: how many numbers an example of the side has; of classes, how many classes.
    `width`: of the hidden layer.
    """

    source: int
    target: int
    width: int = 32

    def made(self) -> nn.Module:
        """The network, with random weights."""
        return _Dense(self.source, self.target, self.width)


class _Sequences(nn.Module):
    def __init__(self, ids: int, width: int) -> None:
        super().__init__()
        self.ids = nn.Embedding(ids, width)
        self.sides = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(2))
        self.last = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits N."""
        seen = [
            side(self.ids(rows).transpose(1, 2)).relu().amax(2)
            for side, rows in zip(self.sides, (source, target), strict=True)
        ]
        return self.last(torch.cat(seen, 1)).squeeze(1)


class _Dense(nn.Module):
    def __init__(self, source: int, target: int, width: int) -> None:
        super().__init__()
        self.sizes = source, target
        self.layers = nn.Sequential(
            nn.Linear(source + target, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits N."""
        seen = [
            functional.one_hot(rows, size).float() if rows.ndim == 1 else rows.flatten(1)
            for rows, size in zip((source, target), self.sizes, strict=True)
        ]
        return self.layers(torch.cat(seen, 1)).squeeze(1)
