"""What a budget says of a trial, by hand."""

import math

import pytest

from shoestring.core import Budget, BudgetError, Cost
from shoestring.kit import Trial
from shoestring.plan.verdict import better, judge, quicker, wants_smaller

BASE = 0.9


def trial(
    size: int | None = 1000,
    score: float | None = 0.9,
    noise: tuple[float, float] | None = None,
    **cost: float,
) -> Trial:
    return Trial(
        technique=f"T({size}, {score}, {cost})",
        score=score,
        cost=Cost(bytes=size, **cost),  # type: ignore[arg-type]
        noise={} if noise is None else {"milliseconds": noise},
        when=0.0,
    )


def test_a_limit_is_kept_where_the_value_equals_it_and_broken_one_above():
    kept = judge(Budget(size=1000), trial(1000), BASE)
    assert kept.fits and kept.broken == {} and kept.undecided == {} and kept.excess == 0
    broken = judge(Budget(size=1000), trial(1001), BASE)
    assert not broken.fits and broken.broken == {"size": (1001, 1000)}
    assert broken.excess == pytest.approx(math.log(1.001))


@pytest.mark.parametrize(
    ("interval", "kept", "undecided"),
    [
        ((0.8, 0.99), True, False),
        ((0.8, 1.0), True, False),  # all of it within the limit
        ((0.9, 1.1), True, True),
        ((1.0, 1.2), True, True),  # the limit is in it, if only just
        ((1.01, 1.2), False, False),
    ],
)
def test_an_interval_that_holds_the_limit_is_undecided_and_never_broken(interval, kept, undecided):
    middle = sum(interval) / 2
    found = judge(Budget(latency=1.0), trial(milliseconds=middle, noise=interval), BASE)
    assert found.fits is kept
    assert found.undecided == ({"latency": (middle, 1.0)} if undecided else {})
    assert found.broken == ({} if kept else {"latency": (middle, 1.0)})


def test_without_an_interval_a_measurement_counts_as_it_is():
    assert judge(Budget(latency=1.0), trial(milliseconds=1.01), BASE).broken == {
        "latency": (1.01, 1.0)
    }


def test_what_nobody_measured_is_broken_and_nothing_is_further_away():
    found = judge(Budget(latency=1.0, size=2000), trial(1000), BASE)
    assert found.broken == {"latency": (None, 1.0)} and found.excess == math.inf


def test_a_trial_that_failed_breaks_every_limit():
    found = judge(Budget(latency=1.0, size=2000, drop=0.1), trial(1000, None), BASE)
    assert set(found.broken) == {"latency", "size", "drop"} and found.excess == math.inf
    assert not judge(Budget(), trial(1000, None), BASE).fits


def test_a_drop_is_counted_from_the_score_that_came_in():
    assert judge(Budget(drop=0.02), trial(score=0.88), BASE).fits
    found = judge(Budget(drop=0.02), trial(score=0.84), BASE)
    assert found.broken["drop"] == (pytest.approx(0.06), 0.02)
    assert found.excess == pytest.approx(math.log(1 + 0.04 / 0.02))


def test_a_least_score_is_a_limit_from_below():
    assert judge(Budget(score=0.88), trial(score=0.88), BASE).fits
    found = judge(Budget(score=0.88), trial(score=0.86), BASE)
    assert found.broken == {"score": (0.86, 0.88)}
    assert found.excess == pytest.approx(math.log(1 + 0.02 / 0.02)), "as much again as may be lost"


def test_time_and_labels_are_no_matter_of_the_file():
    assert judge(Budget(time=1.0, labels=3), trial(seconds=50.0), BASE).fits


def first(budget: Budget, *trials: Trial) -> Trial:
    orders = [min(order, key=better(budget, BASE)) for order in (trials, trials[::-1])]  # type: ignore[type-var]
    assert orders[0] == orders[1], "whatever came first"
    return orders[0]


def test_fewer_broken_limits_come_before_less_excess():
    budget = Budget(size=1000, drop=0.01)
    one, two = trial(9000, 0.9), trial(1001, 0.88)
    assert len(judge(budget, one, BASE).broken) == 1 and len(judge(budget, two, BASE).broken) == 2
    assert judge(budget, one, BASE).excess > judge(budget, two, BASE).excess
    assert first(budget, one, two) == one


def test_of_as_many_broken_limits_the_least_excess_comes_first():
    assert first(Budget(size=1000), trial(1500, 0.5), trial(2000, 0.9)) == trial(1500, 0.5)
    # A hair's breadth of it is not worth a point of the score.
    assert first(Budget(size=1000), trial(1500, 0.89), trial(1520, 0.9)) == trial(1520, 0.9)
    assert first(Budget(size=1000), trial(1500, 0.89), trial(1700, 0.9)) == trial(1500, 0.89)
    # 1.1 times the size is a tenth too much; half a point over a drop of a point is half.
    budget = Budget(size=1000, drop=0.01)
    assert first(budget, trial(1100, 0.9), trial(900, 0.885)) == trial(1100, 0.9)


def test_of_those_that_keep_all_the_highest_score_or_without_a_resource_the_smallest():
    small, good, poor = trial(500, 0.89), trial(900, 0.91), trial(400, 0.5)
    assert first(Budget(size=1000), small, good, poor, trial(1001, 0.99)) == good
    assert first(Budget(drop=0.02), small, good, poor) == small
    assert first(Budget(size=1000), trial(800, 0.91), good) == trial(800, 0.91), (
        "of equal scores the smaller file"
    )
    assert wants_smaller(Budget(drop=0.1, score=0.5, time=3.0)) and not wants_smaller(
        Budget(memory=1e6)
    )


def test_what_keeps_beyond_doubt_comes_before_what_cannot_be_told():
    sure, unsure = (
        trial(score=0.89, milliseconds=0.5, noise=(0.4, 0.6)),
        trial(score=0.91, milliseconds=1.0, noise=(0.9, 1.1)),
    )
    assert first(Budget(latency=1.0), sure, unsure) == sure


def test_what_failed_comes_last():
    budget = Budget(size=1000, drop=0.01)
    assert first(budget, trial(100, None), trial(2000, 0.1)) == trial(2000, 0.1)


def test_shares_become_limits_by_what_came_in():
    limits = Budget.parse("size<=10%, latency<=50%").against(Cost(bytes=8000, milliseconds=3.0))
    assert limits == Budget(size=800, latency=1.5)
    assert judge(limits, trial(800, milliseconds=1.5), BASE).fits
    with pytest.raises(BudgetError, match="share"):
        judge(Budget.parse("size<=10%"), trial(), BASE)


def test_quicker_is_beyond_the_noise():
    original = trial(milliseconds=1.0)
    assert quicker(trial(milliseconds=0.5), original, ["latency"])
    assert not quicker(trial(milliseconds=0.99), original, ["latency"])
    assert not quicker(trial(milliseconds=0.5, noise=(0.4, 1.0)), original, ["latency"])
    assert not quicker(trial(), original, ["latency", "operations"]), "nobody measured it"
