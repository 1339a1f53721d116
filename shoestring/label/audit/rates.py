"""Shares with their intervals, and tests that stay right when many are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of some examples, with the interval in which it probably lies.

    `hits`, `count`: hits of count examples.
    `value`: hits / count, 0 to 1.
    `low`, `high`: of the 95 % interval.
    """

    hits: int
    count: int
    value: float
    low: float
    high: float


def rate(hits: int, count: int) -> Rate:
    """A share and its 95 % interval.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    Raises ValueError for no example, and for hits out of 0 to count.
    """
    if not 0 <= hits <= count or not count:
        raise ValueError(f"{hits} of {count} is no share: give 0 to count hits, of 1 or more")
    z = 1.959963984540054
    share = hits / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return Rate(
        hits=hits,
        count=count,
        value=share,
        low=0.0 if not hits else max(0.0, middle - half),
        high=1.0 if hits == count else min(1.0, middle + half),
    )


def chance_of_more(hits: int, count: int, other_hits: int, other_count: int) -> float:
    """The probability of so many hits or more where both sides have the same rate (one-sided).

    Source: Fisher 1935, the exact test.
    """
    from scipy.stats import hypergeom

    every = count + other_count
    return float(min(1.0, hypergeom.sf(hits - 1, every, hits + other_hits, count)))


def chance_of_difference(hits: int, count: int, other_hits: int, other_count: int) -> float:
    """The same for a difference in either direction (two-sided)."""
    from scipy.stats import fisher_exact

    table = [[hits, count - hits], [other_hits, other_count - other_hits]]
    return float(fisher_exact(table)[1])  # type: ignore[index]


def holm(chances: Sequence[float]) -> np.ndarray:
    """Probabilities of single tests, adjusted for there being several: below 0.05 stays right.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    values = np.asarray(chances, float)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
