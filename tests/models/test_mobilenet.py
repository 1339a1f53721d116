"""The small MobileNetV2.

How many parameters, what kinds of convolution, what shapes, and that it goes into a file.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.artifact import load
from shoestring.core import seeded
from shoestring.kit import Supervised, write
from shoestring.models import MobileNet
from shoestring.models.normalised import Normalised


@pytest.fixture(scope="module")
def model() -> MobileNet:
    with seeded(0):
        return MobileNet().eval()


def test_parameters_and_shapes(model: MobileNet):
    count = sum(p.numel() for p in model.parameters())
    assert f"{count:,} parameters" in (model.__doc__ or "")
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    assert logits.shape == (3, 10)
    torch.testing.assert_close(model(images[:1]), logits[:1], rtol=1e-4, atol=1e-5)


def test_its_convolutions(model: MobileNet):
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    depthwise = [one for one in convolutions if one.groups > 1]
    # Twelve blocks, of which three halve the size with a whole convolution.
    assert len(depthwise) == 12 - 3
    assert all(
        one.groups == one.in_channels == one.out_channels and one.stride == (1, 1)
        for one in depthwise
    )
    assert sum(one.stride == (2, 2) for one in convolutions) == 3
    # Four widths, of which 32 pixels are halved three times: what is pooled is 4×4.
    assert model.blocks(model.first(torch.zeros(1, 3, 32, 32))).shape == (1, 96, 4, 4)


def test_widths():
    assert sum(p.numel() for p in MobileNet(48).parameters()) > 3.5 * 545_674
    thin = MobileNet(6, classes=3, normalise=Normalised((0.5,), (0.25,))).eval()
    assert thin(torch.zeros(1, 1, 32, 32)).shape == (1, 3)
    assert thin.blocks(thin.first(torch.zeros(1, 1, 32, 32))).shape == (1, 24, 4, 4)
    for wrong, said in (
        ({"width": 0}, "width=0"),
        ({"width": 0.5}, "width=0.5"),
        ({"classes": 0}, "classes=0"),
    ):
        with pytest.raises(ValueError, match=said):
            MobileNet(**wrong)  # pyright: ignore


@pytest.mark.slow
def test_its_file_answers_alike_at_any_number_of_images(model: MobileNet, tmp_path: Path):
    images = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    split = (images[:4], torch.arange(4))
    write(model, Supervised(train=split, validation=split, test=split), tmp_path / "m.shoe")
    file = load(tmp_path / "m.shoe")
    with torch.no_grad():
        for count in (1, 32):
            torch.testing.assert_close(
                torch.as_tensor(file(images[:count])), model(images[:count]), rtol=1e-4, atol=1e-5
            )
