"""Labels in a budget: bought once, kept with the study, and worked with by all that follows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoestring.core import (
    BudgetError,
    LabelBudgetError,
    Ledger,
    Purchases,
    Stage,
    Task,
    Technique,
    score,
    seeded,
)
from shoestring.core.labels import label_task
from shoestring.kit import AdamW, Supervised, Training, clone, export, parameters_of, train
from shoestring.kit.clock import Clock
from shoestring.label import Margin, Random
from shoestring.plan import compress, forecast, label_store, labels
from shoestring.plan.bought import Best, Bought, error_of_difference
from shoestring.plan.buyers import buyer, buyers, sized
from shoestring.plan.label_store import LabelStore
from shoestring.plan.labels import Buying
from shoestring.plan.moves import label_techniques, moves
from tests.core.games import Shop

KNOWN = 20


class Person:
    """Answers with the true labels, and remembers who was asked for what.

    `ends`: before which call, from 0, somebody presses Ctrl-C.
    """

    def __init__(self, truth: Tensor, ends: int | None = None) -> None:
        self.truth, self.ends = truth, ends
        self.asked: list[list[int]] = []

    def __call__(self, indices: Sequence[int]) -> Tensor:
        if len(self.asked) == self.ends:
            raise KeyboardInterrupt
        self.asked.append(list(indices))
        return self.truth[torch.tensor(list(indices))]

    @property
    def all(self) -> list[int]:
        return [index for call in self.asked for index in call]


def selling(task: Supervised, known: int = KNOWN, ends: int | None = None, **settings: Any) -> Any:
    """The digits with a few labels, and a person who is asked for the others; (task, person)."""
    inputs, targets = task.train
    assert isinstance(inputs, Tensor)
    person = Person(targets[known:], ends)
    settings = {"unlabelled": inputs[known:], "answer": person, **settings}
    return replace(task, train=(inputs[:known], targets[:known]), **settings), person


@pytest.fixture(scope="module")
def fresh():
    with seeded(0):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of so many steps, whatever time there is."""
    monkeypatch.setattr(labels, "ROUND_STEPS", (30, 30))
    monkeypatch.setattr(labels, "LAST_STEPS", (80, 80))
    monkeypatch.setattr(labels, "export", lambda model, task: None)


def bought(model: Any, task: Any, folder: Path, budget: int, said: Any = None, **settings: Any):
    clock = Clock(600.0)
    say = (lambda text: None) if said is None else said.append
    return Buying(model, task, folder, clock, say=say, **settings)(budget)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([one.raw.detach().flatten() for one in parameters_of(model)])


