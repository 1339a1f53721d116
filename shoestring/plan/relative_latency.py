"""Relative latency: the time of one file divided by another's, with an interval for the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np

from shoestring.core import Task
from shoestring.meters import Latency, Timing, alternate
from shoestring.meters.interleaved import SECONDS, is_too_noisy


@dataclass(frozen=True, kw_only=True)
class RelativeLatency:
    """The time of one file divided by the time of another.

    The other file is loaded twice, and the first is timed against each, interleaved. The interval
    covers those of both, so it includes what merely loading a file again changes.

    `ratio`: the mean of the two medians.
    `low`, `high`: the interval that holds it.
    `milliseconds`: of a run of the other file.
    """

    ratio: float
    low: float
    high: float
    milliseconds: float

    @property
    def is_too_noisy(self) -> bool:
        """Whether the timing tells nothing: the interval has 1 in it and spans a factor of ten."""
        return is_too_noisy(self.low, self.high)

    def __str__(self) -> str:
        middle = "too noisy to tell" if self.is_too_noisy else f"{self.ratio:.3f}"
        return f"{middle} ({self.low:.3f} to {self.high:.3f})"

    @property
    def slower(self) -> bool:
        """Whether the first file is slower, beyond noise."""
        return self.low > 1

    @property
    def faster(self) -> bool:
        """Whether the first file is faster, beyond noise."""
        return self.high < 1


def relative_latency(
    file: Path, other: Path, task: Task, latency: Latency, *, seconds: float = SECONDS
) -> RelativeLatency:
    """Time one file against another, with the settings of a latency meter except its reference.

    `seconds`: about how long it takes.
    """
    timing, *others = alternate(
        [file, other, other],
        task,
        threads=latency.threads,
        batch=latency.batch,
        rounds=latency.repeats,
        warm_up=latency.warm_up,
        runtime=latency.runtime,
        clock=latency.clock,
        seconds=seconds,
    )
    return between(timing, others)


def between(timing: Timing, others: Sequence[Timing]) -> RelativeLatency:
    """The relative latency of a file from interleaved timings of it and of another file."""
    intervals = [_interval(np.divide(timing.milliseconds, other.milliseconds)) for other in others]
    return RelativeLatency(
        ratio=float(np.mean([middle for _, middle, _ in intervals])),
        low=min(low for low, _, _ in intervals),
        high=max(high for _, _, high in intervals),
        milliseconds=float(np.mean([other.median for other in others])),
    )


def _interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """(low, median, high) of ratios, where low and high are order statistics.

    This inverts the sign test, which assumes nothing about the distribution. The level is 99.9 % if
    rounds are independent. It is that high since on a busy machine rounds are not quite
    independent, and since many layers are looked at.
    """
    ordered = np.sort(ratios)
    index = max(int(len(ordered) / 2 - 1.65 * sqrt(len(ordered))), 0)
    return float(ordered[index]), float(np.median(ordered)), float(ordered[-1 - index])
