"""Cohen's kappa by hand, against scikit-learn, and its interval against a bootstrap."""

from __future__ import annotations

import random

import numpy as np
import pytest

from shoestring.label.kappa import kappa


def test_kappa_by_hand():
    # 7 of 10 agree; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5 would
    first, second = [0] * 5 + [1] * 5, [0, 0, 0, 0, 1, 1, 1, 1, 0, 0]
    assert kappa(first, second)[0] == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_kappa_against_scikit_learn():
    from sklearn.metrics import cohen_kappa_score

    draw = np.random.default_rng(0)
    for _ in range(20):
        first, second = draw.integers(0, 4, (2, 50))
        assert kappa(first, second)[0] == pytest.approx(cohen_kappa_score(first, second))


def test_kappa_of_a_table_that_is_known():
    # Cohen 1960's kind of table, computed by hand: 20 both yes, 15 both no, 5 and 10 apart
    pairs = [("y", "y")] * 20 + [("n", "n")] * 15 + [("y", "n")] * 5 + [("n", "y")] * 10
    value, low, high = kappa(*zip(*pairs, strict=True))
    assert value == pytest.approx(0.4)
    assert low is not None and high is not None and value is not None
    # a bootstrap of the same table says 0.125 for the standard error
    draw = random.Random(0)
    drawn = [kappa(*zip(*draw.choices(pairs, k=50), strict=True))[0] or 0.0 for _ in range(1500)]
    mean = sum(drawn) / len(drawn)
    error = (sum((one - mean) ** 2 for one in drawn) / len(drawn)) ** 0.5
    assert (high - low) / 2 / 1.96 == pytest.approx(error, rel=0.1)


def test_kappa_where_there_is_little_to_say():
    assert kappa("y" * 30, "y" * 30) == (None, None, None)
    assert kappa("yn", "yn") == (1.0, None, None)
    assert kappa("yn", "ny")[0] == pytest.approx(-1.0)
    for first, second in (("y", "yn"), ("", "")):
        with pytest.raises(ValueError, match="give both of the same"):
            kappa(first, second)