def test_labels_are_asked_for_once_and_more_of_them_cost_the_difference(task, fresh, tmp_path):
    task, person = selling(task)
    ledger, said = Ledger(tmp_path / "ledger"), list[str]()
    model, labelled, result = bought(fresh, task, tmp_path, 40, said, ledger=ledger)
    assert len(person.all) == len(set(person.all)) == 40
    assert labelled.known().tolist()[KNOWN:] == person.all
    assert labelled.labels(person.all).tolist() == person.truth[person.all].tolist()
    assert (result.labels, result.fresh, result.known) == (40, 40, KNOWN)
    without, row = ledger.rows()
    assert row.kind == "apply" and row.score_before is not None
    assert row.cost_after.labels == 40 and row.technique.startswith("Margin(labels=40")
    # the rows tell the rate of the report, and have the trainings by which it is told
    assert (without.score_before, without.score_after) == (
        result.score_came_in,
        result.score_before,
    )
    assert without.cost_after.seconds and without.cost_after.labels is None
    assert row.score_after - row.score_before == pytest.approx(result.gain)
    # what the labels brought is against the better of what was there before
    assert result.score_after == score(labelled.sealed(), model) > result.score_before
    assert result.gain == pytest.approx(
        result.score_after - max(result.score_before, result.score_came_in)
    )
    assert result.as_json()["gain_a_label"] == pytest.approx(result.gain / 40)
    assert "40 labels bought, 40 by Margin()" in said[-1] and "points a label" in said[-1]

    again, _, same = bought(fresh, task, tmp_path, 40, said, ledger=ledger)
    assert len(person.all) == 40 and len(ledger.rows()) == 2 and same.fresh == 0
    assert torch.equal(weights(again), weights(model)) and same.digest == result.digest

    taught, more, larger = bought(fresh, task, tmp_path, 55, said, ledger=ledger)
    # those that were bought now are learnt from, as they would be in a new folder
    assert not torch.equal(weights(taught), weights(model))
    one_go = Buying(fresh, task, tmp_path / "other", Clock(600.0))
    alone = one_go._learner(more, 80, "labels")[0]
    assert torch.equal(weights(taught), weights(alone))
    assert len(person.all) == len(set(person.all)) == 55 and larger.fresh == 15
    assert more.known().tolist()[KNOWN:] == person.all
    assert [row.cost_after.labels for row in ledger.rows()] == [None, 40, 15]
    # the gains of the rows add up to that of the report
    first, then = ledger.rows()[1:]
    assert then.score_before == first.score_after and then.score_after == larger.score_after

    _, fewer, smaller = bought(fresh, task, tmp_path, 10, said)
    assert fewer.known().tolist()[KNOWN:] == person.all[:10] and smaller.labels == 10
    assert len({result.digest, larger.digest, smaller.digest}) == 3
    assert len({result.score_after, larger.score_after, smaller.score_after}) == 3
    assert any("10 of the 55 labels that were bought before are used again" in one for one in said)


def test_an_interrupted_run_keeps_what_was_answered_and_asks_for_the_rest(task, fresh, tmp_path):
    interrupted, person = selling(task, ends=3)
    with pytest.raises(KeyboardInterrupt):
        bought(fresh, interrupted, tmp_path, 50)
    assert len(person.all) == 30  # three of five rounds
    whole, other = selling(task)
    _, labelled, result = bought(fresh, whole, tmp_path, 50)
    assert len(other.all) == 20 and not set(other.all) & set(person.all)
    assert labelled.known().tolist()[KNOWN:] == person.all + other.all and result.labels == 50


def test_an_error_in_a_new_folder_does_not_lose_what_was_bought(task, fresh, tmp_path):
    class Failing(Person):
        def __call__(self, indices: Sequence[int]) -> Tensor:
            if len(self.asked) == 2:
                raise RuntimeError("the line is dead")
            return super().__call__(indices)

    failing, person = selling(task)
    person = Failing(person.truth)
    failing = replace(failing, answer=person)
    path = tmp_path / "out.shoe"
    with pytest.raises(RuntimeError, match="the line is dead"):
        compress(fresh, failing, "labels<=50, size<=5KB", path)
    (kept,) = (tmp_path / "out.shoe.study").glob("labels-*.json")
    assert json.loads(kept.read_text())["indices"] == person.all and len(person.all) == 20


@pytest.mark.parametrize("known", [0, KNOWN])
def test_a_task_without_a_label_is_started_too(task, fresh, tmp_path, known):
    task, person = selling(task, known)
    model, labelled, result = bought(fresh, task, tmp_path, 30)
    assert len(person.all) == 30 == len(labelled.known()) - known
    assert (result.score_before is None) == (known == 0)
    assert result.score_after == score(labelled.sealed(), model) > result.score_came_in


def test_a_model_that_scores_higher_as_it_came_in_is_kept(task, fresh, tmp_path):
    model = train(clone(fresh), task.sealed(), Training(150, AdamW(3e-3)))  # on all labels
    task, _ = selling(task)
    same, labelled, result = bought(model, task, tmp_path, 10)
    assert same is model and result.best is Best.CAME_IN and result.gain < 0
    assert len(labelled.known()) == KNOWN + 10 and "it scores highest" in str(result)


