"""A budget limits scores by name.

Another file is delivered where recall decides, and all that is said has them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from shoestring import Supervised
from shoestring.core import Budget, BudgetError, Cost, Ledger, seeded
from shoestring.kit import Trial
from shoestring.plan import compress, main_job
from shoestring.plan.blocking import blocking
from shoestring.plan.frontier import Frontier
from shoestring.plan.kept import kept
from shoestring.plan.verdict import better, judge

ACCURACY, BOTH = "drop<=6%", "drop<=6%, drop(recall)<=2%"


@pytest.fixture(scope="module")
def model() -> nn.Module:
    with seeded(0):
        return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 2))


@pytest.fixture(scope="module")
def task(model: nn.Module) -> Supervised:
    """One example in twenty is of the rare class, and the model is hardly sure of these.

    They go first.
    """

    def split(seed: int) -> Any:
        x = torch.randn(40_000, 16, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            margin = model(x).diff(dim=1)[:, 0]
        unit = float(margin.std())
        rare = x[(margin > 0.02 * unit) & (margin < 0.12 * unit)][:50]
        common = x[margin < -0.5 * unit][:950]
        assert len(rare) == 50 and len(common) == 950
        return torch.cat([rare, common]), torch.cat([torch.ones(50), torch.zeros(950)]).long()

    return Supervised(
        train=split(1),
        validation=split(2),
        test=split(3),
        name="rare",
        metrics={
            "recall": lambda out, y: (out.argmax(-1) == 1)[y == 1].mean(),
            "classes": lambda out, y: 2.0,
        },
    )


@pytest.fixture(scope="module")
def found(model: nn.Module, task: Supervised, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A search that ends after the files without training, and its folder."""
    folder = tmp_path_factory.mktemp("named")
    events: list[dict[str, Any]] = []

    def say(text: str) -> None:
        if "without training" in text:
            raise KeyboardInterrupt

    report = main_job(
        lambda: (model, task),
        Budget.parse(BOTH),
        folder / "out.shoe",
        minutes=4,
        ledger=Ledger(folder / "ledger"),
        say=say,
        tell=events.append,
    )
    return report, folder, events


@pytest.mark.slow
def test_the_limit_on_recall_decides_another_file(found: Any):
    outcome = found[0].outcome
    before = outcome.scores_before
    assert (
        outcome.met
        and outcome.trial.technique != "chain()"
        and before == {"recall": 1.0, "classes": 2.0}
    )
    assert (
        outcome.trial.scores["recall"] >= 0.98
        and outcome.file.stat().st_size == outcome.trial.cost.bytes
    )
    key: Any = better(Budget.parse(ACCURACY), outcome.score_before)
    alone = min(outcome.trials, key=key)
    assert judge(Budget.parse(ACCURACY), alone, outcome.score_before).fits
    assert alone.cost.bytes < outcome.trial.cost.bytes and alone.scores["recall"] < 0.98
    verdict = judge(outcome.limits, alone, outcome.score_before)
    assert set(verdict.broken) == {"drop(recall)"} and verdict.excess > 0
    assert verdict.broken["drop(recall)"] == (pytest.approx(1 - alone.scores["recall"]), 0.02)


@pytest.mark.slow
def test_all_that_is_said_has_them(found: Any):
    report, folder, events = found
    told, text = report.as_json(), report.as_text()
    assert told["budget"] == told["limits"] == "drop<=0.06, drop(recall)<=0.02"
    assert told["validation_scores_before"] == {"recall": 1.0, "classes": 2.0}
    assert told["validation_scores_after"] == report.outcome.trial.scores
    assert told["scores_before"]["recall"] == 1.0 and told["scores_after"].keys() == {
        "recall",
        "classes",
    }
    assert json.loads(json.dumps(told)) == told
    for line in (
        "recall (test)                 1.0000",
        "recall (validation)           1.0000",
        "classes (test)",
    ):
        assert line in text
    assert "recall" in str(report.outcome.frontier).splitlines()[0]
    assert any("scores" in event for event in events)
    _, frontier, _ = kept(folder / "out.shoe.study")
    assert [one.scores for one in frontier.points] == [
        one.scores for one in report.outcome.frontier.points
    ]
    assert frontier.as_json()[0]["scores"].keys() == {"recall", "classes"}


