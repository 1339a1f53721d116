"""ResNet-20 and the small VGG: how many parameters, what shapes, and the normalisation inside."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.models import ResNet20, SmallVGG
from shoestring.models.normalised import Normalised


@pytest.mark.parametrize("make", [ResNet20, SmallVGG])
def test_parameters_and_shapes(make: type[nn.Module]):
    with seeded(0):
        model = make()
        images = torch.rand(3, 3, 32, 32)
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in " ".join(
        (make.__doc__ or "").split()
    )
    model.eval()
    logits = model(images)
    assert logits.shape == (3, 10)
    torch.testing.assert_close(model(images[:1]), logits[:1], rtol=1e-4, atol=1e-5)
    model.train()(images).sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_layers_of_the_paper():
    layers = [part for part in ResNet20().modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    assert len(layers) == 20
    assert sum(p.numel() for p in ResNet20(width=64).parameters()) == pytest.approx(
        16 * 269_722, rel=0.01
    )


def test_normalised_by_hand():
    normalise = Normalised((0.5,), (0.25,))
    assert normalise(torch.tensor([[[[0.5, 1.0, 0.0]]]])).flatten().tolist() == [0, 2, -2]
