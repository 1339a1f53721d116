"""The main job on real digits with a small network.

Budgets kept and not kept, interruption, what is refused.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import threading
from dataclasses import dataclass, replace
from itertools import count
from time import monotonic
from typing import ClassVar

import pytest
import torch
from torch import nn

from shoestring.artifact import load
from shoestring.core import Budget, BudgetError, Cost, Ledger, Stage, Technique, score
from shoestring.kit import StudyHeld, Supervised, clone, parameter_bytes
from shoestring.kit.clock import Clock, TimeUpError
from shoestring.meters import Latency, Ratio, alternate
from shoestring.plan import Report, compress, main_job
from shoestring.plan.aiming import Aiming
from shoestring.plan.proposal import open_proposals
from shoestring.plan.untrained import Untrained
from shoestring.plan.verdict import judge

EASY = "size<=6KB, drop<=20%"
"""Kept without training and without loss.

The search ends as soon as it sees that, however long it may take.
"""
MINUTES = 2.0


@pytest.fixture(scope="module")
def searched(model, task, tmp_path_factory):
    """A search of ten seconds with a budget that takes training; what it said, and what it told."""
    folder = tmp_path_factory.mktemp("searched")
    said, told, before = list[str](), list[dict](), [p.clone() for p in model.parameters()]
    outcome = compress(
        model,
        task,
        "size<=600B, drop<=10%",
        folder / "out.shoe",
        minutes=12 / 60,
        say=said.append,
        tell=told.append,
        ledger=Ledger(folder / "ledger"),
    )
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), (
        "the model itself is left alone"
    )
    return outcome, said, told, folder


@pytest.fixture
def again(searched, tmp_path):
    """A copy of the folder of that search, to go on in; the path of its file."""
    shutil.copytree(searched[3], tmp_path / "again")
    return tmp_path / "again" / "out.shoe"


# -- what is delivered


@pytest.mark.slow
def test_the_file_is_what_the_outcome_says(searched, model, task):
    outcome, _, _, folder = searched
    assert (
        outcome.file == folder / "out.shoe"
        and outcome.file.stat().st_size == outcome.trial.cost.bytes
    )
    assert score(task.sealed(), load(outcome.file)) == pytest.approx(outcome.trial.score)
    assert outcome.score_before == pytest.approx(score(task.sealed(), model))
    assert outcome.bytes_before == parameter_bytes(model) == 4 * (64 * 32 + 32 + 32 * 10 + 10)
    assert outcome.met == (
        outcome.file.stat().st_size <= 600 and outcome.score_before - outcome.trial.score <= 0.1
    )
    assert outcome.verdict == judge(outcome.limits, outcome.trial, outcome.score_before)
    keys = [judge(outcome.limits, one, outcome.score_before).order() for one in outcome.trials]
    assert outcome.verdict.order() == min(keys)
    images = task.validation[0]
    with torch.no_grad():
        answers = torch.from_numpy(load(outcome.file)(images))
        torch.testing.assert_close(outcome.model()(images), answers, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_what_is_said_and_told_while_it_works(searched):
    outcome, said, told, _ = searched
    assert [one["event"] for one in told][:2] == ["first", "forecast"]
    assert "round" in {one["event"] for one in told} and json.loads(json.dumps(told)) == told
    assert "first file after" in said[0] and "forecast, by rules of thumb: about" in said[1]
    last = [one for one in told if one["event"] == "round"][-1]
    assert last["cost"]["bytes"] == outcome.trial.cost.bytes and last["fits"] == outcome.met


@pytest.mark.slow
def test_every_trial_has_a_row_of_the_ledger(searched):
    outcome, _, _, folder = searched
    rows = Ledger(folder / "ledger").rows()
    assert {row.kind for row in rows} <= {"apply", "failed"}
    assert {row.technique for row in rows if row.kind == "apply"} == {
        one.technique for one in outcome.trials[1:]
    }


@pytest.mark.slow
def test_the_frontier_holds_files_that_can_be_had(searched):
    outcome = searched[0]
    assert outcome.frontier.points
    for point in outcome.frontier.points:
        names = [one.name for one in outcome.folder.iterdir()]
        assert point.technique == "chain()" or point.file in names
    kept = json.loads((outcome.folder / "search.json").read_text())
    assert kept["name"] == "digits" and kept["fields"] == ["bytes"]


@pytest.mark.slow
def test_a_second_budget_starts_from_what_the_first_measured(again, searched, model, task):
    first = {one.technique for one in searched[0].trials}
    told: list[dict] = []
    found = compress(model, task, EASY, again, minutes=MINUTES, tell=told.append)
    assert found.met and first <= {one.technique for one in found.trials}
    assert len(found.trials) <= len(first) + 1, "what does was known, or is the first thing to try"
    assert found.trial.score >= max(
        one.score for one in searched[0].trials if one.cost.bytes <= 6000
    )


@pytest.mark.slow
def test_the_path_never_holds_worse_than_it_did(again, searched, model, task):
    sizes: list[int] = []

    def look(event: dict) -> None:
        sizes.append(again.stat().st_size)

    compress(model, task, "size<=600B, drop<=10%", again, minutes=5 / 60, tell=look)
    assert sizes and max(sizes) <= searched[0].trial.cost.bytes


@pytest.mark.slow
def test_the_first_file_is_there_early_and_gets_better(model, task, tmp_path):
    path, sizes, best = tmp_path / "out.shoe", list[int](), list[tuple[bool, float]]()

    def look(event: dict) -> None:
        sizes.append(path.stat().st_size)
        assert load(path)
        if event["event"] in ("first", "round"):
            best.append((event["fits"], event["score"]))

    outcome = compress(model, task, "size<=900B, drop<=30%", path, minutes=20 / 60, tell=look)
    assert len(sizes) >= 3 and sizes[-1] == outcome.trial.cost.bytes
    assert best == sorted(best) and best[0] < best[-1], (
        "what keeps the budget comes before what does not, then the better score"
    )


@pytest.mark.slow
def test_building_the_model_counts_for_no_longer_than_is_said(model, task, tmp_path):
    told = {"minutes": 12 / 60, "began": monotonic() - 60}
    with pytest.raises(BudgetError, match="of the 12 s that there are for it: give more time"):
        main_job(lambda: (model, task), Budget(drop=0.3), tmp_path / "a.shoe", **told)
    path = tmp_path / "b.shoe"
    report = main_job(lambda: (model, task), Budget(drop=0.3), path, loading=0.0, **told)
    assert report.met and path.exists()


@pytest.mark.slow
def test_a_budget_that_cannot_be_kept_delivers_the_nearest_and_says_what_blocks(
    model, task, tmp_path
):
    path = tmp_path / "out.shoe"
    report = main_job(lambda: (model, task), Budget(size=20, drop=0.05), path, minutes=8 / 60)
    outcome = report.outcome
    assert not report.met and path.stat().st_size == outcome.trial.cost.bytes
    assert set(outcome.verdict.broken) == {"size"}, "the drop can be kept, and is"
    assert outcome.score_before - outcome.trial.score <= 0.05 + 1e-9
    fitting = [one for one in outcome.trials if outcome.score_before - one.score <= 0.05 + 1e-9]
    assert outcome.trial.cost.bytes == min(one.cost.bytes for one in fitting)
    text = report.as_text()
    assert (
        "nearest" in text
        and f"size<={outcome.trial.cost.bytes}B would do with the other limits as they are" in text
    )
    found = report.as_json()
    assert found["nearest"] and found["broken"]["size"] == {
        "measured": outcome.trial.cost.bytes,
        "limit": 20,
    }


def test_limits_that_contradict_each_other_have_a_nearest_point(model, task, tmp_path):
    outcome = compress(
        model, task, "size<=70B, score>=99.9%", tmp_path / "out.shoe", minutes=4 / 60
    )
    assert not outcome.met and outcome.file.stat().st_size == outcome.trial.cost.bytes
    assert set(outcome.verdict.broken) <= {"size", "score"} and "score" in outcome.verdict.broken


@pytest.mark.slow
def test_without_a_budget_there_are_points_with_names(model, task, tmp_path):
    outcome = compress(model, task, path=tmp_path / "out.shoe", minutes=8 / 60)
    named = outcome.frontier.named()
    assert set(named) <= {"free", "balanced", "tiny"} and outcome.trial == next(
        iter(named.values())
    )
    assert outcome.trial.score >= outcome.score_before - 2 * outcome.frontier.base_error - 1e-9
    assert outcome.file.stat().st_size == outcome.trial.cost.bytes < outcome.bytes_before / 3
    assert outcome.met


def test_the_budget_may_be_text_and_the_path_may_be_left_out(model, task):
    outcome = compress(model, task, EASY, minutes=MINUTES)
    assert outcome.met and outcome.file.is_file() and outcome.file.stat().st_size <= 6000
    assert outcome.model()(task.validation[0]).shape == (400, 10)
    folder = outcome.file.parent
    del outcome
    assert not folder.exists(), "it lasts as long as the outcome"


def test_a_share_is_of_four_bytes_a_number(model, task, tmp_path):
    outcome = compress(model, task, "size<=50%, score>=10%", tmp_path / "out.shoe", minutes=MINUTES)
    assert outcome.limits == Budget(size=0.5 * outcome.bytes_before, score=0.1) and outcome.met
    assert outcome.file.stat().st_size <= 0.5 * outcome.bytes_before
    assert outcome.budget == Budget.parse("size<=50%, score>=10%")


# -- limits on what runs


def test_a_share_of_the_milliseconds_is_of_the_model_that_came_in(model, task, tmp_path):
    outcome = compress(
        model, task, "latency<=500%, drop<=5%", tmp_path / "out.shoe", minutes=MINUTES
    )
    before = outcome.trials[0].cost.milliseconds
    assert outcome.limits.latency == pytest.approx(5 * before)
    assert outcome.met and outcome.trial.cost.milliseconds <= 5 * before
    assert outcome.frontier.fields == ("milliseconds", "bytes")


def test_operations_of_a_file_are_limited_too(model, task, tmp_path):
    outcome = compress(
        model, task, "operations<=100%, size<=6KB", tmp_path / "out.shoe", minutes=MINUTES
    )
    assert outcome.met and outcome.trial.cost.operations <= outcome.trials[0].cost.operations


@dataclass(frozen=True)
class Fixed:
    """A meter that always says the same, or why it says nothing."""

    measures: ClassVar[str] = "joules"
    value: float | None = 1.0
    why: str | None = None

    def why_not(self) -> str | None:
        return self.why

    def __call__(self, subject, task) -> Cost:
        return Cost(joules=self.value)


def test_energy_that_cannot_be_measured_is_refused_at_once(model, task, tmp_path):
    with pytest.raises(
        BudgetError,
        match=r"energy, and that cannot be measured here: no counter\. Leave energy out",
    ):
        compress(
            model,
            task,
            "energy<=1J, size<=6KB",
            tmp_path / "out.shoe",
            meters=[Fixed(why="no counter")],
        )
    assert list(tmp_path.iterdir()) == []


def test_what_a_meter_says_decides(model, task, tmp_path):
    outcome = compress(
        model,
        task,
        "energy<=0.5J, size<=6KB",
        tmp_path / "out.shoe",
        minutes=4 / 60,
        meters=[Fixed(value=1.0)],
    )
    assert outcome.verdict.broken == {"energy": (1.0, 0.5)} and outcome.trial.cost.bytes <= 6000


# -- time


def test_the_time_is_kept(model, task, tmp_path, monkeypatch):
    """By a clock that goes on by a twentieth of a second whenever the search looks at it."""
    began, looks = 1000.0, count(1)
    planning = [f"plan.{name}" for name in ("job", "experiments", "judge", "training_time")]
    for module in ("kit.clock", *planning):
        monkeypatch.setattr(
            sys.modules[f"shoestring.{module}"], "monotonic", lambda: began + next(looks) / 20
        )
    outcome = compress(
        model, task, "size<=60B, drop<=0.5, time<=10s", tmp_path / "out.shoe", began=began
    )
    assert 5 < outcome.seconds <= 10
    assert outcome.limits.time is None, "it is kept by the search, and is no limit on the file"


def test_time_that_is_not_enough_to_look_at_the_model(model, task, tmp_path):
    with pytest.raises(BudgetError, match="give more time"):
        compress(model, task, "size<=1KB, time<=1s", tmp_path / "out.shoe", began=monotonic() - 10)
    assert list(tmp_path.iterdir()) == []


# -- interruption


class Counted:
    """Raises KeyboardInterrupt when it is called for the nth time."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self, *told: object) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt


