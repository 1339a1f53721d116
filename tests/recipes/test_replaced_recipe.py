"""The recipe of a new network in a trained one's place, on a handful of random images."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring.core import Ledger, seeded
from shoestring.kit import Supervised, load_into, save
from shoestring.models import ResNet20, VGGFamily
from shoestring.recipes import replaced_resnet
from shoestring.recipes.replaced import COLOURS


@pytest.mark.slow
def test_a_file_that_loads_into_what_the_family_makes(tmp_path: Path):
    with seeded(0):
        splits = [(torch.rand(16, 3, 32, 32), torch.randint(0, 10, (16,))) for _ in range(3)]
        model = ResNet20(8)
    task = Supervised(
        train=splits[0], validation=splits[1], test=splits[2], batch_size=8, name="random"
    )
    original, path, ledger = (
        tmp_path / "original.shoe",
        tmp_path / "new.shoe",
        Ledger(tmp_path / "l"),
    )
    save(model, task, original)
    new = replaced_resnet(model, task, path, original, width=0.125, passes=1.5, ledger=ledger)
    assert [row.kind for row in ledger.rows()] == ["apply", "prove"]
    assert new.bytes == path.stat().st_size < original.stat().st_size and new.share > 0
    made = load_into(path, VGGFamily(images=COLOURS)(0.125))
    assert sum(weight.numel() for weight in made.parameters()) < 25_000
