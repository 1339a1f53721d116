"""The parts of the benchmark of what tells early which networks will be best."""

from __future__ import annotations

import math
import random
import sys
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from network_guides import (
    Guide,
    best_kept,
    first_of_drawn,
    kept_of,
    ranked_alike,
    screened,
    standardised,
)


def test_the_first_of_some_networks_is_the_mean_over_all_ways_to_draw_them() -> None:
    draw = np.random.default_rng(0)
    found, full = draw.normal(size=9), draw.normal(size=9)
    slow = fmean(full[max(some, key=lambda at: found[at])] for some in combinations(range(9), 4))
    assert first_of_drawn(found, full, 4) == pytest.approx(slow)
    assert first_of_drawn(full, full, 9) == pytest.approx(max(full))


def test_a_guide_that_tells_nothing_apart_chooses_at_random() -> None:
    full = np.array([50.0, 40.0, 60.0])
    assert first_of_drawn(np.full(3, -math.inf), full, 2) == pytest.approx(50.0)
    assert first_of_drawn(np.array([1.0, 1.0, 0.0]), full, 3) == pytest.approx(45.0)
    assert ranked_alike(np.full(3, -math.inf), full) == 0


def test_ranks_are_compared_as_by_scipy_ties_included() -> None:
    draw = random.Random(0)
    ours = np.array([draw.randrange(6) for _ in range(20)], dtype=float)
    theirs = np.array([draw.randrange(6) for _ in range(20)], dtype=float)
    its: Any = spearmanr(ours, theirs)
    assert ranked_alike(ours, theirs) == pytest.approx(its.statistic)


def test_the_better_third_by_hand() -> None:
    found, full = np.array([3.0, 1.0, 2.0, 0.0, 5.0, 4.0]), np.array([1.0, 9.0, 8.0, 7.0, 3.0, 2.0])
    assert kept_of(full) == 2
    assert best_kept(found, full) == 3.0
    early = np.array([9.0, 8.0, 7.0, 6.0, 1.0, 2.0])  # the sixth is the better one of the third
    assert screened(found, early, full) == 2.0
    assert kept_of(full[:2]) == 1


def test_a_forecast_learns_from_other_searches_what_makes_networks_good() -> None:
    """Where the final score falls with the logarithm of operations, and rises with parameters."""
    draw = np.random.default_rng(0)

    def search(scale: float) -> list[dict[str, float]]:
        sizes = np.exp(draw.normal(size=(30, 2)))
        return [
            {
                "parameters": scale * one,
                "operations": scale**2 * other,
                "full": scale * (math.log(one) - 0.5 * math.log(other)),
            }
            for one, other in sizes
        ]

    guide = Guide(("parameters", "operations"), learns=True)
    mine, others = search(7.0), [search(1.0), search(100.0)]
    full = np.array([one["full"] for one in mine])
    assert ranked_alike(guide(mine, others), full) > 0.98
    alone = Guide(("parameters",))(mine, others)
    assert 0.5 < ranked_alike(alone, full) < 0.95
    # Whatever its own networks will score is not read.
    blind = [{**one, "full": 0.0} for one in mine]
    assert guide(blind, others) == pytest.approx(guide(mine, others))


def test_numbers_that_are_all_alike_are_standardised_to_zeros() -> None:
    assert standardised([3.0, 3.0]).tolist() == [0.0, 0.0]
    assert standardised([1.0, 3.0]).tolist() == [-1.0, 1.0]