@pytest.mark.by_default("say-2", "tell-2")
@pytest.mark.parametrize(
    ("what", "at"), [("say", 1), ("say", 2), ("say", 3), ("tell", 1), ("tell", 2), ("tell", 3)]
)
def test_interrupted_the_best_so_far_is_delivered_and_the_same_call_goes_on(
    model, task, tmp_path, what, at
):
    path, budget = tmp_path / "out.shoe", "size<=1.5KB, drop<=20%"
    outcome = compress(model, task, budget, path, minutes=MINUTES, **{what: Counted(at)})
    assert outcome.interrupted and path.stat().st_size == outcome.trial.cost.bytes
    assert score(task.sealed(), load(path)) == pytest.approx(outcome.trial.score)
    again = compress(model, task, budget, path, minutes=6 / 60)
    names = [one.technique for one in again.trials]
    assert len(set(names)) == len(names) and {one.technique for one in outcome.trials} <= set(names)
    assert not again.interrupted
    assert again.verdict.order() <= outcome.verdict.order()


INTERRUPTIONS: list[int] = []


@pytest.mark.slow
def test_interrupted_within_a_technique_that_is_tried_when_it_goes_on(model, task, tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Interrupting(Technique):
        stage: ClassVar = Stage.NUMBERS

        def __call__(self, model, task):
            INTERRUPTIONS.append(1)
            if len(INTERRUPTIONS) == 1:
                raise KeyboardInterrupt
            return clone(model)

    try:
        outcome = compress(
            model, task, "size<=100B, drop<=20%", tmp_path / "out.shoe", minutes=MINUTES
        )
        assert outcome.interrupted and load(tmp_path / "out.shoe")
        assert not any("Interrupting" in one.technique for one in outcome.trials)
        again = compress(
            model, task, "size<=100B, drop<=20%", tmp_path / "out.shoe", minutes=8 / 60
        )
        assert len(INTERRUPTIONS) == 2, "its claim was given back"
        assert any("Interrupting" in one.technique for one in again.trials)
    finally:
        Interrupting.stage = None


@pytest.mark.slow
def test_a_training_that_was_interrupted_goes_on(model, task, tmp_path, monkeypatch):
    path, heard = tmp_path / "out.shoe", Clock.__call__

    def interrupt(self, what, done, total, note):
        if what == "training for the rate" and done == 5:
            raise KeyboardInterrupt
        heard(self, what, done, total, note)

    with monkeypatch.context() as patch:
        patch.setattr(Clock, "__call__", interrupt)
        outcome = compress(model, task, "size<=600B, drop<=20%", path, minutes=20 / 60)
    assert outcome.interrupted and load(path)
    assert [one["arm"].partition(" ")[0] for one in open_proposals(outcome.folder)] == ["Rate"]
    said: list[str] = []
    again = compress(model, task, "size<=600B, drop<=20%", path, minutes=20 / 60, say=said.append)
    assert any("going on with Rate" in one for one in said), said
    assert (
        any("Rate(" in one.technique for one in again.trials)
        and open_proposals(outcome.folder) == []
    )


# -- what is never done


def test_the_test_split_is_never_read(model, task, tmp_path):
    class Watched(Supervised):
        def batches(self, split):
            assert split != "test"
            return super().batches(split)

        def score(self, predict, split):
            assert split != "test"
            return super().score(predict, split)

        def merits(self, predict, split):
            assert split != "test"
            return super().merits(predict, split)

    watched = Watched(train=task.train, validation=task.validation, test=task.test, batch_size=64)
    outcome = compress(
        model, watched, "size<=1.5KB, drop<=20%", tmp_path / "out.shoe", minutes=6 / 60
    )
    assert len(outcome.trials) > 1


def scoring(task, value) -> Supervised:
    class Scored(Supervised):
        def score(self, predict, split):
            return value

    return Scored(train=task.train, validation=task.validation, test=task.test, batch_size=64)


@pytest.mark.parametrize(
    ("value", "message"),
    [(0.5, "in random order: it tells nothing"), (math.nan, "must be a number")],
)
def test_a_score_that_tells_nothing_is_refused_and_nothing_is_left(
    model, task, tmp_path, value, message
):
    with pytest.raises(ValueError, match=message):
        compress(model, scoring(task, value), EASY, tmp_path / "out.shoe")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_numbers_are_refused(model, task, tmp_path):
    broken = clone(model)
    with torch.no_grad():
        broken[1].weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        compress(broken, task, EASY, tmp_path / "out.shoe")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("size<=1KB, labels<=5", r"labels<=5, and digits sells none \(its pool has 0 examples"),
        (
            "size<=1KB, person_time<=5h",
            "does not count seconds that a person worked: leave person_time out",
        ),
        ("size<=1 parsec", "parsec"),
        ("sise<=1KB", "did you mean size"),
        (Budget(time=10.0, labels=3.0), "digits sells none"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(model, task, tmp_path, budget, message):
    with pytest.raises(BudgetError, match=message):
        compress(model, task, budget, tmp_path / "out.shoe")
    assert list(tmp_path.iterdir()) == []


def test_a_time_that_makes_no_sense_is_refused(model, task, tmp_path):
    with pytest.raises(BudgetError, match="more than 0"):
        compress(model, task, EASY, tmp_path / "out.shoe", minutes=0)


def test_a_path_that_cannot_be_written_is_refused_before_any_work(model, task, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        compress(model, task, EASY, tmp_path / "nowhere" / "out.shoe")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        compress(model, task, EASY, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_weights_is_refused(task, tmp_path):
    with pytest.raises(ValueError, match="nothing to compress"):
        compress(nn.Sequential(nn.Flatten(), nn.ReLU()), task, EASY, tmp_path / "out.shoe")


def test_a_drop_finer_than_the_data_can_tell_draws_a_warning_with_how_many_examples_it_takes(
    model, task, tmp_path
):
    error = math.sqrt((right := score(task.sealed(), model)) * (1 - right) / 400)
    with pytest.warns(UserWarning, match="two standard errors") as found:
        compress(model, task, "size<=6KB, drop<=0.1%", tmp_path / "out.shoe", minutes=MINUTES)
    text = str(found[0].message)
    examples = int(text.split("about ")[1].split()[0].replace(",", ""))
    assert "from 400 examples" in text and examples >= 400 * (2 * error / 0.001) ** 2 * 0.99
    assert examples <= 400 * (2 * error / 0.001) ** 2 * 1.1
    assert found[0].filename == __file__, "it points at who asked"


def original(folder) -> bytes:
    """The file of the model that came in; there is one."""
    (file,) = (folder / "out.shoe.study").glob("original-*.shoe")
    return file.read_bytes()


def test_two_commands_on_one_path(model, task, tmp_path):
    path, other = tmp_path / "out.shoe", clone(model)
    with torch.no_grad():
        other[1].weight.mul_(2)
    refused: list[BaseException] = []
    begun: list[bytes] = []

    def meanwhile(event: dict) -> None:
        if event["event"] != "first":
            return
        begun.append(original(tmp_path))
        try:
            compress(other, task, EASY, path, minutes=MINUTES)
        except StudyHeld as error:
            refused.append(error)

    outcome = compress(model, task, EASY, path, minutes=MINUTES, tell=meanwhile)
    assert outcome.met
    (error,) = refused
    assert "works in" in str(error) and "another file (--out)" in str(error)
    assert outcome.reference.read_bytes() == begun[0], "the other has touched nothing"
    assert compress(other, task, EASY, path, minutes=MINUTES).met, "and has its turn afterwards"


def test_it_works_in_a_thread(model, task, tmp_path):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(
            compress(model, task, EASY, tmp_path / "out.shoe", minutes=MINUTES)
        )
    )
    thread.start()
    thread.join()
    assert found[0].met


def test_the_report_adds_up(model, task, tmp_path):
    path, ledger = tmp_path / "out.shoe", Ledger(tmp_path / "ledger")
    report = main_job(
        lambda: (model, task), Budget.parse(EASY), path, ledger=ledger, minutes=MINUTES
    )
    found = report.as_json()
    assert json.loads(json.dumps(found)) == found and found["event"] == "done" and found["met"]
    assert found["bytes_before"] == parameter_bytes(model) < found["onnx_bytes_before"]
    assert found["bytes_after"] == path.stat().st_size == sum(line.bytes for line in report.bill)
    assert found["score_after"] == score(task, load(path), "test")
    assert found["score_before"] == pytest.approx(score(task, model, "test"))
    assert (
        found["milliseconds_before"] > 0
        and found["milliseconds_after"] > 0
        and found["path"] == str(path)
    )
    assert [row.kind for row in ledger.rows()][-2:] == ["prove", "prove"]
    text = report.as_text()
    assert (
        "times smaller" in text
        and "1.weight" in text
        and str(path) in text
        and "nearest" not in text
    )


def test_another_model_at_the_same_path_begins_anew(model, task, tmp_path):
    path, other = tmp_path / "out.shoe", clone(model)
    with torch.no_grad():
        other[1].weight.mul_(2)
    first = compress(model, task, EASY, path, minutes=MINUTES)
    second = compress(other, task, EASY, path, minutes=MINUTES)
    assert second.met and second.folder == first.folder
    assert {one.sha256 for one in first.trials[1:]} & {
        one.sha256 for one in second.trials[1:]
    } == set()
    assert replace(second.trials[0].cost, seconds=None).bytes == second.reference.stat().st_size


def test_files_are_timed_by_what_was_asked_for_where_no_limit_asks_for_it(
    model, task, tmp_path, monkeypatch
):
    asked: list[dict] = []

    def timed(paths, task, **settings):
        asked.append(settings)
        return alternate(paths, task, **settings)

    monkeypatch.setattr(sys.modules["shoestring.plan.main_job"], "alternate", timed)
    main_job(
        lambda: (model, task),
        Budget.parse(EASY),
        tmp_path / "out.shoe",
        minutes=MINUTES,
        latency=Latency(batch=4),
    )
    assert [one["batch"] for one in asked] == [4]


def test_time_that_is_up_while_it_looks_delivers_what_there_is(model, task, tmp_path, monkeypatch):
    def slow(self, seconds, more=0.0):
        raise TimeUpError("rounding was given up at step 1 of 4: the time is up")

    monkeypatch.setattr(Untrained, "first_files", slow)
    said: list[str] = []
    outcome = compress(
        model, task, "size<=1KB", tmp_path / "out.shoe", minutes=MINUTES, say=said.append
    )
    assert not outcome.met and load(outcome.file) and any("given up" in one for one in said)


@pytest.mark.slow
def test_a_training_goes_on_where_one_of_its_kind_ended(model, task, tmp_path):
    outcome = compress(model, task, "drop<=3%", tmp_path / "out.shoe", minutes=25 / 60)
    again = [one.technique for one in outcome.trials if one.technique.count("Rate(") > 1]
    assert again, "none of the rounds went on from the one before"
    first = again[0][: again[0].index(", Rate(")] + ")"
    assert first in {one.technique for one in outcome.trials}, (
        "what it goes on from is a trial itself"
    )


@pytest.mark.by_default("drop<=20%")
@pytest.mark.parametrize("budget", ["size<=100B", "drop<=20%"])
def test_it_says_where_there_was_no_time_to_train(model, task, tmp_path, monkeypatch, budget):
    monkeypatch.setattr(Aiming, "steps", lambda self, arm, share: 1)
    said: list[str] = []
    outcome = compress(model, task, budget, tmp_path / "out.shoe", minutes=MINUTES, say=said.append)
    assert not any(one.fidelity for one in outcome.trials[1:]) and any(
        "nothing was trained" in one for one in said
    )


@pytest.mark.slow
def test_the_report_says_that_scores_are_of_a_sample_and_that_the_time_was_passed(searched):
    outcome = searched[0]
    report = Report(
        outcome=replace(outcome, examples=200, budget=Budget(time=10.0)),
        onnx_bytes_before=1,
        score_before=0.9,
        score_after=0.9,
        milliseconds_before=1.0,
        milliseconds_after=1.0,
        speed=Ratio(median=1.0, low=1.0, high=1.0),
        bill=(),
        seconds=12.0,
    )
    text = report.as_text()
    assert "a sample of 200 examples" in text and "took 12 s, and time<=10 s was asked for" in text
    assert report.as_json()["validation_examples"] == 200
    kept = replace(report, outcome=outcome, seconds=10.5).as_text()
    assert "sample" not in kept and "was asked for: that limit" not in kept
