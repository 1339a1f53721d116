"""The recipe of cheaper convolutions, on a few images that are made here."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shoestring import load
from shoestring.core import seeded
from shoestring.kit import Supervised, Training
from shoestring.models import ResNet20
from shoestring.prune import CheapConvolutions, DepthwiseSeparable
from shoestring.recipes import converted_resnet
from shoestring.recipes.running import SmallerFile


@pytest.mark.slow
def test_a_resnet_with_cheaper_convolutions(tmp_path: Path):
    with seeded(0):
        model = ResNet20(8)
        images, classes = torch.rand(40, 3, 16, 16), torch.randint(0, 10, (40,))
    data = images, classes
    task = Supervised(train=data, validation=data, test=data, batch_size=20)
    said: list[SmallerFile] = []
    converted = converted_resnet(
        model, task, tmp_path / "a.shoe", passes=1, share=0.4, say=said.append
    )
    assert said == [converted] and converted.bytes == (tmp_path / "a.shoe").stat().st_size
    technique = CheapConvolutions(
        share=0.9, kinds=(DepthwiseSeparable(),), training=Training(1), batches=1
    )
    other = converted_resnet(model, task, tmp_path / "b.shoe", technique=technique)
    assert converted.operations < 0.6 * other.operations
    assert load(tmp_path / "a.shoe")(images.numpy()).shape == (40, 10)
