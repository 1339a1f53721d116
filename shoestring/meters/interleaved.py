"""Timing several things in turn, so that what slows the machine slows all alike.

Wants nothing but numpy.
`benchmarks/peers` loads this file by its path, in environments that have no shoestring: one way of
timing, not two.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from time import perf_counter, sleep
from typing import Any

import numpy as np

SECONDS = 1.5  # that an alternation takes in all, unless what it times is slow
FEWEST_ROUNDS = 7
NOISY = 10.0
"""How many times its lower end the upper end of an interval around 1 is where it tells nothing."""
_BLOCK_SECONDS = 1e-3  # a sample is the mean of so many runs in a row that they take this long
# of a model faster than this, the run that fetches its weights back into the caches is not timed
_LEAD_SECONDS = 20e-3
_WARM_SECONDS = 0.5
# for this long after a run ONNX Runtime's threads spin, and would take the cores from the next file
_SPIN_SECONDS = 50e-3


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a run of a file took.

    The quartiles `low`, `median` and `high`, in milliseconds, of `milliseconds`.
    `milliseconds` has a sample per round, in order, and each is the mean of `runs` runs in a row.
    """

    median: float
    low: float
    high: float
    milliseconds: tuple[float, ...]
    runs: int

    @staticmethod
    def of(milliseconds: Sequence[float], runs: int) -> Timing:
        """The timing that these samples make, each the mean of `runs` runs."""
        low, median, high = _quartiles(np.asarray(milliseconds))
        return Timing(
            median=median, low=low, high=high, milliseconds=tuple(milliseconds), runs=runs
        )

    def __str__(self) -> str:
        return f"{self.median:.4g} ms ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as long one file takes as another.

    The median of the pairwise ratios, and their quartiles.
    """

    median: float
    low: float
    high: float

    @property
    def is_too_noisy(self) -> bool:
        """Whether nothing is to be read off it: see `is_too_noisy`."""
        return is_too_noisy(self.low, self.high)

    def __str__(self) -> str:
        middle = "too noisy to tell" if self.is_too_noisy else f"{self.median:.3g}"
        return f"{middle} ({self.low:.3g} to {self.high:.3g})"


def is_too_noisy(low: float, high: float) -> bool:
    """Whether an interval of a ratio has 1 in it and spans an order of magnitude.

    Which of the two is faster nobody can tell.
    """
    return low < 1 < high and high >= NOISY * low


def ratio(a: Timing, b: Timing) -> Ratio:
    """How many times as long `a` took as `b`, both from one `alternate`.

    Below 1 where `a` is faster. The figure to quote.
    Each sample of `a` is divided by the sample of `b` in the same round, so that what slowed the
    machine for a while slowed both. Raises ValueError for timings of different numbers of rounds.
    """
    if len(a.milliseconds) != len(b.milliseconds):
        raise ValueError(
            f"one timing has {len(a.milliseconds)} rounds and the other {len(b.milliseconds)}: "
            "time both in one call of alternate(), so that each round holds a pair"
        )
    low, median, high = _quartiles(np.divide(a.milliseconds, b.milliseconds))
    return Ratio(median=median, low=low, high=high)


def in_turn(
    runs: Sequence[Callable[[], Any]],
    *,
    resting: bool = False,
    rounds: int | None = None,
    warm_up: int = 10,
    seconds: float = SECONDS,
) -> list[Timing]:
    """A sample of each in turn (A B A B ...), `rounds` times or for about `seconds`.

    `resting`: wait before each sample.
    Up to `warm_up` runs of each, half a second at most, are made before. Returns a Timing for each,
    in order.
    """
    with _undisturbed():
        expected = [_warm(run, warm_up) for run in runs]
        rest = _SPIN_SECONDS if resting and len(runs) > 1 else 0.0
        counts = [max(1, ceil(max(_BLOCK_SECONDS, rest / 5) / one)) for one in expected]
        leads = [one < _LEAD_SECONDS for one in expected]
        samples: list[list[float]] = [[] for _ in runs]
        start, done = perf_counter(), 0
        while done < rounds if rounds else done < FEWEST_ROUNDS or perf_counter() - start < seconds:
            for run, count, lead, mine in zip(runs, counts, leads, samples, strict=True):
                if rest:
                    sleep(rest)
                mine.append(_sample(run, count, lead))
            done += 1
    return [Timing.of(mine, count) for mine, count in zip(samples, counts, strict=True)]


def _warm(run: Callable[[], Any], most: int) -> float:
    """Up to `most` runs; the seconds of the fastest."""
    start, fastest = perf_counter(), float("inf")
    for _ in range(most):
        began = perf_counter()
        run()
        fastest = min(fastest, perf_counter() - began)
        if perf_counter() - start > _WARM_SECONDS:
            break
    return max(fastest, 1e-7)


def _sample(run: Callable[[], Any], count: int, lead: bool) -> float:
    """The mean milliseconds of `count` runs in a row, after one that is not timed if `lead`."""
    if lead:
        run()
    start = perf_counter()
    for _ in range(count):
        run()
    return (perf_counter() - start) * 1e3 / count


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return low, median, high


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without Python's garbage collector, whose pauses are not the file's."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
