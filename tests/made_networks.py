"""A small space of networks for tests of searches: layers on points of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from shoestring.kit import Supervised
from shoestring.search import Architecture, Decision, Space


@dataclass(frozen=True)
class DenseNetwork(Architecture):
    """From points N×2 to logits N×2; `depth` layers of a `width`, with an activation."""

    width: int
    depth: int
    activation: str

    def code(self) -> str:
        """A class whose layers are a Sequential."""
        widths = [2] + [self.width] * self.depth
        layers = "".join(
            f"            nn.Linear({before}, {after}),\n            nn.{self.activation}(),\n"
            for before, after in pairwise(widths)
        )
        return (
            "from torch import nn\n\n\nclass Network(nn.Module):\n    def __init__(self):\n"
            "        super().__init__()\n        self.layers = nn.Sequential(\n"
            f"{layers}            nn.Linear({widths[-1]}, 2),\n        )\n\n"
            "    def forward(self, points):\n        return self.layers(points)\n"
        )


@dataclass(frozen=True)
class Dense(Space):
    """Networks of layers."""

    widths: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    depths: tuple[int, ...] = (0, 1, 2)
    activations: tuple[str, ...] = ("ReLU", "Tanh")

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The width, the depth and the activation."""
        return (
            Decision("width", self.widths),
            Decision("depth", self.depths),
            Decision("activation", self.activations),
        )

    def made(self, picks: Sequence[int]) -> DenseNetwork:
        """The network of these picks."""
        width, depth, activation = self.checked(picks)
        return DenseNetwork(self.widths[width], self.depths[depth], self.activations[activation])


def rings(count: int = 400, seed: int = 0) -> Supervised:
    """Points N×2 within a ring or outside, which no linear network tells apart."""
    draw = torch.Generator().manual_seed(seed)

    def split(many: int) -> tuple[Tensor, Tensor]:
        points = torch.randn(many, 2, generator=draw)
        return points, (points.norm(dim=1) > 1.2).long()

    parts = [split(count) for _ in range(3)]
    return Supervised(
        train=parts[0], validation=parts[1], test=parts[2], name="rings", batch_size=64
    )


def parameters(network: nn.Module) -> int:
    """How many numbers a network has."""
    return sum(one.numel() for one in network.parameters())
