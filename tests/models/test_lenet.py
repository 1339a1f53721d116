"""The LeNets: how many parameters, what shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.models import DigitsLeNet, LeNet5, LeNet300


@pytest.mark.parametrize(
    ("make", "side", "parameters"),
    [
        (LeNet300, 28, 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10),
        (LeNet5, 28, 25 * 20 + 20 + 25 * 20 * 50 + 50 + 800 * 500 + 500 + 500 * 10 + 10),
        (DigitsLeNet, 8, 9 * 32 + 32 + 9 * 32 * 64 + 64 + 256 * 128 + 128 + 128 * 10 + 10),
    ],
)
def test_parameters_and_shapes(make: type[nn.Module], side: int, parameters: int):
    assert parameters in (266_610, 431_080, 53_002)
    assert f"{parameters:,} parameters" in (make.__doc__ or "")
    with seeded(0):
        model = make()
        images = torch.rand(3, 1, side, side)
    assert sum(p.numel() for p in model.parameters()) == parameters and not list(model.buffers())
    logits = model(images)
    assert logits.shape == (3, 10) and logits.dtype == torch.float32
    torch.testing.assert_close(model(images[:1]), logits[:1])
    logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_same_seed_same_weights():
    for make in (LeNet300, LeNet5, DigitsLeNet):
        with seeded(3):
            first = make()
        with seeded(3):
            second = make()
        assert all(
            torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)
        )
