"""A game, and a network that has learned it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring import kit
from shoestring.core import seeded
from shoestring.kit import AdamW, Training

from .games import Nim, network


@pytest.fixture
def nim() -> Nim:
    """The game; `test_reads` grows by one each time the test split is asked for."""
    return Nim(test_reads=[])


@pytest.fixture(scope="session")
def beginner() -> nn.Module:
    """A network that knows nothing."""
    with seeded(0):
        return network()


@pytest.fixture(scope="session")
def expert(beginner: nn.Module) -> nn.Module:
    """The beginner after 150 batches of play against itself."""
    with seeded(0):
        model = kit.train(kit.clone(beginner), Nim(), Training(150, AdamW(1e-2)))
    assert isinstance(model, nn.Module) and all(torch.isfinite(p).all() for p in model.parameters())
    return model
