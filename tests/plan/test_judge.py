"""How many validation examples files are scored on."""

from __future__ import annotations

import math

import pytest
from torch import nn

from shoestring.core import score, seeded
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


def test_no_more_are_scored_to_find_out_than_there_is_time_for(model, task, reference, monkeypatch):
    looked: list[int | None] = []
    plain = judging.Judge.__post_init__

    def noted(self):
        looked.append(self.examples)
        plain(self)
        self.taken = (self.count or 0) / 100.0  # seconds: a hundred examples in each

    monkeypatch.setattr(judging.Judge, "__post_init__", noted)
    judge = quick_judge(task, reference, model, 0, 3.0)
    assert judge.examples == 300 and looked == [200, 300]


def test_a_score_that_tells_nothing_is_refused(model, task, tmp_path):
    constant = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    for one in constant.parameters():
        nn.init.zeros_(one)
    write(constant, task, tmp_path / "constant.shoe")
    with pytest.raises(ValueError, match="random order"):
        quick_judge(task, tmp_path / "constant.shoe", constant, 0, math.inf)
