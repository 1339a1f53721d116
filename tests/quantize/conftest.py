"""Puts tests/ on the path, for the zoo; a network that has been trained a little."""

import sys
from pathlib import Path

if (tests := str(Path(__file__).parents[1])) not in sys.path:
    sys.path.insert(0, tests)

import pytest
from torch import nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training, train
from shoestring.models import DigitsLeNet
from shoestring.tasks import digits


@pytest.fixture(scope="session")
def trained() -> tuple[nn.Module, Supervised]:
    """A LeNet on the digits, after 120 steps."""
    task = digits()
    with seeded(0):
        return train(DigitsLeNet(), task, Training(120, AdamW(3e-3))), task
