"""The recipe of thin networks, on a handful of random images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring import meters
from shoestring.core import Ledger, seeded
from shoestring.kit import Ramp, Supervised, Training, restore
from shoestring.models import ResNet20
from shoestring.prune import Channels, Norm
from shoestring.recipes import channels_resnet


def images() -> Supervised:
    with seeded(0):
        splits = [(torch.rand(16, 3, 32, 32), torch.randint(0, 10, (16,))) for _ in range(3)]
    return Supervised(
        train=splits[0], validation=splits[1], test=splits[2], batch_size=8, name="random"
    )


@pytest.mark.slow
def test_a_file_with_half_the_operations_goes_back_into_the_class(tmp_path: Path):
    with seeded(0):
        model, task = ResNet20(8), images()
    technique = Channels(
        share=0.5, importance=Norm(), multiple=2, training=Training(4), ramp=Ramp(0.3, rounds=2)
    )
    ledger = Ledger(tmp_path / "ledger.sqlite")
    thin = channels_resnet(model, task, tmp_path / "thin.shoe", technique=technique, ledger=ledger)
    assert [row.kind for row in ledger.rows()] == ["apply", "prove"]
    full = meters.Operations()(model, task).operations
    assert full is not None and 0.3 * full < thin.operations <= 0.5 * full
    assert thin.bytes == (tmp_path / "thin.shoe").stat().st_size
    back = restore(tmp_path / "thin.shoe", ResNet20(8))
    assert meters.Operations()(back, task).operations == thin.operations
    again = channels_resnet(model, task, tmp_path / "thin.shoe", technique=technique)
    assert again == thin  # from the trainings that were kept
