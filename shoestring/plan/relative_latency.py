"""How fast one file is beside another, with an interval that is honest about the machine."""

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
    """How many times as long one file takes as another.

    The median, and an interval (`low` to `high`) that holds it.
    `milliseconds`: what the other takes. The second file is loaded twice and each of the two timed
        against the first, in one alternation. The interval covers those of both, so that it has in
        it what merely loading a file again changes.
    """

    ratio: float
    low: float
    high: float
    milliseconds: float

    @property
    def is_too_noisy(self) -> bool:
        """Whether the timing tells nothing.

        Its interval has 1 in it and spans an order of magnitude.
        """
        return is_too_noisy(self.low, self.high)

    def __str__(self) -> str:
        middle = "too noisy to tell" if self.is_too_noisy else f"{self.ratio:.3f}"
        return f"{middle} ({self.low:.3f} to {self.high:.3f})"

    @property
    def slower(self) -> bool:
        """Whether the first file is slower, beyond what this timing could mistake."""
        return self.low > 1

    @property
    def faster(self) -> bool:
        """Whether it is faster, likewise."""
        return self.high < 1


def relative_latency(
    file: Path, other: Path, task: Task, latency: Latency, *, seconds: float = SECONDS
) -> RelativeLatency:
    """Time one file against another for about so many seconds, with the settings of a latency meter
    (its `reference` does not count).
    """
    ours, *theirs = alternate(
        [file, other, other],
        task,
        threads=latency.threads,
        batch=latency.batch,
        rounds=latency.repeats,
        warm_up=latency.warm_up,
        runtime=latency.runtime,
        seconds=seconds,
    )
    return between(ours, theirs)


def between(ours: Timing, theirs: Sequence[Timing]) -> RelativeLatency:
    """The pace that the timings of one alternation tell."""
    intervals = [_interval(np.divide(ours.milliseconds, one.milliseconds)) for one in theirs]
    return RelativeLatency(
        ratio=float(np.mean([middle for _, middle, _ in intervals])),
        low=min(low for low, _, _ in intervals),
        high=max(high for _, _, high in intervals),
        milliseconds=float(np.mean([one.median for one in theirs])),
    )


def _interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """The median between two order statistics.

    A sign test turned round, which asks nothing of the distribution.
    At 99.9 %, where rounds were independent. On a busy machine they are not quite, and many layers
    are looked at.
    """
    ordered = np.sort(ratios)
    place = max(int(len(ordered) / 2 - 1.65 * sqrt(len(ordered))), 0)
    return float(ordered[place]), float(np.median(ordered)), float(ordered[-1 - place])