def test_the_best_of_three_is_compressed():
    scores = {"score_came_in": 0.7, "score_before": 0.8, "score_after": 0.9}
    assert Bought(labels=9, **scores).best is Best.AFTER
    assert Bought(labels=9, **{**scores, "score_before": 0.95}).best is Best.BEFORE
    assert Bought(labels=9, **{**scores, "score_came_in": 0.95}).best is Best.CAME_IN
    assert Bought(labels=9, **{**scores, "score_before": 0.9}).best is Best.AFTER
    assert "the labels that came with the task is compressed" in str(
        Bought(labels=9, **{**scores, "score_before": 0.95})
    )


def test_the_model_of_the_labels_that_came_is_delivered_where_it_scores_highest(
    task, fresh, tmp_path, monkeypatch
):
    task, _ = selling(task, 200)
    teach = Buying._learner

    def untaught(buying: Buying, task: Any, steps: int, *more: Any) -> Any:
        return teach(buying, task, steps if len(task.known()) == 200 else 0, *more)

    monkeypatch.setattr(Buying, "_learner", untaught)
    model, labelled, result = bought(fresh, task, tmp_path, 10)
    assert result.best is Best.BEFORE and len(labelled.known()) == 210
    assert score(task.sealed(), model) == result.score_before > result.score_after


def test_labels_that_teach_nothing_have_no_price(task, fresh, tmp_path):
    inputs, targets = task.train
    told = replace(task, train=(inputs[:150], targets[:150]))
    null = replace(told, unlabelled=inputs[:20].clone(), answer=targets[:20])
    _, _, result = bought(fresh, null, tmp_path, 20)
    assert abs(result.gain) <= 2 * result.error and not result.is_told
    assert "no difference that can be told" in str(result) and "a label is worth" in str(result)


def test_the_error_of_a_difference_is_paired_where_there_are_merits(task, fresh):
    other = train(clone(fresh), task.sealed(), Training(40))
    right = [task.merits(one.eval(), "validation") for one in (fresh, other)]
    expected = np.std(right[1] - right[0], ddof=1) / len(right[0]) ** 0.5
    assert error_of_difference(task, fresh, other) == pytest.approx(expected)
    by_metric = replace(
        task, metric=lambda outputs, truth: float((outputs.argmax(1) == truth).mean())
    )
    errors = [by_metric.standard_error(one, "validation") for one in (fresh, other)]
    assert error_of_difference(by_metric, fresh, other) == pytest.approx(np.hypot(*errors))
    assert error_of_difference(Untold(), fresh, other) is None


class Untold(Shop):
    """A task that does not tell how sure its score is."""

    def merits(self, predict: Any, split: str) -> Any:
        return None


def numbers(known: int) -> tuple[Any, list[int]]:
    """A regression whose labels are for sale, and how many are asked for at a time."""
    with seeded(1):
        inputs = torch.rand(200 + known, 8)
    truth, asked = inputs.sum(1, keepdim=True) ** 2, list[int]()

    def answer(indices: Sequence[int]) -> Tensor:
        asked.append(len(indices))
        return truth[: len(truth) - known][torch.tensor(list(indices))]

    count = len(truth) - known
    task = Supervised(
        train=(inputs[count:], truth[count:]),
        unlabelled=inputs[:count],
        answer=answer,
        validation=(inputs, truth),
        test=(inputs, truth),
        criterion=nn.MSELoss(),
        merit=lambda outputs, targets: -((outputs - targets) ** 2).mean(1),
    )
    return task, asked


@pytest.mark.parametrize("known", [0, 10])
def test_what_cannot_serve_is_found_out_before_anybody_is_asked(tmp_path, known):
    task, asked = numbers(known)
    with seeded(0):
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    said = list[str]()
    _, labelled, result = bought(model, task, tmp_path, 40, said)
    assert sum(asked) == 40 == result.labels and len(labelled.known()) == known + 40
    assert "Margin" not in result.by and result.gain > 0
    refused, taken = said[0], result.by.removeprefix("40 by ").removesuffix("()")
    assert "Margin() cannot choose labels for this task: " in refused
    assert any(f"{taken}() buys the labels in its place" in one for one in said)


