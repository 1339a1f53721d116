"""The recipe of cheap convolutions with little training: its two files, and going on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shoestring import meters
from shoestring.artifact import load
from shoestring.core import Ledger, seeded
from shoestring.kit import Supervised
from shoestring.models import AlexNet, ShuffleNetV2
from shoestring.recipes import cheap_convolutions
from shoestring.recipes.shufflenets import SETTINGS, int8, times


def bright() -> Supervised:
    """Sixty-four images whose label is in their brightness."""
    with seeded(0):
        labels = torch.arange(64) % 10
        images = (labels.view(-1, 1, 1, 1) / 10) + 0.02 * torch.rand(64, 3, 32, 32)
    splits = dict.fromkeys(("train", "validation", "test"), (images, labels))
    return Supervised(**splits, name="bright")


def test_where_the_int8_file_stands():
    assert int8(Path("a/b.shoe")) == Path("a/b_int8.shoe")


@pytest.mark.slow
def test_two_files_and_how_fast_they_are(tmp_path: Path):
    task, path = bright(), tmp_path / "a.shoe"
    settings = replace(SETTINGS[ShuffleNetV2], passes=15, batch_size=16, augment=None)

    def made() -> ShuffleNetV2:
        with seeded(0):
            return ShuffleNetV2(8, features=16, repeats=(2, 1, 1))

    ledger = Ledger(tmp_path / "ledger.sqlite")
    result = cheap_convolutions(made(), task, path, settings=settings, ledger=ledger)
    assert [row.kind for row in ledger.rows()] == ["apply", "prove", "prove"]
    assert result.bytes == (path.stat().st_size, int8(path).stat().st_size)
    assert result.bytes[1] < result.bytes[0]
    assert result.operations == meters.Operations()(path, task).operations
    assert result.test == tuple(task.score(load(one), "test") for one in (path, int8(path)))
    assert result.test[0] > 0.3
    assert cheap_convolutions(made(), task, path, settings=settings) == result  # nothing is trained

    with seeded(0):
        wide = AlexNet(32, 2048)
    meters_file = tmp_path / "wide.shoe"
    cheap_convolutions(
        wide, task, meters_file, settings=replace(SETTINGS[AlexNet], passes=0, augment=None)
    )
    itself, other = times([meters_file, path], task, 1, 0.5)
    assert itself.median == 1 and other.median > 0
