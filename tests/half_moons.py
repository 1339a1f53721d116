"""Two half moons with few labels, on which learning from what has none helps."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import make_moons
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training

TRAINING = Training(150, AdamW(1e-2))


def jiggled(points: Tensor) -> Tensor:
    return points + 0.05 * torch.randn_like(points)


def shaken(points: Tensor) -> Tensor:
    return points + 0.2 * torch.randn_like(points)


CHANGES: dict[str, Any] = {"weak": jiggled, "strong": shaken}


def moons(labels: int = 12, free: int = 300, seed: int = 0) -> Supervised:
    """Points of two moons: the first `labels` have one, as many of each class."""
    points, classes = make_moons(labels + free + 400, noise=0.12, random_state=seed)
    x, y = torch.tensor(points, dtype=torch.float32), torch.tensor(classes)
    given = torch.cat([(y == one).nonzero().flatten()[: labels // 2] for one in (0, 1)])
    rest = torch.tensor(sorted(set(range(len(y))) - set(given.tolist())))
    free_rows, held, kept = rest[:free], rest[free : free + 200], rest[free + 200 :]
    return Supervised(
        train=(x[given], y[given]),
        unlabelled=x[free_rows],
        validation=(x[held], y[held]),
        test=(x[kept], y[kept]),
        batch_size=32,
        name="moons",
    )


def network() -> nn.Module:
    with seeded(0):
        return nn.Sequential(
            nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)
        )
