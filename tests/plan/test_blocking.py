"""Which limit blocks, by hand."""

import pytest

from shoestring.core import Budget, Cost
from shoestring.kit import Trial
from shoestring.plan.blocking import blocking

BASE = 0.9


def trial(size: int, score: float | None, milliseconds: float | None = None) -> Trial:
    return Trial(
        technique=f"T({size})", score=score, cost=Cost(bytes=size, milliseconds=milliseconds)
    )


TRIALS = [trial(20000, 0.9), trial(12345, 0.895), trial(9000, 0.85), trial(4000, 0.5)]


def test_the_least_that_would_do_and_what_more_would_buy():
    budget = Budget(size=1000, drop=0.06)
    (said,) = blocking(budget, TRIALS[2], TRIALS, BASE)
    assert said == (
        "size blocks: 9000B was reached and 1000B asked for; size<=9000B would do with the other "
        "limits as they are, and 3345B more would buy +0.0450 of the score"
    )
    (said,) = blocking(Budget(size=1000, drop=0.01), TRIALS[1], TRIALS, BASE)
    assert "size<=12345B would do" in said, "not rounded to what would not do"


def test_of_each_limit_that_is_broken():
    size, drop = blocking(Budget(size=3000, drop=0.01), TRIALS[3], TRIALS, BASE)
    assert size.startswith(
        "size blocks: 4000B was reached and 3000B asked for; size<=12345B would do"
    )
    assert (
        drop
        == "drop blocks: 0.4 was reached and 0.01 asked for; no file that was tried keeps all the "
        "other limits either"
    )


def test_a_drop_and_a_score():
    (said,) = blocking(Budget(size=5000, drop=0.01), TRIALS[3], TRIALS, BASE)
    assert (
        said
        == "drop blocks: 0.4 was reached and 0.01 asked for; drop<=0.4 would do with the other "
        "limits as they are"
    )
    (said,) = blocking(Budget(size=10000, score=0.89), TRIALS[2], TRIALS, BASE)
    assert said.endswith("score>=0.85 would do with the other limits as they are")
    worse = [trial(100, -3.25), trial(50, -4.0)]
    (said,) = blocking(Budget(size=1000, score=-1.0), worse[0], worse, -1.0)
    assert (
        said == "score blocks: -3.25 was reached and -1 asked for; score>=-3.25 would do with the "
        "other limits as they are"
    )


def test_milliseconds_are_rounded_upwards_so_that_the_advice_is_kept():
    timed = [trial(100, 0.9, 1.23456), trial(100, 0.8, 0.0612345)]
    (said,) = blocking(Budget(latency=0.01), timed[1], timed, BASE)
    assert "latency<=0.06124ms would do" in said and "1.174ms more would buy +0.1000" in said
    assert Budget.parse("latency<=0.06124ms").exceeded(timed[1].cost, None) == {}


def test_what_nobody_measured():
    assert blocking(Budget(latency=1.0), TRIALS[0], TRIALS, BASE) == ["latency was not measured"]


@pytest.mark.parametrize("budget", [Budget(size=20000), Budget(), Budget(drop=0.0)])
def test_where_nothing_is_broken_nothing_is_said(budget):
    assert blocking(budget, TRIALS[0], TRIALS, BASE) == []


def test_what_failed_is_no_help():
    (said,) = blocking(Budget(size=10), trial(9000, 0.9), [trial(9000, 0.9), trial(5, None)], BASE)
    assert "size<=9000B would do" in said
