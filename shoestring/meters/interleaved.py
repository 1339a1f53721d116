"""Several functions are timed in alternation, so that whatever slows the machine slows all of them.

It needs only numpy. `benchmarks/peers` loads this file by its path, in environments that have no
shoestring, so that everything is timed in one way.
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

SECONDS = 1.5  # the time of an alternation, unless what it times is slow
FEWEST_ROUNDS = 7
NOISY = 10.0
"""An interval around 1 is too noisy where its upper end is this many times its lower end."""
_BLOCK_SECONDS = 1e-3  # a sample is the mean of as many runs in a row as take this long
# Before a sample of a faster model, one run without timing brings its weights back to the caches.
_LEAD_SECONDS = 20e-3
_WARM_SECONDS = 0.5
# ONNX Runtime's threads spin for this long after a run; they would slow the next file.
_SPIN_SECONDS = 50e-3

Clock = Callable[[], float]
"""Seconds since some moment."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a run of a file took.

    `median`, `low`, `high`: the quartiles of `milliseconds`.
    `milliseconds`: a sample per round, in order; each is the mean of `runs` runs in a row.
    `runs`: runs per sample.
    """

    median: float
    low: float
    high: float
    milliseconds: tuple[float, ...]
    runs: int

    @staticmethod
    def of(milliseconds: Sequence[float], runs: int) -> Timing:
        """The timing of these samples, each of which is the mean of `runs` runs."""
        low, median, high = _quartiles(np.asarray(milliseconds))
        return Timing(
            median=median, low=low, high=high, milliseconds=tuple(milliseconds), runs=runs
        )

    def __str__(self) -> str:
        return f"{self.median:.4g} ms ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """The time of one file divided by the time of another.

    `median`, `low`, `high`: the quartiles of the ratios of all pairs.
    """

    median: float
    low: float
    high: float

    @property
    def is_too_noisy(self) -> bool:
        """Whether the function `is_too_noisy` says so of its quartiles."""
        return is_too_noisy(self.low, self.high)

    def __str__(self) -> str:
        middle = "too noisy to tell" if self.is_too_noisy else f"{self.median:.3g}"
        return f"{middle} ({self.low:.3g} to {self.high:.3g})"

    @property
    def in_report(self) -> str:
        """The ratio with two decimals, as `compress` and its page tell it."""
        middle = "too noisy to tell" if self.is_too_noisy else f"{self.median:.2f}"
        return f"ratio {middle} ({self.low:.2f} to {self.high:.2f})"


def is_too_noisy(low: float, high: float) -> bool:
    """Whether an interval of a ratio contains 1 and spans a factor of 10 or more.

    Then the timing does not tell which of the two is faster.
    """
    return low < 1 < high and high >= NOISY * low


def ratio(a: Timing, b: Timing) -> Ratio:
    """The time of `a` divided by the time of `b`, both from one call of `alternate`.

    It is below 1 where `a` is faster, and it is the figure to quote. Each sample of `a` is divided
    by the sample of `b` in the same round, so that what slowed the machine for a while slowed both.
    Raises ValueError for timings of different numbers of rounds.
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
    clock: Clock | None = None,
) -> list[Timing]:
    """Time functions in alternation (A B A B ...), and return a Timing for each, in order.

    `resting`: whether to wait before each sample, until the threads of the one before are idle.
    `rounds`: samples of each; None for as many as take about `seconds` in all, 7 at least.
    `warm_up`: runs of each before the first sample, half a second at most.
    `clock`: what samples are timed with; None for `perf_counter`. `time.thread_time` leaves out
        what the processor did for others: on a machine that is never idle, a long run waits more
        often than a short one, which `perf_counter` counts. It sees the calling thread alone, so
        for runs on one thread only.
    """
    clock = clock or perf_counter
    with _undisturbed():
        seconds_of_a_run = [_warm(run, warm_up, clock) for run in runs]
        rest = _SPIN_SECONDS if resting and len(runs) > 1 else 0.0
        counts = [
            max(1, ceil(max(_BLOCK_SECONDS, rest / 5) / fastest)) for fastest in seconds_of_a_run
        ]
        leads = [fastest < _LEAD_SECONDS for fastest in seconds_of_a_run]
        samples: list[list[float]] = [[] for _ in runs]
        start, rounds_done = clock(), 0
        while (
            rounds_done < rounds
            if rounds
            else rounds_done < FEWEST_ROUNDS or clock() - start < seconds
        ):
            for run, count, lead, milliseconds in zip(runs, counts, leads, samples, strict=True):
                if rest:
                    sleep(rest)
                milliseconds.append(_sample(run, count, lead, clock))
            rounds_done += 1
    return [
        Timing.of(milliseconds, count) for milliseconds, count in zip(samples, counts, strict=True)
    ]


def _warm(run: Callable[[], Any], most: int, clock: Clock) -> float:
    """Make up to `most` runs; returns the seconds of the fastest."""
    start, fastest = perf_counter(), float("inf")
    for _ in range(most):
        began = clock()
        run()
        fastest = min(fastest, clock() - began)
        if perf_counter() - start > _WARM_SECONDS:
            break
    return max(fastest, 1e-7)


def _sample(run: Callable[[], Any], count: int, lead: bool, clock: Clock) -> float:
    """The mean milliseconds of `count` runs in a row, after an untimed one if `lead`."""
    if lead:
        run()
    start = clock()
    for _ in range(count):
        run()
    return (clock() - start) * 1e3 / count


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return low, median, high


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Disable Python's garbage collector, whose pauses are not part of a run."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
