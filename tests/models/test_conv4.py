"""The network of the papers on few examples: its shapes, its size, and its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring import kit
from shoestring.artifact import load
from shoestring.kit import Supervised
from shoestring.models import Conv4


def test_embeddings_and_logits_have_the_shapes_that_it_says():
    pictures = torch.rand(3, 1, 28, 28)
    assert Conv4()(pictures).shape == (3, 64) and Conv4(classes=7)(pictures).shape == (3, 7)
    colour = Conv4(channels=3, width=8, side=84)
    assert colour(torch.rand(2, 3, 84, 84)).shape == (2, colour.features) == (2, 200)
    weights = sum(p.numel() for p in Conv4().parameters())
    assert weights == 9 * 64 + 3 * 9 * 64 * 64 + 4 * 64 + 4 * 2 * 64 == 111_936


def test_its_file_answers_as_it_does(tmp_path: Path):
    torch.manual_seed(0)
    split = torch.rand(8, 1, 28, 28), torch.arange(8) % 2
    task = Supervised(train=split, validation=split)
    model = Conv4(width=8, classes=2).eval().to(memory_format=torch.channels_last)
    kit.save(model, task, tmp_path / "conv4.shoe")
    with torch.no_grad():
        expected = model(split[0]).numpy()
    assert load(tmp_path / "conv4.shoe")(split[0]) == pytest.approx(expected, abs=1e-4)


def test_small_pictures_are_refused():
    with pytest.raises(ValueError, match="pictures of 8×8: four halvings need 16×16"):
        Conv4(side=8)
