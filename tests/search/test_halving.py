"""Which networks are trained longer, by numbers that a reader can check."""

import pytest

from shoestring.kit import Trial
from shoestring.search import Halving


def trials(scores: dict[str, float | None], share: float) -> list[Trial]:
    return [Trial(technique=name, fidelity=share, score=score) for name, score in scores.items()]


FIRST = {"a": 0.1, "b": 0.6, "c": 0.5, "d": 0.2, "e": None, "f": 0.3, "g": 0.4}
HALVING = Halving(rungs=1)


def test_the_best_third_goes_on_and_each_once():
    assert [(one.technique, share) for one, share in HALVING.next(trials(FIRST, 1 / 3))] == [
        ("b", 1.0),
        ("c", 1.0),
    ]
    more = [*trials(FIRST, 1 / 3), *trials({"b": 0.9}, 1.0)]
    assert [one.technique for one, _ in HALVING.next(more)] == ["c"]


def test_nobody_waits_but_two_networks_are_too_few():
    assert not list(HALVING.next(trials({"a": 0.1, "b": 0.6}, 1 / 3)))


def test_the_longest_trainings_come_first():
    halving = Halving()
    some = [*trials(FIRST, 1 / 9), *trials({"b": 0.6, "c": 0.7, "d": 0.5}, 1 / 3)]
    assert next((one.technique, share) for one, share in halving.next(some)) == ("c", 1.0)


def test_without_parts_every_network_is_trained_fully():
    assert not list(Halving(rungs=0).next(trials(FIRST, 1.0)))


def test_lengths_by_hand():
    assert Halving().parts == [1, 3, 9] and Halving().shares == [1 / 9, 1 / 3, 1]
    assert Halving(rungs=0).shares == [1]
    assert Halving().looks(90) == {10: 1, 30: 3}
    assert Halving(factor=2, rungs=3).looks(80) == {10: 1, 20: 2, 40: 4}
    assert Halving().looks(2) == {1: 3} and Halving(rungs=0).looks(90) == {}


@pytest.mark.parametrize("made", [lambda: Halving(factor=1), lambda: Halving(rungs=-1)])
def test_numbers_out_of_range_are_errors(made):
    with pytest.raises(ValueError, match="2 or more and 0 rungs or more"):
        made()
