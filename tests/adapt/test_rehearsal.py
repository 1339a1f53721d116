"""Which old examples are kept, and that they keep the old ability."""

from __future__ import annotations

import pytest
import torch
from made_few import one_head, some_digits, two_heads
from torch import nn

from shoestring import kit
from shoestring.adapt import Keeping, Rehearsal
from shoestring.adapt.rehearsal import kept_examples
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Training
from shoestring.tasks import digits

SHORT = Training(80, AdamW(5e-3))


def test_as_many_of_each_class_are_kept():
    with seeded(0):
        kept = kept_examples(digits(), 23)
    labels = torch.as_tensor(kept.labels(kept.known()))
    assert len(labels) == 23 and sorted(labels.bincount().tolist()) == [2] * 7 + [3] * 3
    with seeded(1):
        others = kept_examples(digits(), 23)
    assert set(others.known()) != set(kept.known())
    assert len(kept_examples(some_digits([0, 1]), 10**6).known()) == len(
        some_digits([0, 1]).train[1]
    )


def test_it_keeps_what_plain_training_forgets():
    model, task = two_heads()
    old = task.others()["zero to four"]
    with seeded(0):
        plain = kit.train(kit.clone(model), task, SHORT)
    with seeded(0):
        made = Rehearsal(examples=50, training=SHORT)(model, task.sealed())
    assert score(old, model) > 0.95
    assert score(old, plain) < score(old, made) - 0.01
    assert score(old, made) > 0.95
    assert score(task, made) > 0.85


def test_with_one_head_too():
    task = one_head()
    old = task.others()["zero to four"]
    with seeded(0):
        model = kit.train(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), old, SHORT
        )
        plain = kit.train(kit.clone(model), task, SHORT)
        made = Rehearsal(training=SHORT)(model, task)
    assert score(old, plain) < 0.2 < 0.8 < score(old, made)


def test_a_task_without_others_and_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="names nothing that is not to be forgotten"):
        Rehearsal()(nn.Linear(2, 2), digits())
    with pytest.raises(ValueError, match="keep an integer, 1 or more"):
        Rehearsal(examples=0)
    with pytest.raises(ValueError, match="give a number above 0"):
        Rehearsal(weight=0.0)
    with pytest.raises(ValueError, match="names no other task"):
        Keeping(digits(), {})