def test_nobody_is_asked_where_no_technique_can_serve(task, fresh, tmp_path, monkeypatch):
    task, person = selling(task)
    monkeypatch.setattr("shoestring.plan.buyers.buyers", lambda: iter([Margin()]))
    dead = clone(fresh)
    with torch.no_grad():
        for parameter in dead.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"no technique can choose labels for .*Margin: .*NaN"):
        buyer(dead, task.sealed(), 0, print)
    assert not person.asked


def test_a_note_says_that_long_sequences_are_bought(task, tmp_path):
    words = torch.randint(1, 9, (60, 5))
    tagging = Supervised(
        train=(words[:20], words[:20] % 3),
        unlabelled=words[20:],
        answer=words[20:] % 3,
        validation=(words, words % 3),
        test=(words, words % 3),
        criterion=lambda outputs, tags: nn.functional.cross_entropy(outputs.mT, tags),
        merit=lambda outputs, tags: (outputs.argmax(-1) == tags).mean(1),
    )
    with seeded(0):
        model = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 3))
    said = list[str]()
    bought(model, tagging, tmp_path, 10, said)
    assert any("a label is of a whole sequence" in one and "ByLength()" in one for one in said)
    task, _ = selling(task)
    bought(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task, tmp_path, 10, said := [])
    assert not any("sequence" in one for one in said)


def test_steps_have_a_floor_and_it_is_said_where_time_does_not_allow_it(
    task, fresh, tmp_path, monkeypatch
):
    monkeypatch.undo()
    task, _ = selling(task)
    said = list[str]()
    for seconds, step, expected in (
        (60.0, 0.001, (500, 2000)),  # as the time allows
        (60.0, 0.04, (200, 200)),  # the floor
        (60.0, 1.0, (20, 20)),  # which would take longer than there is
    ):
        buying = Buying(fresh, task, tmp_path, Clock(seconds), say=said.append)
        assert buying._steps(step) == expected
        assert bool(said) == (expected == (20, 20))
    assert "there is time for few steps of training only" in said[0]


def test_the_pool_and_the_limit_of_the_task_count(task, fresh, tmp_path):
    few, person = selling(task, unlabelled=task.train[0][KNOWN:60], answer=None)
    few = replace(few, answer=task.train[1][KNOWN:60])
    said = list[str]()
    assert bought(fresh, few, tmp_path, 500, said)[2].labels == 40
    assert "  labels<=500: the pool has 40, so that is what is bought in all" in said
    limited, person = selling(task, limit=25)
    assert bought(fresh, limited, tmp_path, 500, said)[2].labels == 25 == len(person.all)
    assert any("the task has a limit of 25 more, so that" in one for one in said)
    assert any("has labels of another pool" in one for one in said)
    # The limit counts what was bought before: nobody is asked, and nothing fails.
    assert bought(fresh, limited, tmp_path, 500, said)[2].labels == 25 == len(person.all)


def test_nothing_is_bought_for_nothing(task, fresh, tmp_path):
    task, person = selling(task)
    same, unlabelled, result = bought(fresh, task, tmp_path, 0)
    assert same is fresh and unlabelled is task and result.labels == 0 and not person.asked
    assert str(result) == "no label was bought" and result.gain is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unlabelled": None, "answer": None}, "its pool has 0 examples without a label"),
        ({"answer": None}, "sells 0 labels more"),
        ({"limit": 0}, "sells 0 labels more"),
    ],
)
def test_a_task_that_sells_nothing_is_told_so(task, fresh, tmp_path, settings, message):
    task, _ = selling(task, **settings)
    with pytest.raises(BudgetError, match=message):
        compress(fresh, task, "labels<=5, size<=5KB", tmp_path / "out.shoe")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_kept_is_refused_before_anybody_is_asked(task, fresh, tmp_path):
    task, person = selling(task)
    for budget, settings, message in (
        ("labels<=5, size<=5KB", {"storage": f"journal:{tmp_path}/log"}, "is for one machine"),
        ("labels<=5, person_time<=5h", {}, "leave person_time out"),
        ("labels<=5, latency<=1ms", {"meters": []}, "no meter that was given measures it"),
    ):
        with pytest.raises(BudgetError, match=message):
            compress(fresh, task, budget, tmp_path / "out.shoe", **settings)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"write its method recalled\(indices, labels\)"):
        bought(fresh, Shop(), tmp_path, 5)
    assert not person.asked


