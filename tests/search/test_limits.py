"""Networks that keep limits are found, however few there are."""

import random

import pytest
from made_networks import Dense, parameters, rings

from shoestring.core import Budget, BudgetError, Cost
from shoestring.search.limits import Feasible


class Parameters:
    """An estimate: a byte for each number."""

    measures = "bytes"

    def why_not(self) -> None:
        return None

    def __call__(self, subject, task) -> Cost:
        return Cost(bytes=parameters(subject))


def feasible(limit: str) -> Feasible:
    return Feasible(Dense(), rings(), Budget.parse(limit), (Parameters(),))


def test_what_is_over_is_told_by_how_much():
    # A layer of 32 on points, and two logits: 2·32 + 32 + 32·2 + 2 numbers.
    assert feasible("size<=81B").over((5, 1, 0)) == {"size": 162 / 81}
    assert feasible("size<=162B").keeps((5, 1, 0))


def test_a_limit_that_few_networks_keep_is_kept_by_each_that_is_drawn():
    tight, draw = feasible("size<=12B"), random.Random(0)
    for _ in range(20):
        assert tight.keeps(tight.drawn(draw))
    assert tight.refused  # others were looked at


def test_a_network_near_another_differs_in_few_decisions():
    near = feasible("size<=100B").nearer((5, 2, 1), random.Random(0))
    assert parameters(Dense().made(near).network()) <= 100


def test_where_none_fits_the_error_names_the_nearest_and_the_limit():
    with pytest.raises(BudgetError, match=r"none keeps size<=5.*: the nearest is estimated at 6 B"):
        feasible("size<=5B").drawn(random.Random(0))


def test_a_limit_that_no_estimate_is_of_is_left_to_the_files():
    assert feasible("latency<=1ms").keeps((5, 2, 0))
