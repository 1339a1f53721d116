"""A training for larger batches: its numbers by hand, and large batches by adding up gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.kit import (
    LAMB,
    LARS,
    SGD,
    Adagrad,
    AdamW,
    Clipped,
    Constant,
    Cosine,
    Supervised,
    Training,
    train,
)
from shoestring.parallel import SimulatedSynchronous, StepTimes, scaled_to_batch


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        (SGD(0.1, momentum=0.8), 0.4),
        (LARS(0.1, trust=0.01), 0.4),
        (AdamW(0.1, weight_decay=0.3), 0.2),
        (Adagrad(0.1), 0.2),
        (LAMB(0.1), 0.2),
    ],
    ids=repr,
)
def test_four_times_the_batch_by_hand(optimizer: Any, rate: float):
    given = Training(1000, optimizer, Cosine(0.02), clipping=Clipped(2.0))
    wanted = replace(optimizer, learning_rate=rate)
    assert scaled_to_batch(given, 128, base=32) == replace(
        given, steps=250, optimizer=wanted, schedule=Cosine(0.05)
    )


def test_smaller_batches_and_the_same():
    given = Training(1000, SGD(0.1), Constant(0.02))
    assert scaled_to_batch(given, 32, base=32) == given
    smaller = scaled_to_batch(given, 16, base=32)
    assert smaller == Training(2000, SGD(0.05), Constant(0.02))
    assert scaled_to_batch(smaller, 32, base=16, warm_up=0.0) == given


def test_a_longer_warm_up_stays_and_steps_are_one_or_none():
    given = Training(10, AdamW(), Cosine(0.3))
    assert scaled_to_batch(given, 64, base=1) == replace(given, steps=1, optimizer=AdamW(1e-3 * 8))
    assert scaled_to_batch(replace(given, steps=0), 64, base=1).steps == 0
    assert scaled_to_batch(given, 8, base=4, warm_up=0.4).schedule == Cosine(0.4)


def examples(batch: int) -> Supervised:
    with seeded(3):
        inputs = torch.randn(96, 8)
    split = inputs, (inputs[:, 0] > 0).long()
    return Supervised(train=split, validation=split, batch_size=batch)


@pytest.mark.parametrize("optimizer", [SGD(0.2), LARS(0.5), AdamW(1e-2), LAMB(1e-2)], ids=repr)
def test_workers_that_wait_add_up_the_gradients_of_a_batch_that_does_not_fit(optimizer: Any):
    """Four gradients of 8 examples are one of 32, but for the last digits: one pass, 3 steps."""

    def trained(batch: int, training: Training) -> nn.Module:
        with seeded(0):
            model = nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2))
            return train(model, examples(batch), training)

    whole = trained(32, Training(3, optimizer, Constant(0.0)))
    workers = SimulatedSynchronous(StepTimes.equal(4))
    parts = trained(8, Training(12, optimizer, Constant(0.0), workers=workers))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "words", "wrong"),
    [
        (ValueError, r"batch=0: give the examples", {"batch": 0}),
        (ValueError, r"batch=1.5: give the examples", {"batch": 1.5}),
        (ValueError, r"batch=True: give", {"batch": True}),
        (ValueError, r"base=-8: give", {"base": -8}),
        (ValueError, r"the warm-up is 1.5", {"warm_up": 1.5}),
        (TypeError, r"the training is 3: give a Training", {"training": 3}),
        (
            ValueError,
            "scale it first",
            {"training": Training(9, workers=SimulatedSynchronous(StepTimes.equal(2)))},
        ),
    ],
)
def test_what_is_refused(kind: type[Exception], words: str, wrong: dict[str, Any]):
    given: dict[str, Any] = {"training": Training(100, SGD()), "batch": 64, "base": 32} | wrong
    with pytest.raises(kind, match=words):
        scaled_to_batch(given.pop("training"), given.pop("batch"), **given)
