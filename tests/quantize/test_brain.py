"""The upper half of each weight."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.kit import Supervised, members, train, write
from shoestring.models import DigitsLeNet
from shoestring.quantize import BFloat16
from shoestring.tasks import digits


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Supervised]:
    task = digits()
    with seeded(0):
        return train(DigitsLeNet(), task, steps=120, learning_rate=3e-3), task


def test_bfloat16_halves_the_file(trained, tmp_path):
    model, task = trained
    rounded = BFloat16()(model, task.sealed())
    assert all(torch.equal(one.value(), one.value().bfloat16().float()) for one in members(rounded))
    assert write(rounded, task, tmp_path / "a.shoe") < 0.52 * 4 * 53_002
