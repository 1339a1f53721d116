"""The U-Net: shapes, parameters, what it refuses, and its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Supervised, Training, save, train
from shoestring.models import UNet


def test_shapes_and_parameters():
    model = UNet(2)
    count = sum(one.numel() for one in model.parameters())
    assert f"{count:,} parameters" in (UNet.__doc__ or "")
    assert model(torch.rand(2, 1, 24, 40)).shape == (2, 2, 24, 40)
    assert UNet(5, 4, depth=1, channels=3)(torch.rand(1, 3, 6, 2)).shape == (1, 5, 6, 2)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        UNet(2)(torch.rand(1, 1, 24, 20))
    with pytest.raises(ValueError, match="classes=1: give 2 or more"):
        UNet(1)
    with pytest.raises(ValueError, match="depth"):
        UNet(2, depth=0)


def edges(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures of a noisy disc, and a mask of its rim: a pixel of it needs what is around it."""
    random = torch.Generator().manual_seed(seed)
    away = torch.arange(16.0)
    centres = 6 + 4 * torch.rand(count, 2, generator=random)
    distance = ((away[:, None] - centres[:, 0, None, None]).square()
                + (away - centres[:, 1, None, None]).square()).sqrt()  # fmt: skip
    noise = 0.1 * torch.randn(count, 1, 16, 16, generator=random)
    return (distance < 4).float()[:, None] + noise, ((distance - 4).abs() < 1).long()


@pytest.mark.slow
def test_it_learns_and_its_file_answers_the_same(tmp_path: Path):
    task = Supervised(
        train=edges(24, 0),
        validation=edges(8, 1),
        test=edges(8, 2),
        batch_size=8,
        merit=lambda outputs, targets: (outputs.argmax(1) == targets).mean((1, 2)),
    )
    with seeded(0):
        model = train(UNet(2, 4, depth=2), task, Training(120, AdamW(1e-2)))
    assert score(task, model) > 0.9
    save(model, task, tmp_path / "rim.shoe")
    assert score(task, load(tmp_path / "rim.shoe")) == pytest.approx(score(task, model), abs=1e-3)
