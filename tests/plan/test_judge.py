"""How many validation examples files are scored on."""

from __future__ import annotations

import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from shoestring import Agreement
from shoestring.core import Task, score, seeded
from shoestring.kit import AdamW, SameClass, Supervised, Training, train, write
from shoestring.plan import judge as judging
from shoestring.plan.judge import quick_judge
from shoestring.tasks import digits


@pytest.fixture(scope="module")
def task():
    return digits().sealed()


@pytest.fixture(scope="module")
def model(task):
    with seeded(0):
        return train(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task, Training(200, AdamW(3e-3))
        )


@pytest.fixture(scope="module")
def whole(model, task, tmp_path_factory):
    """The file of the model."""
    path = tmp_path_factory.mktemp("whole") / "model.shoe"
    write(model, task, path)
    return path


@pytest.fixture
def reference(whole, tmp_path):
    """A copy in a folder of its own: what judges remember lies beside it."""
    return Path(shutil.copy(whole, tmp_path))


def test_all_of_them_where_there_is_time(model, task, reference):
    judge = quick_judge(task, reference, model, 0, math.inf)
    assert judge.examples is None and judge.count == 400
    assert judge.base == pytest.approx(score(task, model), abs=1e-6)


def test_a_sample_where_all_take_too_long_and_the_same_from_then_on(model, task, reference):
    first = quick_judge(task, reference, model, 0, 1e-9)
    assert first.examples == first.count == 200, "no fewer than tell anything"
    later = quick_judge(task, reference, model, 0, math.inf)
    assert later.examples == 200 and later.base == first.base, (
        "another run compares with what this one measured"
    )
    assert (later.merits == first.merits).all()


def test_all_is_remembered_too(model, task, reference):
    first = quick_judge(task, reference, model, 0, math.inf)
    later = quick_judge(task, reference, model, 0, 1e-9)
    assert later.examples is None and later.base == first.base


@pytest.mark.parametrize(
    ("loading", "seconds", "expected"),
    [(0.0, 8.1, [200, 800]), (0.0, 2.0, [200]), (1.0, 8.1, [200, 800]), (5.0, 6.0, [200, 400])],
)
def test_no_more_are_scored_to_find_out_than_there_is_time_for(
    reference, model, monkeypatch, loading, seconds, expected
):
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
    """A user's task that has the merit of each of 400 examples and draws no samples."""

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


def one_class(y: torch.Tensor, x: torch.Tensor) -> tuple[nn.Module, Supervised]:
    split = (x, y)
    task = Supervised(train=split, validation=split, test=split)
    with seeded(0):
        return train(
            nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)),
            task,
            Training(200, AdamW(1e-2)),
        ).eval(), task


def judged(model: nn.Module, task: Task, path: Path) -> judging.Judge:
    write(model, task, path)
    return quick_judge(task.sealed(), path, model, 0, math.inf)


def test_a_task_that_one_constant_answer_solves_is_questioned(tmp_path):
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    model, task = one_class(torch.full((400,), 2), x)
    said = (
        "one and the same answer to every validation example scores 1, and the model 1: the score "
        "tells little"
    )
    with pytest.warns(UserWarning, match=said):
        assert judged(model, task, tmp_path / "a.shoe").base == 1
    # One that has nothing to go by, nine of ten being of one class.
    rare = (torch.arange(400) % 10 == 0).long()
    model, task = one_class(rare, x * 1e-3)
    with pytest.warns(UserWarning, match=r"scores 0.9, and the model 0.9"):
        judged(model, task, tmp_path / "b.shoe")
    yes = Supervised(
        train=(x, torch.ones(400)),
        validation=(x, torch.ones(400)),
        test=(x, torch.ones(400)),
        criterion=lambda out, y: functional.binary_cross_entropy_with_logits(out[:, 0], y),
        merit=lambda out, y: (out[:, 0] > 0) == y,
    )
    with seeded(0):
        sure = train(nn.Linear(6, 1), yes, Training(300, AdamW(1e-1))).eval()
    assert judging._constant_score(yes, sure) == score(yes, sure) == 1


def test_without_labels_as_well(tmp_path):
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    model, _ = one_class(torch.full((400,), 2), x)
    with pytest.warns(UserWarning, match="would agree on 100 %"):
        agreement = Agreement(model, x, SameClass())
    with pytest.warns(UserWarning, match="scores 1, and the model 1"):
        judged(model, agreement, tmp_path / "a.shoe")


def test_a_task_that_takes_a_model_is_not(tmp_path):
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 1).long()  # one in six
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, task = one_class(y, x)
        assert judged(model, task, tmp_path / "a.shoe").base > 0.95
        assert judging._constant_score(task, model) == pytest.approx(float((y == 0).float().mean()))
        split = (x, x[:, :1] * 3)
        line = Supervised(
            train=split,
            validation=split,
            test=split,
            criterion=functional.mse_loss,
            merit=lambda out, y: -((out - y) ** 2).mean(-1),
        )
        with seeded(0):
            fitted = train(nn.Linear(6, 1), line, Training(200, AdamW(1e-1))).eval()
        judged(fitted, line, tmp_path / "b.shoe")
        by_hand = -((fitted(x).detach().median() - split[1]) ** 2).mean()
        assert judging._constant_score(line, fitted) == pytest.approx(float(by_hand), rel=0.05)
