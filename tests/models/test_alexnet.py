"""AlexNet for small images: its layers, its sizes, and images that are too small for it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.models import AlexNet
from shoestring.models.normalised import Normalised


def test_parameters_by_hand():
    with torch.device("meta"):
        model = AlexNet()
    count = sum(p.numel() for p in model.parameters())
    assert f"{count:,} parameters" in " ".join((AlexNet.__doc__ or "").split())
    dense = 1024 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 10 + 10
    widths = [(3, 64, 25), (64, 192, 25), (192, 384, 9), (384, 256, 9), (256, 256, 9)]
    assert count == dense + sum(c * made * area + made for c, made, area in widths)


def test_five_convolutions_three_pools_and_two_dropouts():
    model = AlexNet(4, 8)
    count = lambda kind: sum(isinstance(part, kind) for part in model.modules())  # noqa: E731
    assert [count(kind) for kind in (nn.Conv2d, nn.MaxPool2d, nn.Linear, nn.Dropout)] == [
        5,
        3,
        3,
        2,
    ]


@pytest.mark.parametrize(("side", "stride"), [(32, 2), (32, 1), (16, 2), (8, 1), (37, 2), (64, 4)])
def test_shapes(side: int, stride: int):
    with seeded(0):
        model = AlexNet(
            4, 8, 3, side=side, stride=stride, normalise=Normalised((0.5,), (0.25,))
        ).eval()
        images = torch.rand(2, 1, side, side)
    logits = model(images)
    assert logits.shape == (2, 3)
    torch.testing.assert_close(model(images[:1]), logits[:1], rtol=1e-4, atol=1e-5)


def test_sizes_that_do_not_fit():
    for wrong, said in (
        (lambda: AlexNet(side=15), r"side=15, stride=2.*side=16 or more, or stride=1"),
        (lambda: AlexNet(side=7), r"side=7, stride=2.*side=16 or more$"),
        (lambda: AlexNet(width=0), r"width=0"),
        (lambda: AlexNet(stride=0), r"stride=0"),
        (lambda: AlexNet(dropout=1), r"dropout=1"),
        (lambda: AlexNet(4, 8)(torch.rand(1, 3, 64, 64)), r"64×64 pixels.*AlexNet\(side=64"),
        (lambda: AlexNet(4, 8)(torch.rand(1, 3, 8, 32)), r"8×32 pixels: this .* of 16 pixels"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()
