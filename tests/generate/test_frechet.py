"""The Fréchet distance against normal distributions by hand and a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from shoestring.generate import frechet_distance


def test_of_numbers_by_hand():
    # means 0 and 3; standard deviations √2 and 2√2: 3² + (√2 - 2√2)² = 11
    assert frechet_distance([[-1.0], [1.0]], [[1.0], [5.0]]) == pytest.approx(11)


def test_of_axes_that_do_not_depend_on_each_other():
    first = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], float)
    second = first * [2, 3] + [1, 0]
    deviation = np.sqrt(4 / 3)
    wanted = 1 + (deviation * (2 - 1)) ** 2 + (deviation * (3 - 1)) ** 2
    assert frechet_distance(first, second) == pytest.approx(wanted)


def test_it_is_the_slow_one():
    draw = np.random.default_rng(0)
    first = draw.normal(size=(300, 8)) @ draw.normal(size=(8, 8))
    second = draw.normal(size=(200, 8)) @ draw.normal(size=(8, 8)) + 0.5
    spreads = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = sqrtm(spreads[0] @ spreads[1]).real
    apart = ((first.mean(0) - second.mean(0)) ** 2).sum()
    wanted = apart + np.trace(spreads[0] + spreads[1] - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(second, first) == pytest.approx(wanted, rel=1e-6)


def test_of_itself_it_is_0_also_where_rows_lie_in_a_plane():
    rows = np.random.default_rng(0).normal(size=(50, 2)) @ np.ones((2, 5))
    assert frechet_distance(rows, rows) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (np.zeros((5, 2)), np.zeros((5, 3)), "the same width"),
        (np.zeros((1, 2)), np.zeros((5, 2)), "two or more rows"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), "NaN or infinity"),
    ],
)
def test_bad_input(first: np.ndarray, second: np.ndarray, says: str):
    with pytest.raises(ValueError, match=says):
        frechet_distance(first, second)
