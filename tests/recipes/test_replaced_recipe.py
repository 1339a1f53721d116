"""The recipe of a new network in a trained one's place, on a handful of random texts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring.core import Ledger, seeded
from shoestring.distill import SoftTargets
from shoestring.kit import Supervised, load_into, save
from shoestring.models import NgramFamily, TextEncoder, Texts
from shoestring.recipes import replaced_encoder


@pytest.mark.slow
@pytest.mark.parametrize("weight", [0.0, 0.9])
def test_a_file_that_loads_into_what_the_family_makes(tmp_path: Path, weight: float):
    with seeded(0):
        splits = [(torch.randint(0, 30, (16, 6)), torch.randint(0, 2, (16,))) for _ in range(3)]
        model = TextEncoder(30, width=8, layers=1, heads=2, hidden=8)
    task = Supervised(
        train=splits[0], validation=splits[1], test=splits[2], batch_size=8, name="random"
    )
    original, path = tmp_path / "original.shoe", tmp_path / "new.shoe"
    ledger, family = Ledger(tmp_path / "ledger.sqlite"), NgramFamily(texts=Texts(ids=30, classes=2))
    save(model, task, original)
    new = replaced_encoder(
        model,
        task,
        path,
        original,
        family=family,
        width=0.25,
        steps=3,
        targets=SoftTargets(weight),
        ledger=ledger,
    )
    assert [row.kind for row in ledger.rows()] == ["apply", "prove"]
    assert new.bytes == path.stat().st_size and new.share > 0
    assert load_into(path, family(0.25)).ids.weight.shape == (30, 8)  # type: ignore[union-attr]
