"""Curves by hand, and what one saves against another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from shoestring.core import Cost, Ledger, Row, Task, Technique, label_task, spend
from shoestring.core.curve import Curve, Run, curve, saving

from .games import Nim, Shop

PLAIN = Curve(
    resource="labels", costs=((10, 20, 40), (10, 20, 40)), scores=((0.5, 0.6, 0.8), (0.5, 0.7, 0.9))
)


def test_what_a_score_needs_is_read_between_the_points():
    assert PLAIN.reached() == 0.8
    assert PLAIN.needed(0.7) == (pytest.approx(30), pytest.approx(20)) and PLAIN.needed(0.85) == (
        None,
        pytest.approx(35),
    )
    assert PLAIN.needed(0.1) == (10, 10), "what the first point takes, where that is enough"
    falls = Curve(resource="labels", costs=((1, 2, 3),), scores=((0.9, 0.1, 0.9),))
    assert falls.needed(0.9) == (1,) and falls.reached() == 0.9


def test_what_is_saved_at_equal_score():
    ours = Curve(resource="labels", costs=((10, 20), (10, 20)), scores=((0.5, 0.9), (0.5, 0.8)))
    found = saving(ours, PLAIN)
    assert (
        found.score == 0.8
        and found.ours == (pytest.approx(17.5), 20)
        and found.baseline == (40, pytest.approx(30))
    )
    assert found.share == pytest.approx(37.5 / 70) and found.wins == 2
    assert (
        str(found)
        == "a score of 0.8000 with labels 17.5, 20, in place of 40, 30 (one number a seed)"
    )
    none = saving(Curve(resource="labels", costs=((1,), (1,)), scores=((0.9,), (0.7,))), PLAIN)
    assert none.share is None and none.wins == 1 and "labels 1, never" in str(none)
    itself = saving(PLAIN, PLAIN)
    assert itself.share == 1 and itself.wins == 0


def test_curves_that_do_not_fit_are_refused():
    with pytest.raises(
        ValueError, match=r"curves of seconds \(1 seeds\) and labels \(2 seeds\) cannot be compared"
    ):
        saving(Curve(resource="seconds", costs=((1,),), scores=((1,),)), PLAIN)
    with pytest.raises(ValueError, match=r"must rise from point to point, and are \[2, 1\]"):
        Curve(resource="labels", costs=((2, 1),), scores=((0, 0),))
    for costs, scores in (((), ()), (((),), ((),)), (((1,),), ((1, 2),)), (((1,),), ((1,), (1,)))):
        with pytest.raises(ValueError, match="a row of costs and a row of scores for each seed"):
            Curve(resource="labels", costs=costs, scores=scores)


@dataclass(frozen=True, kw_only=True)
class Buy(Technique):
    labels: int

    def __call__(self, model: Any, task: Task) -> Any:
        label_task(task).buy(range(5, 5 + self.labels))
        spend("person_seconds", 3.0 * self.labels)
        return model


def test_costs_are_read_off_the_ledger(beginner: nn.Module, tmp_path: Path):
    def runs(seed: int) -> list[Run]:
        return [
            (Buy(labels=count), beginner, Shop(bought=(0, 1), games=20 + seed)) for count in (3, 6)
        ]

    found = curve(runs, resource="labels", seeds=(0, 1))
    assert found.costs == ((5, 8), (5, 8)) and all(
        0 <= one <= 1 for row in found.scores for one in row
    )
    ledger = Ledger(tmp_path / "kept.sqlite")
    assert curve(runs, resource="person_seconds", seeds=(7,), ledger=ledger).costs == ((9.0, 18.0),)
    assert [(row.seed, row.cost_after.labels) for row in ledger.rows()] == [(7, 3), (7, 6)]
    with pytest.raises(
        ValueError, match=r"nobody measured the communicated_bytes of Buy\(labels=3\)"
    ):
        curve(runs, resource="communicated_bytes", seeds=(0,))


def test_rows_of_another_run_in_the_same_ledger_do_not_count(beginner: nn.Module, tmp_path: Path):
    ledger = Ledger(tmp_path / "shared.sqlite")

    @dataclass(frozen=True, kw_only=True)
    class Noisy(Technique):
        def __call__(self, model: Any, task: Task) -> Any:
            row = Row(kind="apply", technique="Other()", run="another", cost_after=Cost(labels=100))
            ledger.append(row)  # as another process would, meanwhile
            return Buy(labels=3)(model, task)

    shop = Shop(bought=(0, 1), games=20)
    found = curve(
        lambda seed: [(Noisy(), beginner, shop)], resource="labels", seeds=(0,), ledger=ledger
    )
    assert found.costs == ((5,),)


def test_results_are_scored_on_the_split_that_is_asked_for(beginner: nn.Module):
    @dataclass(frozen=True)
    class Same(Technique):
        def __call__(self, model: Any, task: Task) -> Any:
            spend("training_operations", 1)
            return model

    game = Nim(test_reads=[])
    curve(lambda seed: [(Same(), beginner, game)], resource="training_operations", seeds=(0,))
    assert game.test_reads == []
    curve(
        lambda seed: [(Same(), beginner, game)],
        resource="training_operations",
        seeds=(0,),
        split="test",
    )
    assert game.test_reads == ["test"]
