"""Mean teacher, and what all techniques of the room share."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import pytest
import torch
from getting import few_labels
from getting import network as digits_network
from half_moons import CHANGES, TRAINING, moons, network

from shoestring.core import Purchases, score, seeded
from shoestring.kit import AdamW, Training
from shoestring.unlabelled import (
    Distorted,
    FixMatch,
    FreeMatch,
    LayerWise,
    MeanTeacher,
    PiModel,
    PseudoLabel,
    Shifted,
    SimSiam,
)

FEW = Training(4)
ALL = [
    FixMatch,
    FreeMatch,
    partial(LayerWise, pretraining=FEW),
    MeanTeacher,
    PiModel,
    PseudoLabel,
    partial(SimSiam, pretraining=FEW),
]
DIGITS: dict[str, Any] = {
    "training": Training(150, AdamW(1e-2, 0.1)),
    "weak": Shifted(0.02),
    "strong": Distorted(turn=15, scale=0.1, shear=0.1, shift=0.1, light=0.2, covered=0),
}


@pytest.mark.parametrize(
    "technique", [MeanTeacher(weight=2, decay=0.95, **DIGITS), FixMatch(confidence=0.7, **DIGITS)]
)
def test_on_digits_it_beats_the_labels_alone(technique: Any):
    task = few_labels(60, 0)
    with seeded(0):
        tried = technique.tried(digits_network(), task.sealed())
    assert not tried.refused and tried.network is tried.learnt
    assert tried.p is not None and tried.p < 0.05
    gain = score(task, tried.learnt, "test") - score(task, tried.labels_only, "test")
    assert gain > 0.03, tried.why


@pytest.mark.parametrize("kind", ALL)
def test_it_buys_nothing_and_leaves_the_modes_as_they_were(kind: Any):
    purchases, model = Purchases(), network().eval()
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = kind(training=Training(12), **CHANGES)(model, purchases.counted(moons()).sealed())
    assert not len(purchases)
    assert not any(part.training for part in made.modules())
    assert all(one.requires_grad for one in made.parameters())


@pytest.mark.parametrize("kind", ALL)
def test_labels_fewer_than_a_batch_and_a_pool_smaller_than_one(kind: Any):
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = kind(training=Training(4), **CHANGES)(network(), moons(labels=2, free=3).sealed())
    assert all(torch.isfinite(one).all() for one in made.parameters())


def test_frozen_parts_stay_frozen():
    model = network()
    model[0].requires_grad_(False)
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = MeanTeacher(training=TRAINING, **CHANGES).tried(model, moons().sealed()).learnt
    assert torch.equal(made[0].weight, model[0].weight)  # type: ignore[index]
    assert [one.requires_grad for one in made.parameters()] == [
        one.requires_grad for one in model.parameters()
    ]
    assert not torch.equal(made[2].weight, model[2].weight)  # type: ignore[index]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"weight": -1.0}, "weight of unlabelled examples is -1.0: give 0 or more"),
        ({"rise": 1.5}, "the rise is 1.5"),
        ({"decay": 2.0}, "the decay of the average is 2.0"),
        ({"size": 0}, "the unlabelled examples of a batch is 0"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        MeanTeacher(**settings)
