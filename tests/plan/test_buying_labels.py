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

from shoestring.core import BudgetError, Ledger, Stage, Task, Technique, score, seeded
from shoestring.core.labels import label_task
from shoestring.kit import AdamW, Supervised, Training, clone, export, parameters_of, train
from shoestring.label import Margin, Random
from shoestring.plan import compress, forecast, labels
from shoestring.plan.clock import Clock
from shoestring.plan.label_store import LabelStore
from shoestring.plan.labels import Buying, chosen, sized
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
    (row,) = ledger.rows()
    assert row.kind == "apply" and row.score_before is not None
    assert row.cost_after.labels == 40 and row.technique.startswith("Margin(labels=40")
    # what the labels brought is against the better of what was there before
    assert result.score_after == score(labelled.sealed(), model) > result.score_before
    assert result.gain == pytest.approx(
        result.score_after - max(result.score_before, result.score_came_in)
    )
    assert result.as_json()["gain_a_label"] == pytest.approx(result.gain / 40)
    assert "40 labels bought, 40 by Margin()" in said[-1] and "points a label" in said[-1]

    again, _, same = bought(fresh, task, tmp_path, 40, said, ledger=ledger)
    assert len(person.all) == 40 and len(ledger.rows()) == 1 and same.fresh == 0
    assert torch.equal(weights(again), weights(model)) and same.digest == result.digest

    _, more, larger = bought(fresh, task, tmp_path, 55, said, ledger=ledger)
    assert len(person.all) == len(set(person.all)) == 55 and larger.fresh == 15
    assert more.known().tolist()[KNOWN:] == person.all
    assert [row.cost_after.labels for row in ledger.rows()] == [40, 15]

    _, fewer, smaller = bought(fresh, task, tmp_path, 10, said)
    assert fewer.known().tolist()[KNOWN:] == person.all[:10] and smaller.labels == 10
    assert len({result.digest, larger.digest, smaller.digest}) == 3
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
    model = train(fresh, task.sealed(), Training(150, AdamW(3e-3)))  # on all labels
    task, _ = selling(task)
    same, labelled, result = bought(model, task, tmp_path, 10)
    assert same is model and result.kept and result.gain < 0
    assert len(labelled.known()) == KNOWN + 10 and "it scores higher" in str(result)


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

    def meanwhile(seconds: float) -> None:
        assert not results, "it waits although everything is bought"
        results.append(bought(fresh, task, tmp_path, 20))

    monkeypatch.setattr(labels, "sleep", meanwhile)
    its_model, its_task, its_result = Buying(fresh, silent, tmp_path, Clock(600.0)).of_another(20)
    ((model, _, result),) = results
    assert torch.equal(weights(its_model), weights(model)) and its_result.digest == result.digest
    assert its_task.known().tolist()[KNOWN:] == person.all


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
    assert type(chosen(label_techniques())) is Margin  # the one that says so
    assert not any(move.stage is Stage.LABELS for move in moves())
    monkeypatch.setattr(FromTheEnd, "first_choice", True)
    task, person = selling(task)
    _, _, result = bought(fresh, task, tmp_path, 12)
    assert person.asked == [list(range(len(person.truth) - 12, len(person.truth)))]
    assert result.by == "12 by FromTheEnd()"


def test_a_technique_that_wants_more_than_the_budget_gets_nothing(task, tmp_path):
    task, _ = selling(task)
    store = LabelStore.of(tmp_path, task, print)
    keeping = labels.Keeping(task, store, "X", 5, lambda seconds, count: None)
    assert keeping.left() == 5
    first = keeping.buy([0, 1, 0])
    assert first.left() == 3 and store.indices == [0, 1]
    with pytest.raises(AttributeError, match="which keeps them"):
        _ = keeping.answer


def test_rounds_and_steps_are_set_where_a_technique_has_them():
    sizes = sized(Margin(), 25, 40)
    assert sizes == Margin(labels=25, rounds=2, training=Training(40))
    assert sized(FromTheEnd(), 7, 40) == FromTheEnd(labels=7)


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
    assert outcome.score_before == pytest.approx(outcome.bought.score_after, abs=0.06)
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
