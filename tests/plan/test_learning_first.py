"""Examples without a label: a search learns from them first, by techniques unseen."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import Ledger, Stage, Task, Technique, score, seeded
from shoestring.kit import AdamW, Supervised, Training, clone, parameters_of, train
from shoestring.kit.clock import Clock
from shoestring.plan import compress, forecast, pool
from shoestring.plan.before import data_first
from shoestring.plan.folder import folder_of
from shoestring.plan.kept import kept_search
from shoestring.plan.learners import learners
from shoestring.plan.pool import Learning, has_pool
from shoestring.unlabelled import (
    Distorted,
    LabelsAlone,
    MeanTeacher,
    OtherDistributionWarning,
    RefusedWarning,
    Shifted,
)

KNOWN = 40
SOME = ("Pretends", "LabelsAlone", "MeanTeacher", "BackTranslation")
pytestmark = pytest.mark.filterwarnings(
    "ignore::shoestring.unlabelled.MissingClassWarning",
)


def half_labelled(task: Supervised, known: int = KNOWN) -> Supervised:
    """The digits, of which so many have a label."""
    inputs, targets = task.train
    assert isinstance(inputs, Tensor)
    return replace(task, train=(inputs[:known], targets[:known]), unlabelled=inputs[known:])


@pytest.fixture(scope="module")
def fresh():
    with seeded(0):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@dataclass(frozen=True, kw_only=True)
class Pretends(Technique):
    """Learns from the pool as nothing of the package does: it trains on the true labels."""

    stage: ClassVar = Stage.LABELS
    first_choice: ClassVar = True
    training: Training = Training(100, AdamW(5e-3))
    truth: ClassVar[Any] = None

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        if self.truth is None or task.name != self.truth.name:
            raise TypeError("it learns from the digits of its test alone")
        with_all = replace(self.truth, validation=self.truth.validation)
        return train(clone(model), with_all.sealed(), self.training, what="pretending")


@dataclass(frozen=True, kw_only=True)
class Fails(Technique):
    """Goes well with a few steps, and fails with more."""

    stage: ClassVar = Stage.LABELS
    first_choice: ClassVar = True
    training: Training = Training(100)
    works: ClassVar[bool] = False

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        if not self.works:
            raise TypeError("it is for one test")
        if self.training.steps > 50:
            raise RuntimeError("too many steps for me")
        return clone(model)


@pytest.fixture
def pretending(task, monkeypatch):
    monkeypatch.setattr(Pretends, "truth", replace(task, name="half"))
    return replace(half_labelled(task), name="half")


def learnt(model: Any, task: Any, folder: Path, said: Any = None, **settings: Any):
    say = (lambda text: None) if said is None else said.append
    seconds = settings.pop("seconds", 60.0)
    return Learning(model, task, folder, Clock(seconds), say=say, **settings)()


def weights(model: nn.Module) -> Tensor:
    return torch.cat([one.raw.detach().flatten() for one in parameters_of(model)])


def test_an_unseen_technique_is_used_and_what_was_learnt_is_kept(
    pretending, fresh, tmp_path, monkeypatch
):
    monkeypatch.setattr(pool, "MOST", 200)
    few = [one for one in learners() if type(one).__name__ in SOME]  # all would take long
    monkeypatch.setattr(pool, "learners", lambda: iter(few))
    ledger, said = Ledger(tmp_path / "ledger"), list[str]()
    model, task, result = learnt(fresh, pretending, tmp_path, said, ledger=ledger)
    assert result.by.startswith("Pretends(") and next(iter(result.scores)) == "Pretends"
    late = {*result.untried, *result.unseen}
    assert {"LabelsAlone", "MeanTeacher"} <= {*result.scores, *late}
    assert result.score == score(pretending, model) > result.score_came_in
    assert result.from_pool and result.error is not None and "Pretends" not in result.refused
    reference = max(result.score_came_in, result.scores.get("LabelsAlone", 0.0))
    assert result.gain == pytest.approx(result.score - reference)
    assert (result.known, result.pool) == (KNOWN, len(pretending.pool()))
    # those of two directions and those of old tasks say why they do not fit
    assert "BackTranslation" in {*result.unfit, *late}
    assert ("no time for" in str(result)) == bool(late)
    # the search trains on the model's answers for all inputs, and on the true labels
    known, free = pretending.known(), pretending.pool()
    assert len(task.known()) == KNOWN + len(free) and result.labelled
    assert torch.equal(task.labels(known), pretending.labels(known))
    answers = pretending.outputs(model, pretending.inputs(free)).argmax(1)
    assert torch.equal(task.labels(free), answers)
    # validation and test data are as they were
    assert torch.equal(task.validation[1], pretending.validation[1])
    row = ledger.rows()[0]
    assert row.kind == "apply" and row.technique.startswith("Pretends(")
    assert row.score_after == result.score and row.cost_after.labels is None
    # the same again is read, and equal
    count = len(ledger.rows())
    again, _, same = learnt(fresh, pretending, tmp_path, ledger=ledger)
    assert torch.equal(weights(again), weights(model)) and same == result
    assert len(ledger.rows()) == count
    # another process of the same search waits for it, and has the same
    other = Learning(fresh, pretending, tmp_path, Clock(60.0)).of_another()
    assert torch.equal(weights(other[0]), weights(model)) and other[2].digest == result.digest


def test_the_best_is_taken_and_the_baseline_is_beside_it(task, fresh, tmp_path, monkeypatch):
    beside = MeanTeacher(
        training=Training(100, AdamW(2e-2, 0.1)),
        weight=2.0,
        decay=0.95,
        weak=Shifted(0.02),
        strong=Distorted(turn=15, scale=0.1, shear=0.1, shift=0.1, light=0.2, covered=0),
    )
    monkeypatch.setattr(
        pool, "learners", lambda: iter([LabelsAlone(training=beside.training), beside])
    )
    monkeypatch.setattr(pool, "MOST", 300)
    few = half_labelled(task)
    model, _, result = learnt(fresh, few, tmp_path, seconds=600.0)
    assert result.by.startswith("MeanTeacher(") and "300" in result.by
    with seeded(0):
        alone = train(clone(fresh), few.sealed(), Training(300, AdamW(2e-2, 0.1)))
    assert result.scores["LabelsAlone"] == pytest.approx(score(few, alone))
    assert score(few, model) == result.scores["MeanTeacher"] > result.scores["LabelsAlone"]
    assert "LabelsAlone 0." in str(result) and "points" in str(result)


def test_a_model_that_is_better_already_is_kept_and_its_answers_are_used(
    task, model, tmp_path, monkeypatch
):
    monkeypatch.setattr(pool, "learners", lambda: iter([MeanTeacher()]))
    monkeypatch.setattr(pool, "MOST", 200)
    few = half_labelled(task, known=10)
    kept, labelled, result = learnt(model, few, tmp_path)
    assert kept is model and result.by == "" and result.score is None and result.gain == 0
    assert "better than what came in" in str(result) and "MeanTeacher 0." in str(result)
    assert len(labelled.known()) == 10 + len(few.pool()) and result.labelled


def test_a_technique_that_fails_later_is_named_and_the_others_go_on(
    pretending, fresh, tmp_path, monkeypatch
):
    monkeypatch.setattr(Fails, "works", True)
    monkeypatch.setattr(pool, "learners", lambda: iter([Fails(), Pretends()]))
    monkeypatch.setattr(pool, "MOST", 200)
    said: list[str] = []
    _, _, result = learnt(fresh, pretending, tmp_path, said)
    assert "too many steps" in result.unfit["Fails"] and result.by.startswith("Pretends(")
    assert any("Fails failed" in line for line in said)


def test_where_no_technique_fits_the_task_each_says_why(task, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "learners", lambda: iter([Fails(), MeanTeacher()]))
    with seeded(0):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 1))
    splits = {
        name: (getattr(task, name)[0], getattr(task, name)[1].float()[:, None])
        for name in ("train", "validation", "test")
    }
    whole = Supervised(**splits, criterion=nn.functional.mse_loss, merit=_nearness)
    few = half_labelled(whole)
    kept, same, result = learnt(network, few, tmp_path)
    assert kept is network and same is few and not result.labelled and not result.scores
    assert "MeanTeacher: " in str(result) and "takes logits" in str(result)


def _nearness(outputs: Any, targets: Any) -> Any:
    return -abs(outputs - targets)[:, 0]


def test_without_time_nothing_is_learnt_and_it_is_said(pretending, fresh, tmp_path):
    said: list[str] = []
    model, task, result = learnt(fresh, pretending, tmp_path, said, seconds=0.01)
    assert model is fresh and task is pretending and not result.scores and not result.labelled
    assert result.untried or result.unseen
    assert "there was no time to learn" in str(result)
    assert any("no time for" in line for line in said)


def test_a_damaged_note_is_an_error_that_says_what_to_do(pretending, fresh, tmp_path):
    learning = Learning(fresh, pretending, tmp_path, Clock(60.0))
    learning.path.write_bytes(b"{")
    with pytest.raises(ValueError, match="move it away"):
        learning()


def test_only_a_pool_as_large_as_the_labels_is_looked_at(task):
    assert has_pool(task) is None  # no pool
    assert has_pool(half_labelled(task)) is not None
    inputs, targets = task.train
    most = len(targets) * 2 // 3
    assert has_pool(half_labelled(task, known=most)) is None
    no_labels = replace(task, train=(inputs[:0], targets[:0]), unlabelled=inputs)
    assert has_pool(no_labels) is None


def test_machines_that_share_a_storage_leave_the_pool_alone(pretending, fresh, tmp_path):
    said: list[str] = []
    model, task, found = data_first(
        fresh, pretending, "", tmp_path / "a.shoe", storage="sqlite:///x", say=said.append
    )
    assert model is fresh and task is pretending and found.get("learnt") is None
    assert any("left alone" in line for line in said)


def test_learners_buy_nothing_and_those_that_say_so_come_first():
    found = list(learners())
    assert all(one.stage is Stage.LABELS and hasattr(one, "training") for one in found)
    assert not any(hasattr(one, "labels") for one in found)
    names = [type(one).__name__ for one in found]
    assert names.index("Pretends") < names.index("MeanTeacher") < names.index("PiModel")


@pytest.mark.slow
def test_a_forecast_learns_nothing(task, model):
    few = half_labelled(task)
    result = forecast(model, few, "size<=5KB", minutes=0.2)
    assert result.to_learn == len(few.pool())
    assert f"learnt from {result.to_learn:,} without a label" in str(result)


@pytest.mark.slow
def test_a_search_learns_first_and_its_report_tells(pretending, fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "MOST", 200)
    path = tmp_path / "small.shoe"
    outcome = compress(fresh, pretending, "size<=3KB", path, minutes=0.6)
    assert outcome.met and outcome.learnt is not None
    assert str(outcome.learnt) in str(outcome)
    assert outcome.trial.score is not None
    assert outcome.trial.score >= outcome.learnt.score - 0.05 > outcome.learnt.score_came_in
    assert kept_search(folder_of(path)).learnt == str(outcome.learnt)
    notes = list(folder_of(path).glob("learnt-*.json"))
    assert len(notes) == 1 and json.loads(notes[0].read_bytes())["finished"]
    # the same command goes on from what it learnt
    again = compress(fresh, pretending, "size<=3KB", path, minutes=0.3)
    assert again.learnt == outcome.learnt


@dataclass(frozen=True, kw_only=True)
class Refused(Technique):
    """Returns a network of labels alone, since its guard refuses what it learnt."""

    stage: ClassVar = Stage.LABELS
    training: Training = Training(100, AdamW(5e-3))
    works: ClassVar[bool] = False

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        if not self.works:
            raise TypeError("it is for one test")
        warnings.warn("it did not help", RefusedWarning, stacklevel=2)
        warnings.warn("something else", UserWarning, stacklevel=2)
        return train(clone(model), task, self.training, what="refused")


def test_a_refused_technique_is_not_credited(task, fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(Refused, "works", True)
    monkeypatch.setattr(pool, "learners", lambda: iter([Refused()]))
    monkeypatch.setattr(pool, "MOST", 200)
    said: list[str] = []
    with pytest.warns(UserWarning, match="something else"):
        model, _, result = learnt(fresh, half_labelled(task), tmp_path, said)
    assert result.refused == ("Refused",) and result.score == score(task, model)
    assert not result.from_pool and result.gain == 0
    assert "they did not help" in str(result) and "refused by its own guard" in str(result)
    assert "by labels alone" in str(result) and "by Refused" not in str(result)
    assert any("refused by its guard" in line for line in said)
    with pytest.warns(UserWarning, match="something else"):  # also where it is read
        again = learnt(fresh, half_labelled(task), tmp_path)[2]
    assert again == result


@dataclass(frozen=True, kw_only=True)
class Slow(Technique):
    """Takes far longer than its first steps let expect; it has a key error on other tasks."""

    stage: ClassVar = Stage.LABELS
    training: Training = Training(100, AdamW(5e-3))
    works: ClassVar[bool] = False

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        if not self.works:
            raise KeyError("for one test")
        steps = self.training.steps
        return train(clone(model), task, Training(steps if steps < 50 else 100_000), what="slow")


def test_what_takes_too_long_is_given_up_and_said(task, fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(Slow, "works", True)
    monkeypatch.setattr(pool, "learners", lambda: iter([LabelsAlone(), Slow()]))
    monkeypatch.setattr(pool, "MOST", 200)
    few, began = half_labelled(task), monotonic()
    _, _, result = learnt(fresh, few, tmp_path, seconds=30.0)
    assert monotonic() - began < 30 and result.given_up == ("Slow",)
    assert "Slow: given up" in str(result) and "LabelsAlone" in result.scores
    assert learnt(fresh, few, tmp_path, seconds=30.0)[2] == result


def test_any_error_of_a_technique_is_told_and_ends_nothing(task, fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "learners", lambda: iter([Slow(), LabelsAlone()]))
    monkeypatch.setattr(pool, "MOST", 200)
    _, _, result = learnt(fresh, half_labelled(task), tmp_path)
    assert "for one test" in result.unfit["Slow"] and "LabelsAlone" in result.scores


def test_with_more_time_what_was_left_is_tried(task, fresh, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "learners", lambda: iter([LabelsAlone()]))
    monkeypatch.setattr(pool, "MOST", 200)
    few = half_labelled(task)
    _, same, short = learnt(fresh, few, tmp_path, seconds=0.01)
    assert not short.scores and same is few
    _, _, longer = learnt(fresh, few, tmp_path, seconds=60.0)
    assert "LabelsAlone" in longer.scores


def test_another_pool_and_other_validation_data_are_learnt_anew(task, fresh, tmp_path):
    few = half_labelled(task)
    inputs, targets = few.validation
    others = (
        replace(few, unlabelled=few.unlabelled.flip(0)),
        replace(few, validation=(inputs[:100], targets[:100])),
    )
    paths = {Learning(fresh, one, tmp_path, Clock(1.0)).path for one in (few, *others)}
    assert len(paths) == 3


def test_a_pool_that_looks_otherwise_is_warned_of(task, fresh, tmp_path):
    few = half_labelled(task)
    noise = torch.rand(few.unlabelled.shape, generator=torch.Generator().manual_seed(0))
    folder_of(tmp_path / "a.shoe").mkdir()
    with pytest.warns(OtherDistributionWarning):
        data_first(fresh, replace(few, unlabelled=noise), "", tmp_path / "a.shoe", minutes=0.001)
