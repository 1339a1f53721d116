"""How long a training is where nobody says, and how long it takes."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from made_networks import Dense, rings

from shoestring.core import Budget
from shoestring.search import CountedOperations, Halving
from shoestring.search import training_length as module
from shoestring.search.limits import Feasible
from shoestring.search.training_length import FEWEST, FULL, MOST, TooShortError, at, steps_for


def steps(
    tmp_path, monkeypatch, seconds: float, a_step: float, seed: int = 0, say=lambda text: None
) -> int:
    monkeypatch.setattr(module, "_seconds_a_step", lambda *_: a_step)
    feasible = Feasible(Dense(), rings(), Budget(), (CountedOperations(),))
    return steps_for(Dense(), rings(), feasible, tmp_path, seconds, Halving(), seed, say)


def test_the_time_is_for_a_dozen_full_trainings(tmp_path, monkeypatch):
    assert steps(tmp_path, monkeypatch, seconds=12_000, a_step=1.0) == 12_000 / FULL


def test_the_shortest_training_has_enough_steps_where_there_is_time(tmp_path, monkeypatch):
    # a ninth of a training is to have 40 steps, which takes less than a quarter of the time
    assert steps(tmp_path, monkeypatch, seconds=2_000, a_step=1.0) == FEWEST * 9
    assert steps(tmp_path, monkeypatch, seconds=400, a_step=1.0, seed=1) == 100


def test_there_is_an_end(tmp_path, monkeypatch):
    assert steps(tmp_path, monkeypatch, seconds=1e9, a_step=1.0) == MOST


def test_the_number_is_kept_since_trainings_of_different_lengths_do_not_compare(
    tmp_path, monkeypatch
):
    first = steps(tmp_path, monkeypatch, seconds=12_000, a_step=1.0)
    assert steps(tmp_path, monkeypatch, seconds=50, a_step=9.0) == first
    (note,) = tmp_path.glob("length-*.json")
    assert json.loads(note.read_text()) == {"steps": first, "seconds_a_step": 1.0}


def test_a_later_search_with_time_for_twice_as_long_trainings_is_told(tmp_path, monkeypatch):
    said = list[str]()
    for minutes in (200, 300):
        assert steps(tmp_path, monkeypatch, 60.0 * minutes, a_step=1.0, say=said.append) == 1000
    assert said == []
    assert steps(tmp_path, monkeypatch, 60.0 * 400, a_step=1.0, say=said.append) == 1000
    (line,) = said
    assert "1,000 steps" in line and "time for 2,000 now" in line and "another --out" in line


def test_no_time_for_a_step_is_an_error_with_the_time_that_is_enough(tmp_path, monkeypatch):
    with pytest.raises(TooShortError, match="a step of training takes 2 s") as caught:
        steps(tmp_path, monkeypatch, seconds=3.0, a_step=2.0)
    assert caught.value.seconds == 4 * FEWEST * 9 * 2.0  # four trainings of 360 steps
    assert steps(tmp_path, monkeypatch, seconds=8.0, a_step=2.0) == 1


def test_processes_that_begin_together_take_the_number_of_the_first(tmp_path, monkeypatch):
    """While this one times its steps, another one writes what it found."""
    feasible = Feasible(Dense(), rings(), Budget(), (CountedOperations(),))
    given = Dense(), rings(), feasible, tmp_path, 12_000, Halving(), 0
    others = list[int]()

    def timed(*_: object) -> float:
        if not others:
            others.append(0)
            monkeypatch.setattr(module, "_seconds_a_step", lambda *_: 4.0)
            others[0] = steps_for(*given)
        return 1.0

    monkeypatch.setattr(module, "_seconds_a_step", timed)
    assert steps_for(*given) == others[0]


def test_small_networks_take_as_long_as_each_other_and_large_ones_in_proportion():
    alike = [(10.0, 2.0), (100.0, 2.1), (50.0, 1.9)]
    assert at(1.0, alike) == pytest.approx(2.0, rel=0.1)
    rising = [(100.0, 10.0), (200.0, 20.0), (300.0, 30.0)]
    assert at(400.0, rising) == pytest.approx(40.0)
    assert at(50.0, [(100.0, 10.0)]) == 10.0


def test_what_takes_more_operations_never_takes_less_time():
    known = [(100.0, 10.0), (200.0, 5.0), (300.0, 8.0)]
    values = [at(place, known) for place in (1.0, 100.0, 250.0, 1000.0)]
    assert all(a <= b for a, b in pairwise(values)) and min(values) >= 0
