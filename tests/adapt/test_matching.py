"""Attention over few examples by hand, and beside prototypes on the digits."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.adapt import ByAttention, Matching, ModelOutputs
from shoestring.adapt.rehearsal import kept_examples
from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import Supervised, save
from shoestring.tasks import digits


def test_attention_as_computed_by_hand():
    split = torch.tensor([[3.0, 0.0], [0.0, 0.5], [0.0, 9.0]]), torch.tensor([0, 1, 1])
    task = Supervised(train=split, validation=split)
    made = Matching(comparison=ByAttention(2.0), features=ModelOutputs())(nn.Identity(), task)
    # The cosines of (1, 0) with the three are 1, 0 and 0.
    found = made(torch.tensor([[7.0, 0.0]])).exp()[0]
    assert found[0].item() == pytest.approx(math.exp(2) / (math.exp(2) + 2), abs=1e-6)
    assert found.sum().item() == pytest.approx(1, abs=1e-6)
    assert made(torch.zeros(1, 2)).isfinite().all()


def test_an_episode_is_compared_as_the_head_does():
    torch.manual_seed(0)
    support, queries, way = torch.randn(4, 3, 5), torch.randn(6, 5), ByAttention()
    head = way.head(support.flatten(0, 1), torch.arange(4).repeat_interleave(3), 4)
    assert torch.allclose(way.logits(support, queries), head(queries), atol=1e-5)


def test_pixels_of_digits_become_a_file(tmp_path: Path):
    with seeded(0):
        task = kept_examples(digits(), 100)
    made = Matching(comparison=ByAttention(50.0), features=ModelOutputs())(nn.Flatten(), task)
    assert score(task, made) > 0.8
    save(made, task, tmp_path / "matching.shoe")
    assert score(task, load(tmp_path / "matching.shoe")) == pytest.approx(score(task, made))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf")])
def test_a_scale_out_of_range_is_refused(scale: float):
    with pytest.raises(ValueError, match="give a number above 0"):
        ByAttention(scale)
