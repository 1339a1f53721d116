"""Which networks are trained longer, by numbers that a reader can check."""

import pytest

from shoestring.kit import Trial
from shoestring.search import Halving


def trials(scores: dict[str, float | None], share: float) -> list[Trial]:
    return [Trial(technique=name, fidelity=share, score=score) for name, score in scores.items()]


FIRST = {"a": 0.1, "b": 0.6, "c": 0.5, "d": 0.2, "e": None, "f": 0.3, "g": 0.4}
HALVING = Halving((0.25, 1.0), 0.34)


def test_the_best_third_goes_on_and_each_once():
    assert [(one.technique, share) for one, share in HALVING.next(trials(FIRST, 0.25))] == [
        ("b", 1.0),
        ("c", 1.0),
    ]
    more = [*trials(FIRST, 0.25), *trials({"b": 0.9}, 1.0)]
    assert [one.technique for one, _ in HALVING.next(more)] == ["c"]


def test_nobody_waits_but_two_networks_are_too_few():
    assert not list(HALVING.next(trials({"a": 0.1, "b": 0.6}, 0.25)))


def test_the_longest_trainings_come_first():
    halving = Halving()
    some = [*trials(FIRST, 1 / 9), *trials({"b": 0.6, "c": 0.7, "d": 0.5}, 1 / 3)]
    assert next((one.technique, share) for one, share in halving.next(some)) == ("c", 1.0)


def test_without_parts_every_network_is_trained_fully():
    assert not list(Halving((1.0,)).next(trials(FIRST, 1.0)))
    assert Halving((1.0,)).full_trainings(9) == 9
    assert Halving().full_trainings(9) == pytest.approx(3)


@pytest.mark.parametrize("shares", [(), (0.5,), (0.5, 0.2, 1.0), (0.0, 1.0), (0.5, 0.5, 1.0)])
def test_shares_out_of_order_are_errors(shares):
    with pytest.raises(ValueError, match="rising numbers above 0"):
        Halving(shares)


def test_a_share_kept_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="above 0 and below 1"):
        Halving(kept=1.0)
