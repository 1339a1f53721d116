"""What a pruned network keeps when it is taught by what its outputs are, beside what it kept when
all were taken for logits of classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import ClassLogits, Own, score, seeded
from shoestring.core.kinds import Kinds, outputs_of
from shoestring.kit import AdamW, Supervised, Training, train
from shoestring.prune import Magnitude


def as_classes(ours: Any, theirs: Any) -> Tensor:
    """The distance that was taken before kinds were told apart."""
    pairs = zip(outputs_of(ours).values(), outputs_of(theirs).values(), strict=True)
    return torch.stack([ClassLogits(-1).apart(one, other, 3.0) for one, other in pairs]).sum()


class Head(nn.Module):
    """Features N×10 to class logits N×4 and boxes N×4 within a picture of 1×1."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.classes, self.boxes = nn.Linear(64, 4), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(x)
        return self.classes(features), self.boxes(features)


def regressor() -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)
    )


def drawn(examples: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features N×10, a class and four numbers of each, by a fixed random network."""
    with seeded(0), torch.no_grad():
        world = nn.Sequential(nn.Linear(10, 24), nn.Tanh(), nn.Linear(24, 8))
        for parameter in world.parameters():
            nn.init.normal_(parameter, std=0.6)
        torch.manual_seed(seed)
        x = torch.randn(examples, 10)
        hidden = world(x)
    return x, hidden[:, :4].argmax(1), hidden[:, 4:]


def regression(kinds: Kinds = None) -> Supervised:
    """Numbers around 100; the score is minus the squared error in units of 30."""

    def split(examples: int, seed: int) -> tuple[Tensor, Tensor]:
        x, _, numbers = drawn(examples, seed)
        return x, 100 + 30 * numbers

    return Supervised(
        train=split(400, 1),
        validation=split(500, 2),
        test=split(50, 3),
        kinds=kinds,
        criterion=lambda out, y: functional.mse_loss((out - 100) / 30, (y - 100) / 30),
        merit=lambda out, y: -((out - y) ** 2).mean(-1) / 900,
    )


def detection(kinds: Kinds = None) -> Supervised:
    """A class and a box; right where the class is and no side is 0.2 off."""

    def split(examples: int, seed: int) -> tuple[Tensor, Tensor]:
        x, classes, numbers = drawn(examples, seed)
        return x, torch.cat([classes[:, None].float(), 0.5 + 0.15 * numbers], 1)

    return Supervised(
        train=split(400, 1),
        validation=split(500, 2),
        test=split(50, 3),
        kinds=kinds,
        criterion=lambda out, y: (
            functional.cross_entropy(out[0], y[:, 0].long())
            + functional.smooth_l1_loss(out[1], y[:, 1:])
        ),
        merit=lambda out, y: (
            (out[0].argmax(-1) == y[:, 0]) & (abs(out[1] - y[:, 1:]).max(-1) < 0.2)
        ).astype(float),
    )


@pytest.mark.parametrize(
    ("task", "network", "gained"),
    [(regression, regressor, 3.0), (detection, Head, 0.03)],
    ids=["regression", "detector's head"],
)
def test_a_pruned_network_keeps_more(
    task: Callable[..., Supervised], network: Callable[[], nn.Module], gained: float
):
    with seeded(0):
        model = train(network(), task().sealed(), Training(600, AdamW(3e-3)))
        pruned = Magnitude(density=0.15, training=Training(150, AdamW(3e-3)))
        by_kind, before = (
            score(task(), pruned(model, task(kinds))) for kinds in (None, Own(as_classes))
        )
    assert by_kind > before + gained
