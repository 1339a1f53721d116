"""The main job on real digits with a small network: budgets kept, budgets that cannot be, resuming, interruption."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.artifact import load, read
from shoestring.core import Budget, Ledger, SealedError, score, seeded
from shoestring.kit import Training, clone, compressible, parameter_bytes, train
from shoestring.plan import compress, main_job, strengths
from shoestring.quantize import Shared
from shoestring.tasks import digits

STEPS = 60


@pytest.fixture(scope="module")
def task():
    return digits()


@pytest.fixture(scope="module")
def model(task):
    with seeded(0):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
        return train(network, task.sealed(), Training(400))


def test_a_budget_that_can_be_kept_is_kept_by_the_file(model, task, tmp_path):
    before = [p.clone() for p in model.parameters()]
    ledger = Ledger(tmp_path / "ledger")
    budget = Budget.parse("size<=3KB, drop<=10%")
    outcome = compress(model, task, budget, tmp_path / "out.shoe", ledger=ledger, steps=STEPS)
    assert outcome.met
    assert outcome.point.cost.bytes == (tmp_path / "out.shoe").stat().st_size <= 3000
    assert score(task.sealed(), load(outcome.path)) == pytest.approx(outcome.point.score)
    assert outcome.score_before - outcome.point.score <= 0.1
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), "the model itself is left alone"
    rows = ledger.rows()
    assert {row.kind for row in rows} == {"apply"}
    assert all(row.cost_after.bytes for row in rows), "each step is weighed"


def test_a_budget_that_cannot_be_kept_delivers_the_nearest(model, task, tmp_path):
    outcome = compress(model, task, Budget.parse("size<=100B, drop<=5%"), tmp_path / "out.shoe", steps=10)
    assert not outcome.met
    assert outcome.path.stat().st_size == outcome.point.cost.bytes
    excess = [p.excess(outcome.budget) for p in outcome.points]
    assert outcome.point.excess(outcome.budget) == min(excess)


def test_with_a_limit_on_the_drop_alone_the_file_shrinks_until_the_drop_is_passed(model, task, tmp_path):
    outcome = compress(model, task, Budget(drop=0.05), tmp_path / "out.shoe", steps=STEPS)
    assert outcome.met
    assert outcome.point.cost.bytes == min(p.cost.bytes for p in outcome.points if p.drop <= 0.05)
    assert outcome.bytes_before / outcome.point.cost.bytes > 5


def test_an_interrupted_search_keeps_its_best_file_and_goes_on(model, task, tmp_path):
    said: list[str] = []

    def interrupt(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            raise KeyboardInterrupt

    budget = Budget.parse("size<=1.2KB, drop<=30%")
    with pytest.raises(KeyboardInterrupt):
        compress(model, task, budget, tmp_path / "out.shoe", steps=20, say=interrupt)
    assert load(tmp_path / "out.shoe")
    whole = compress(model, task, budget, tmp_path / "whole.shoe", steps=20)
    resumed_said: list[str] = []
    resumed = compress(model, task, budget, tmp_path / "out.shoe", steps=20, say=resumed_said.append)
    assert "going on after 2 stage(s)" in resumed_said[0]
    assert [p.cost.bytes for p in resumed.points] == [p.cost.bytes for p in whole.points]
    assert all((p.cost.seconds or 0) > 0 for p in resumed.points)
    assert resumed.path.read_bytes() == whole.path.read_bytes(), "a resumed search ends where a whole one does"


def test_the_search_never_reads_the_test_split(model, task, tmp_path):
    class Watched(type(task)):
        def score(self, predict, split):
            assert split != "test"
            return super().score(predict, split)

    watched = Watched(train=task.train, validation=task.validation, test=task.test, batch_size=64)
    compress(model, watched, Budget.parse("size<=4KB"), tmp_path / "out.shoe", steps=5)
    with pytest.raises(SealedError):
        watched.sealed().score(model, "test")


def test_a_drop_finer_than_the_data_can_tell_draws_a_warning(model, task, tmp_path):
    with pytest.warns(UserWarning, match="two standard errors"):
        compress(model, task, Budget.parse("size<=4KB, drop<=0.1%"), tmp_path / "out.shoe", steps=5)


@pytest.mark.parametrize(
    ("budget", "message"),
    [(Budget(latency=1.0), "neither size nor drop"), (Budget(size=1000, labels=5), "buys no labels")],
)
def test_budgets_that_make_no_sense_here(model, task, tmp_path, budget, message):
    with pytest.raises(ValueError, match=message):
        compress(model, task, budget, tmp_path / "out.shoe")


def test_a_path_that_cannot_be_written_is_refused_before_any_work(model, task, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        compress(model, task, Budget(size=1000), tmp_path / "nowhere" / "out.shoe")
    with pytest.raises(IsADirectoryError):
        compress(model, task, Budget(size=1000), tmp_path)


def test_weights_that_are_not_numbers_are_refused(task, tmp_path):
    broken = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        broken[1].weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        compress(broken, task, Budget(size=1000), tmp_path / "out.shoe")


def test_the_report_adds_up(model, task, tmp_path):
    path = tmp_path / "out.shoe"
    ledger = Ledger(tmp_path / "ledger")
    report = main_job(lambda: (model, task), Budget.parse("size<=3KB"), path, ledger=ledger, steps=STEPS)
    found = report.as_json()
    assert json.loads(json.dumps(found)) == found
    assert found["bytes_before"] == parameter_bytes(model) == 4 * (64 * 48 + 48 + 48 * 10 + 10)
    assert found["onnx_bytes_before"] > found["bytes_before"]
    assert found["bytes_after"] == path.stat().st_size == sum(line.bytes for line in report.bill)
    assert found["score_after"] == score(task, load(path), "test")
    assert found["score_before"] == pytest.approx(score(task, model, "test"))
    assert found["milliseconds_before"] > 0 and found["milliseconds_after"] > 0
    assert found["path"] == str(path)
    assert [row.kind for row in ledger.rows()][-2:] == ["prove", "prove"]
    text = report.as_text()
    assert "times smaller" in text and "exchange rate" in text and "1.weight" in text and str(path) in text
    assert not Path(f"{path}.stages").exists()


def test_layers_are_measured_without_being_changed(model, task):
    taught = task.sealed().taught_by(clone(model))
    before = [p.clone() for p in model.parameters()]
    thin = dict(strengths.densities(model, taught))
    few = dict(strengths.levels(model, taught))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert thin.keys() == few.keys() == {"1.weight", "3.weight"}
    assert all(0 < d <= 1 for d in thin.values())
    assert all(2 <= count <= 32 for count in few.values())


def test_the_levels_of_the_default_file_are_kept_as_levels(model, task, tmp_path):
    outcome = compress(model, task, Budget.parse("size<=3KB"), tmp_path / "out.shoe", steps=STEPS)
    kept = read(outcome.path).packed
    assert all(one.levels for one in kept if one.tensor.bits.ndim == 2)


def test_layers_that_are_shared_already_are_measured_too(model, task):
    shared = Shared(levels=24, training=Training(0))(model, task)
    taught = task.sealed().taught_by(clone(model))
    thin = dict(strengths.densities(shared, taught))
    (weight,) = [w for w in compressible(shared, "test") if w.name == "3.weight"]
    assert weight.state is not None and weight.state.codebook is not None, "the codebook is back"
    assert thin["3.weight"] > 0.5, "halving a layer of a small network does harm, and the measurement sees it"


def test_a_limit_on_time_ends_the_search(model, task, tmp_path):
    outcome = compress(model, task, Budget.parse("drop<=50%, time<=0.001s"), tmp_path / "out.shoe", steps=5)
    assert len([p for p in outcome.points if p.technique != "chain()"]) == 1
    assert set(outcome.budget.exceeded(outcome.point.cost, outcome.point.drop)) == {"time"}


def test_a_size_that_nothing_reaches_is_given_up_soon(model, task, tmp_path):
    outcome = compress(model, task, Budget.parse("size<=20B"), tmp_path / "out.shoe", steps=1)
    assert not outcome.met
    assert len(outcome.points) < 12
    assert outcome.point.cost.bytes == min(p.cost.bytes for p in outcome.points)


@pytest.mark.filterwarnings("ignore:the limit drop<=0 is finer")
def test_where_every_stage_loses_too_much_what_came_in_is_delivered(model, task, tmp_path):
    outcome = compress(model, task, Budget(drop=0.0), tmp_path / "out.shoe", steps=1)
    assert outcome.met
    assert outcome.point.drop <= 0
    gentler = [p for p in outcome.points if p.technique != "chain()"]
    assert len(gentler) > 2 or outcome.point.technique != "chain()", "a gentler stage was tried"


def test_a_score_that_is_not_a_number_is_refused_and_nothing_is_left(model, task, tmp_path):
    class Blind(type(task)):
        def score(self, predict, split):
            return math.nan

    blind = Blind(train=task.train, validation=task.validation, test=task.test, batch_size=64)
    with pytest.raises(ValueError, match="must be a number"):
        compress(model, blind, Budget(size=1000), tmp_path / "out.shoe")
    assert list(tmp_path.iterdir()) == []


def test_the_stages_of_another_model_are_not_gone_on_with_silently(model, task, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        compress(model, task, Budget.parse("size<=1KB"), tmp_path / "out.shoe", steps=5, say=_interrupt)
    said: list[str] = []
    compress(model, task, Budget.parse("size<=3KB"), tmp_path / "out.shoe", steps=6, say=said.append)
    assert "starting over" in said[0]


def _interrupt(text: str) -> None:
    raise KeyboardInterrupt