def test_a_process_of_the_same_search_waits_for_the_one_that_buys(
    task, fresh, tmp_path, monkeypatch
):
    task, person = selling(task)
    silent = replace(task, answer=lambda indices: pytest.fail("a second one was asked"))
    results: list[Any] = []

    hashed: list[int] = []

    def meanwhile(seconds: float) -> None:
        assert len(results) < 3, "it waits although everything is bought"
        hashed.append(len(hashes))
        if not results:  # at first somebody buys fewer
            results.append(bought(fresh, task, tmp_path, 10))
            before = results.pop()[2].waited
            store = LabelStore.of(tmp_path, label_task(task.sealed()), print)
            store.waited = before + 5.0  # a person takes his time
            store._write()
            results.append(None)
        else:
            results[0] = bought(fresh, task, tmp_path, 20)
            hashed.pop()

    hashes: list[int] = []
    digest = label_store._digest
    monkeypatch.setattr(label_store, "_digest", lambda *args: hashes.append(1) or digest(*args))
    monkeypatch.setattr(labels, "sleep", meanwhile)
    clock = Clock(600.0)
    began = clock.began
    worker = Buying(fresh, silent, tmp_path, clock)
    its_model, its_task, its_result = worker.of_another(20)
    ((model, _, result),) = results
    assert torch.equal(weights(its_model), weights(model)) and its_result.digest == result.digest
    assert its_task.known().tolist()[KNOWN:] == person.all
    # the time in which a person answers is not lost, and the pool is hashed before the wait alone
    assert clock.began - began == pytest.approx(its_result.waited) and its_result.waited > 5.0
    assert hashed == [1]


@dataclass(frozen=True, kw_only=True)
class FromTheEnd(Technique):
    """Buy the last examples of the pool, all at once."""

    stage: ClassVar[Stage | None] = Stage.LABELS

    labels: int = 3

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """A copy of the model; the labels are bought of the task."""
        sold = label_task(task)
        sold.buy(np.asarray(sold.pool())[-self.labels :])
        return clone(model)


def test_a_technique_that_nobody_has_seen_buys(task, fresh, tmp_path, monkeypatch):
    known = {type(one) for one in label_techniques()}
    assert {FromTheEnd, Margin, Random} <= known
    assert type(next(buyers())) is Margin  # the one that says so
    assert not any(move.stage is Stage.LABELS for move in moves())
    monkeypatch.setattr(FromTheEnd, "first_choice", True)
    task, person = selling(task)
    _, _, result = bought(fresh, task, tmp_path, 12)
    assert person.asked == [list(range(len(person.truth) - 12, len(person.truth)))]
    assert result.by == "12 by FromTheEnd()"


def test_a_run_that_may_buy_so_many_buys_no_more_and_is_heard(task):
    task, person = selling(task)
    heard: list[Any] = []
    run = Purchases(most=5, heard=lambda *purchase: heard.append(purchase))
    counted = label_task(run.counted(task.sealed()))
    assert counted.left() == 5
    first = counted.buy([0, 1, 0])
    assert first.left() == 3 and run.indices == (0, 1)
    ((indices, told, seconds),) = heard
    assert indices == [0, 1] and told.tolist() == person.truth[:2].tolist() and seconds >= 0
    with pytest.raises(LabelBudgetError, match="6 labels in all were asked for and 5 may be"):
        first.buy([2, 3, 4, 5])
    assert len(person.all) == 2 == len(heard[0][0])
    first.buy([0, 1])  # costs nothing
    assert len(heard) == 1
    with pytest.raises(AttributeError, match="which counts them"):
        _ = counted.answer


