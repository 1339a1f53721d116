"""What forecasts make of the points of `scaling.py`: ours, and what else one would do."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rows import metrics, values
from scaling_cases import cases

from shoestring.label import label_forecast
from shoestring.plan import scaling

EIGHTY = 1.2816
"""Standard deviations to each side that hold 80 % of a normal distribution."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What was measured of a case: (size, score, seed) up to a tenth, and the score with all."""

    name: str
    choosing: bool
    points: tuple[tuple[int, float, int], ...]
    examples: int
    final: float
    chance: float

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """The sizes, and the mean score of each."""
        sizes = sorted({one[0] for one in self.points})
        means = [np.mean([one[1] for one in self.points if one[0] == size]) for size in sizes]
        return np.array(sizes, float), np.array(means)


@dataclass(frozen=True)
class Said:
    """A forecast: the score, and the ends of the 80 % interval; None where there is none."""

    score: float | None
    low: float | None = None
    high: float | None = None


def measurements(found: Sequence[Any]) -> list[Measurement]:
    """The cases that have all their rows, in the order of `cases`."""
    made = []
    for case in cases():
        known = metrics(found, case.name)
        if "seconds of a core" not in known:
            continue
        mine = [row for row in found if row["subject"] == case.name]
        sized = [
            (int(row["metric"].split()[-1]), row["value"], row["seed"])
            for row in mine
            if row["seed"] is not None and row["metric"].startswith("score of ")
        ]
        examples = int(known["examples"])
        made.append(
            Measurement(
                name=case.name,
                choosing=case.choosing,
                points=tuple(one for one in sized if one[0] < examples),
                examples=examples,
                final=float(np.mean(values(list(mine), case.name, f"score of {examples}"))),
                chance=known["score of chance"],
            )
        )
    return made


def ours(one: Measurement) -> Said:
    """`scaling`."""
    found = scaling(one.points, chance=one.chance)
    if found.undecided:
        return Said(None)
    there = found.at(one.examples)
    return Said(there.middle, there.low, there.high)


def labels(one: Measurement) -> Said:
    """`label_forecast`, which was made for up to four times the labels, not for ten."""
    sizes, means = one.means()
    spread = [np.std([p[1] for p in one.points if p[0] == size], ddof=1) for size in sizes]
    points: list[Any] = list(zip(sizes, means, spread, strict=True))
    there = label_forecast(points).at(one.examples)
    return Said(there.middle, there.low, there.high)


def last(one: Measurement) -> Said:
    """As the largest size."""
    return Said(float(one.means()[1][-1]))


def line(one: Measurement) -> Said:
    """A straight line through the last two sizes, in logarithms of size and error."""
    sizes, means = one.means()
    logs, errors = np.log(sizes[-2:]), np.log(np.maximum(1 - means[-2:], 1e-6))
    slope = (errors[1] - errors[0]) / (logs[1] - logs[0])
    return Said(1 - math.exp(errors[1] + slope * (math.log(one.examples) - logs[1])))


def curve_fit(with_floor: bool) -> Callable[[Measurement], Said]:
    """scipy's least squares; the interval from its covariance and the noise of a training."""

    def law(sizes: Any, scale: float, exponent: float, floor: float = 0.0) -> Any:
        return floor + scale * sizes**-exponent

    def said(one: Measurement) -> Said:
        from scipy import optimize

        sizes = np.array([p[0] for p in one.points]) / max(p[0] for p in one.points)
        errors = np.array([1 - p[1] for p in one.points])
        begin = [float(errors.min()), 0.4, 0.01][: 3 if with_floor else 2]
        bounds = ([0.0] * len(begin), [math.inf, 5.0, 1.0][: len(begin)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                best, covariance = optimize.curve_fit(law, sizes, errors, begin, bounds=bounds)
            except RuntimeError:
                return Said(None)
        there = one.examples / max(p[0] for p in one.points)
        slopes = optimize.approx_fprime(best, lambda given: law(there, *given), 1e-7)
        noise = ((errors - law(sizes, *best)) ** 2).sum() / (len(errors) - len(best))
        half = EIGHTY * math.sqrt(max(float(slopes @ covariance @ slopes), 0.0) + noise)
        middle = 1 - float(law(there, *best))
        return Said(middle, middle - half, middle + half)

    return said


FORECASTS: dict[str, Callable[[Measurement], Said]] = {
    "`scaling`": ours,
    "`label_forecast`": labels,
    "scipy's curve_fit, with a floor": curve_fit(True),
    "scipy's curve_fit, without a floor": curve_fit(False),
    "a line through the last two sizes": line,
    "as the largest size": last,
}


CHOOSING = ", where settings were chosen"
UNITS = {
    "cases": "cases",
    "said": "cases",
    "held": "cases",
    "width": "points",
    "apart": "points",
    "middle": "points",
    "penalty": "points",
}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a forecast did on so many cases.

    `said`: on how many it said something. `held`: in how many intervals the final score was.
    `width`: the median width of the intervals. `apart`: the mean distance of the forecast from the
    final score. `middle`: the median of it. `penalty`: the mean interval score of Gneiting &
    Raftery 2007, the width and ten times what the score is outside; lower is better. In points.
    """

    cases: int
    said: int
    held: int | None
    width: float | None
    apart: float
    middle: float
    penalty: float | None


def summary(forecast: Callable[[Measurement], Said], on: Sequence[Measurement]) -> Summary | None:
    """A forecast on these cases; None of no case. What says nothing counts as the largest size."""
    if not on:
        return None
    apart, widths, held, penalties, said = [], [], 0, [], 0
    for one in on:
        told = forecast(one)
        said += told.score is not None
        middle = told.score if told.score is not None else float(one.means()[1][-1])
        apart.append(100 * abs(middle - one.final))
        if told.low is not None and told.high is not None:
            outside = max(told.low - one.final, one.final - told.high, 0.0)
            held += outside == 0
            widths.append(100 * (told.high - told.low))
            penalties.append(widths[-1] + 1000 * outside)
    return Summary(
        cases=len(on),
        said=said,
        held=held if widths else None,
        width=float(np.median(widths)) if widths else None,
        apart=float(np.mean(apart)),
        middle=float(np.median(apart)),
        penalty=float(np.mean(penalties)) if penalties else None,
    )
