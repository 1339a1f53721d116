"""Π-model: two changes of an example are to get one answer."""

from __future__ import annotations

import pytest
import torch
from half_moons import CHANGES, moons, network

from shoestring.core import seeded
from shoestring.kit import AdamW, Training
from shoestring.unlabelled import PiModel
from shoestring.unlabelled.material import material


def apart(weight: float) -> float:
    """How far the answers to two changes are after a training with this weight."""
    task, model = moons().sealed(), network()
    technique = PiModel(training=Training(150, AdamW(1e-2)), weight=weight, **CHANGES)
    given = material(model, task, technique.weak, technique.strong)
    with seeded(1), torch.no_grad():
        with torch.enable_grad():
            made = technique.learnt(model, given, model)
        (points,) = given.inputs
        first, second = (made(CHANGES["strong"](points)).softmax(1) for _ in range(2))
        return float((first - second).square().sum(1).mean())


def test_answers_are_nearer_to_each_other():
    assert apart(20.0) < 0.7 * apart(0.0)


def test_settings_out_of_range():
    with pytest.raises(ValueError, match=r"the rise is -0\.1"):
        PiModel(rise=-0.1)
