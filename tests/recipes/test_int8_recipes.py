"""The recipes of whole numbers, on a few images and sentences.

What they return is what the file does, and they go on.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

from shoestring.artifact import load, read
from shoestring.artifact.format.tensors import ELEMENTS
from shoestring.core import score, seeded
from shoestring.kit import Supervised
from shoestring.models import ResNet20, TextEncoder
from shoestring.recipes import int8_resnet, int8_transformer


def pictures(examples: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(examples, 3, 32, 32), torch.randint(0, 10, (examples,))


@pytest.mark.slow
def test_a_small_resnet(tmp_path):
    with seeded(0):
        task = Supervised(
            train=pictures(32), validation=pictures(40), test=pictures(20), batch_size=16
        )
        model = ResNet20(8).eval()
    found = int8_resnet(model, task, tmp_path / "a.shoe", share=0.8, passes=1, drop=0.5)
    assert found.bytes == (tmp_path / "a.shoe").stat().st_size and found.kept == ()
    assert found.before == score(task, model) and found.file == score(
        task, load(tmp_path / "a.shoe")
    )
    assert abs(found.file - found.module) <= 1 / 40
    kinds = {
        ELEMENTS[one.element][0]
        for one in read(tmp_path / "a.shoe").tensors
        if one.bits.ndim == 4 and one.bits.size > 3
    }
    assert kinds == {"int8"}
    again = int8_resnet(model, task, tmp_path / "a.shoe", share=0.8, passes=1, drop=0.5)
    assert again == found


@pytest.mark.slow
def test_a_small_transformer(tmp_path):
    with seeded(0):
        ids = torch.randint(1, 20, (32, 6))
        split = (ids, ids[:, 0] % 2)
        task = Supervised(train=split, validation=split, test=split, batch_size=16, axes={1: "T"})
        model = TextEncoder(20, width=32, layers=2, heads=2, hidden=32, length=8).eval()
    found = int8_transformer(model, task, tmp_path / "a.shoe", share=0.5, passes=1, drop=0.6)
    assert abs(found.file - found.module) <= 1 / 32
    shapes = [
        one.bits.shape
        for one in read(tmp_path / "a.shoe").tensors
        if ELEMENTS[one.element][0] == "int8"
    ]
    assert (
        len([one for one in shapes if len(one) == 2]) == 7
    )  # six matrices of the layer that is left, and the last


@pytest.mark.slow
def test_a_network_that_is_hurt_by_the_loss_of_its_blocks(tmp_path, monkeypatch):
    recipe = sys.modules[int8_resnet.__module__]
    few = recipe.fallback
    monkeypatch.setattr(
        recipe, "fallback", lambda *args, most, **rest: few(*args, most=2, **rest)
    )  # of which nothing is asked here
    with seeded(0):
        model, (images, _) = ResNet20(8).eval(), pictures(20)
        with torch.no_grad():
            split = (images, model(images))  # what it says itself
        near = {
            "criterion": mse_loss,
            "merit": lambda outputs, targets: -np.abs(outputs - targets).mean(1),
        }
        task = Supervised(train=split, validation=split, test=split, batch_size=20, **near)
    with pytest.warns(UserWarning) as told:  # of other things too
        int8_resnet(model, task, tmp_path / "a.shoe", share=0.8, passes=1, drop=0.0)
    assert any(
        "before any rounding, and 0 may be lost: give more passes" in str(one.message)
        for one in told
    )


@pytest.mark.parametrize("wrong", [float("nan"), -0.1])
def test_a_drop_that_is_none(tmp_path, wrong):
    with seeded(0):
        task = Supervised(train=pictures(8), validation=pictures(8), test=pictures(8), batch_size=8)
    with pytest.raises(ValueError, match="drop"):
        int8_resnet(ResNet20(8).eval(), replace(task), tmp_path / "a.shoe", share=1.0, drop=wrong)