@pytest.mark.slow
def test_the_ledger_has_them(found: Any):
    report, folder, _ = found
    rows = Ledger(folder / "ledger").rows()
    made = [row for row in rows if row.kind == "apply"]
    assert made and all(row.scores_before == {"recall": 1.0, "classes": 2.0} for row in made)
    trials = {one.technique: one.scores for one in report.outcome.trials}
    assert all(row.scores_after == trials[row.technique] for row in made)
    assert [row.scores_after for row in rows if row.kind == "prove"] == [
        report.scores_before,
        report.scores_after,
    ]


def test_a_name_that_the_task_does_not_have_is_refused(
    model: nn.Module, task: Supervised, tmp_path: Path
):
    with pytest.raises(
        BudgetError, match=r"drop\(recal\).*its scores are recall, classes; did you mean recall\?"
    ):
        compress(model, task, "drop(recal)<=1%", tmp_path / "a.shoe", minutes=2)
    plain = replace(task, metrics={}, name="plain")
    with pytest.raises(
        BudgetError, match=r"the task has no score called 'recall': it has none by name"
    ):
        compress(model, plain, "score(recall)>=0.5", tmp_path / "b.shoe", minutes=2)
    assert not (tmp_path / "a.shoe").exists()


# -- what nothing was measured for

BASE = 0.9
LIMITS = Budget.parse("size<=1KB, drop(recall)<=1%, score(F1)>=0.7").against(
    Cost(), {"recall": 0.8, "F1": 0.75}
)


def trial(size: int, **scores: float) -> Trial:
    return Trial(technique=f"t{size}", cost=Cost(bytes=size), score=0.9, scores=scores)


def test_a_verdict_by_name():
    assert judge(LIMITS, trial(900, recall=0.79, F1=0.7), BASE).fits
    near, far = (judge(LIMITS, trial(900, recall=recall, F1=0.7), BASE) for recall in (0.78, 0.5))
    assert set(near.broken) == set(far.broken) == {"drop(recall)"} and 0 < near.excess < far.excess
    lower = judge(LIMITS, trial(900, recall=0.8, F1=0.6), BASE)
    assert lower.broken == {"score(F1)": (0.6, 0.7)} and lower.excess > 0
    unknown = judge(LIMITS, trial(900, F1=0.7), BASE)
    assert unknown.broken == {"drop(recall)": (None, 0.01)} and unknown.excess == float("inf")
    assert len(judge(LIMITS, replace(trial(900), score=None), BASE).broken) == 3


def test_which_limit_by_name_blocks_and_what_would_do():
    trials = [
        trial(900, recall=0.75, F1=0.72),
        trial(800, recall=0.7, F1=0.72),
        trial(2000, recall=0.8, F1=0.8),
    ]
    (said,) = blocking(LIMITS, trials[0], trials, BASE)
    assert said.startswith(
        "drop(recall) blocks: 0.05 was reached and 0.01 asked for; drop(recall)<=0.05 would do"
    )
    poor = [trial(900, recall=0.8, F1=0.6), trial(700, recall=0.8, F1=0.65)]
    (said,) = blocking(LIMITS, poor[0], poor, BASE)
    assert "score(F1) blocks: 0.6 was reached and 0.7 asked for; score(F1)>=0.65 would do" in said


def test_trials_without_scores_by_name_are_kept_as_they_were():
    plain, named = trial(900), trial(900, recall=0.5)
    assert "scores" not in json.loads(plain.to_json()) and Trial.from_json(plain.to_json()) == plain
    assert Trial.from_json(named.to_json()) == named
    head = str(Frontier.of([plain], ("bytes",), BASE)).splitlines()[0]
    assert head.split() == ["bytes", "score", "lost", "exchange", "by"]