def test_rounds_and_steps_are_set_where_a_technique_has_them():
    sizes = sized(Margin(), 25, 40, 5)
    assert sizes == Margin(labels=25, rounds=2, training=Training(40))
    assert sized(Margin(), 100, 40, 3) == Margin(labels=100, rounds=3, training=Training(40))
    assert sized(FromTheEnd(), 7, 40, 5) == FromTheEnd(labels=7)


@pytest.mark.slow
def test_a_forecast_buys_nothing(task, model):
    task, person = selling(task)
    result = forecast(model, task, "labels<=30, size<=5KB", minutes=0.2)
    assert result.to_buy == 30 and not person.asked
    assert "as the model came in, before 30 labels are bought" in str(result)


def test_a_search_works_on_what_the_labels_made(task, fresh, tmp_path):
    export(fresh, task)  # its imports take seconds
    task, person = selling(task)
    said, told = list[str](), list[dict[str, Any]]()
    outcome = compress(
        fresh,
        task,
        "labels<=60, size<=3KB",
        tmp_path / "out.shoe",
        minutes=1.5,
        say=said.append,
        tell=told.append,
    )
    assert outcome.met and outcome.bought is not None and len(person.all) == 60
    known, learnt = outcome.bought, outcome.learnt
    best = max(known.score_came_in or 0, known.score_before or 0, known.score_after or 0)
    # the examples that nobody was asked about are learnt from after that
    assert learnt is not None and learnt.known == KNOWN + 60
    assert learnt.score_came_in == pytest.approx(best, abs=0.03)
    assert outcome.score_before == pytest.approx(learnt.score or best, abs=0.03)
    assert any("with 60 labels bought" in one for one in said if "forecast" in one)
    assert str(outcome.bought) in str(outcome) and "labels<=60" in str(outcome)
    assert [one["bought"] for one in told if one["event"] == "labels"][-1] == 60
    note = json.loads((outcome.folder / "search.json").read_text())
    assert note["bought"] == str(outcome.bought)


@pytest.mark.slow
def test_labels_alone_in_a_budget_deliver_the_smallest_file_that_loses_nothing(
    task, tmp_path, monkeypatch
):
    monkeypatch.undo()
    task, person = selling(task)
    with seeded(0):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        few = train(network, task.sealed(), Training(200, AdamW(3e-3)))  # on few labels
    outcome = compress(few, task, "labels<=80", tmp_path / "out.shoe", minutes=1.5)
    assert len(person.all) == 80 and outcome.bought is not None and outcome.bought.gain > 0.05
    assert outcome.trial.score >= outcome.score_before - 0.03


KILLED = """
import os, signal, sys
import torch
from dataclasses import replace
from torch import nn
from shoestring.core import seeded
from shoestring.tasks import digits

def few():
    task = digits()
    inputs, targets = task.train

    def answer(indices):
        asked = open("asked.txt").read().count("\\n") if os.path.exists("asked.txt") else 0
        if asked == 2 and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        with open("asked.txt", "a") as file:
            file.write(" ".join(map(str, indices)) + "\\n")
        return targets[20:][torch.tensor(list(indices))]

    with seeded(0):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    given = inputs[:20], targets[:20]
    return model, replace(task, train=given, unlabelled=inputs[20:], answer=answer)
"""


@pytest.mark.slow
def test_a_killed_command_does_not_ask_twice(tmp_path):
    (tmp_path / "mine.py").write_text(KILLED)
    words = ["compress", "mine.py:few", "--budget", "labels<=50, size<=6KB", "--minutes", "2"]

    def run() -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "shoestring.cli", *words],
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
        )

    assert run().returncode == -signal.SIGKILL
    ended = run()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    asked = (tmp_path / "asked.txt").read_text().split()
    assert len(asked) == len(set(asked)) == 50
    assert "20 of the 20 labels that were bought before are used again" in ended.stdout
    assert "labels                  50 labels bought, 50 by Margin()" in ended.stdout
    rows = [row for row in Ledger(tmp_path / "shoestring.ledger").rows() if row.cost_after.labels]
    assert [row.cost_after.labels for row in rows] == [30]  # the killed one wrote no row
