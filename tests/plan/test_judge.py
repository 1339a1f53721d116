"""How many validation examples files are scored on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from torch import nn

from shoestring.core import Task, score, seeded
from shoestring.kit import AdamW, Training, train, write
from shoestring.plan import judge as judging
from shoestring.plan.judge import quick_judge
from shoestring.tasks import digits


@pytest.fixture(scope="module")
def task():
    return digits().sealed()


@pytest.fixture(scope="module")
def model(task):
    with seeded(0):
        return train(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task, Training(200, AdamW(3e-3)))


@pytest.fixture
def reference(model, task, tmp_path):
    write(model, task, tmp_path / "model.shoe")
    return tmp_path / "model.shoe"


def test_all_of_them_where_there_is_time(model, task, reference):
    judge = quick_judge(task, reference, model, 0, math.inf)
    assert judge.examples is None and judge.count == 400
    assert judge.base == pytest.approx(score(task, model), abs=1e-6)


def test_a_sample_where_all_take_too_long_and_the_same_from_then_on(model, task, reference):
    first = quick_judge(task, reference, model, 0, 1e-9)
    assert first.examples == first.count == 200, "no fewer than tell anything"
    later = quick_judge(task, reference, model, 0, math.inf)
    assert later.examples == 200 and later.base == first.base, "another run compares with what this one measured"
    assert (later.merits == first.merits).all()


def test_all_is_remembered_too(model, task, reference):
    first = quick_judge(task, reference, model, 0, math.inf)
    later = quick_judge(task, reference, model, 0, 1e-9)
    assert later.examples is None and later.base == first.base


@pytest.mark.parametrize(
    ("loading", "seconds", "expected"),
    [(0.0, 8.1, [200, 800]), (0.0, 2.0, [200]), (1.0, 8.1, [200, 800]), (5.0, 6.0, [200, 400])],
)
def test_no_more_are_scored_to_find_out_than_there_is_time_for(reference, model, monkeypatch, loading, seconds, expected):
    looked: list[int] = []

    class Slow(judging.Judge):
        """Of 5,000 examples, a hundred of which take a second."""

        def __post_init__(self) -> None:
            assert self.examples is not None
            looked.append(self.examples)
            self.base, self.merits, self.loading = 0.5, np.zeros(self.examples), loading
            self.taken = loading + self.examples / 100

    monkeypatch.setattr(judging, "Judge", Slow)
    judge = judging._on_enough(None, reference, 0, seconds)  # type: ignore[arg-type]
    assert looked == expected and judge.examples == expected[-1]


class Own(Task):
    """A task of somebody's own that tells the merit of each of 400 examples and draws no samples."""

    def __init__(self) -> None:
        self.inner = digits()

    def batches(self, split: str) -> Any:
        """As the digits."""
        return self.inner.batches(split)

    def loss(self, model: Any, batch: Any) -> Any:
        """As the digits."""
        return self.inner.loss(model, batch)

    def score(self, predict: Any, split: str) -> float:
        """As the digits."""
        return self.inner.score(predict, split)

    def merits(self, predict: Any, split: str) -> Any:
        """As the digits."""
        return self.inner.merits(predict, split)

    def example(self) -> Any:
        """As the digits."""
        return self.inner.example()


def test_a_task_that_draws_no_sample_is_scored_on_all(model, reference):
    judge = quick_judge(Own().sealed(), reference, model, 0, 1e-9)
    assert judge.examples is None and judge.count == 400


def test_a_score_that_tells_nothing_is_refused(model, task, tmp_path):
    constant = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    for one in constant.parameters():
        nn.init.zeros_(one)
    write(constant, task, tmp_path / "constant.shoe")
    with pytest.raises(ValueError, match="random order"):
        quick_judge(task, tmp_path / "constant.shoe", constant, 0, math.inf)
