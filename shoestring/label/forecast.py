"""What more labels will bring: a learning curve, carried on with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from shoestring.label.growth import Fit, fits

_RESAMPLES = 400
_LOW, _HIGH = 0.1, 0.9
_SMALL_FALL = 0.01
"""Of a ceiling of 1: a score that is so much below the best one may be noise, whatever its standard
error says."""
_MOST_LABELS = 1e15
_FARTHEST = 1000.0
"""Times the labels there are, beyond which nothing is said."""


@final
@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """A score that was measured with so many labels.

    `labels`: above 0; any unit will do, such as words.
    `score`: higher is better.
    `standard_error`: of the score, 0 or more, as `task.standard_error` gives it; 0 for unknown.
    """

    labels: float
    score: float
    standard_error: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.labels <= _MOST_LABELS:
            raise ValueError(
                f"a score with {self.labels} labels: give a number above 0, at most "
                f"{_MOST_LABELS:.0e}"
            )
        if not math.isfinite(self.score) or not 0 <= self.standard_error < math.inf:
            raise ValueError(
                f"a score of {self.score} with a standard error of {self.standard_error}: give "
                "finite numbers, and an error of 0 or more"
            )


@final
@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number in the middle of what is likely, and the ends of its 80 % interval.

    `low`, `middle`, `high`: the quantiles at 10, 50 and 90 %. Of labels, None is more than 1,000
        times those there are, or never.
    """

    low: float | None
    middle: float | None
    high: float | None


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LabelForecast:
    """A learning curve, carried on. Make one with `label_forecast`.

    `points`: the curve, in ascending order of labels.
    `ceiling`: no score is above it.
    """

    points: tuple[CurvePoint, ...]
    ceiling: float
    _fits: Fit = field(repr=False)
    _noise: np.ndarray = field(repr=False)

    def at(self, labels: float) -> Interval:
        """The score that will be measured with so many labels in all.

        Raises ValueError for labels that are not above 0.
        """
        _check_above_zero(labels, "labels")
        values = self._fits.at(np.array([labels]))[:, 0] + self._noise
        return _interval(np.minimum(values, self.ceiling))

    def labels_for(self, score: float) -> Interval:
        """How many labels it takes in all until the curve reaches a score.

        Raises ValueError for a score that is not finite.
        """
        if not math.isfinite(score):
            raise ValueError(f"score={score}: give a finite number")
        last = self.points[-1].labels
        grid = np.geomspace(self.points[0].labels, _FARTHEST * last, 600)
        reached = self._fits.at(grid) >= score
        first = np.where(reached.any(1), grid[reached.argmax(1)], np.inf)
        found = [float(np.quantile(first, q, method="nearest")) for q in (_LOW, 0.5, _HIGH)]
        low, middle, high = (one if math.isfinite(one) else None for one in found)
        return Interval(low=low, middle=middle, high=high)

    def more_for(self, score: float) -> Interval:
        """How many labels are still missing for a score: 0 where it is reached."""
        last, wanted = self.points[-1].labels, self.labels_for(score)
        low, middle, high = (
            None if one is None else max(0.0, one - last)
            for one in (wanted.low, wanted.middle, wanted.high)
        )
        return Interval(low=low, middle=middle, high=high)

    def gain(self, more: float) -> Interval:
        """What so many more labels will add to the score: the exchange rate of labels.

        Raises ValueError for labels that are not above 0.
        """
        _check_above_zero(more, "more labels")
        last = self.points[-1].labels
        now, then = self._fits.at(np.array([last, last + more])).T
        return _interval(then - now)

    def falls(self) -> str:
        """Why the curve cannot be carried on, where it falls; "" where it does not.

        It falls where the last score is below the best one before it by more than three standard
        errors of their difference, and a straight line through all points over the logarithm of the
        labels goes down.
        """
        last, best = self.points[-1], max(self.points, key=lambda one: one.score)
        lost, error = best.score - last.score, math.hypot(best.standard_error, last.standard_error)
        logs = np.log([one.labels for one in self.points])
        scores = np.array([one.score for one in self.points])
        small = _SMALL_FALL * max(1.0, abs(self.ceiling))
        if lost <= max(3 * error, small) or ((logs - logs.mean()) * scores).sum() >= 0:
            return ""
        return (
            f"the scores fall with more labels, from {100 * best.score:.1f} % at "
            f"{best.labels:,.0f} to {100 * last.score:.1f} % at {last.labels:,.0f}: no learning "
            "curve does, so nothing can be forecast. Look for wrong labels (shoestring audit) or "
            "a training that diverges"
        )

    def says(self, score: float) -> str:
        """One line on what a score takes, such as "about 1,200 more labels for 95.0 % …".

        Raises ValueError for a score that is not finite or above the ceiling.
        """
        if not -math.inf < score <= self.ceiling:
            raise ValueError(
                f"score={score}: give a finite score, at most the ceiling of {self.ceiling:g}"
            )
        if falls := self.falls():
            return falls
        more, there = self.more_for(score), f"{100 * score:.1f} %"
        if more.middle == 0:
            return f"{there} is reached"
        if more.middle is None:
            return (
                f"{there} is out of reach: {_FARTHEST:,.0f} times the labels would more likely not "
                "do. A better network or better labels may"
            )
        high = "no number at all" if more.high is None else f"{_rounded(more.high):,}"
        low = 0 if more.low is None else more.low
        expected = self.at(self.points[-1].labels + more.middle)
        assert expected.low is not None and expected.high is not None
        half = 50 * (expected.high - expected.low)
        return (
            f"about {_rounded(more.middle):,} more labels for {there} ± {half:.1f} "
            f"(80 % interval: {_rounded(low):,} to {high})"
        )

    def __str__(self) -> str:
        if falls := self.falls():
            return falls
        last = self.points[-1]
        parts = []
        for times in (1.5, 2.0, 4.0):
            one = self.at(times * last.labels)
            assert one.low is not None and one.middle is not None and one.high is not None
            parts.append(
                f"{_rounded(times * last.labels):,} labels: {100 * one.middle:.1f} % "
                f"({100 * one.low:.1f} to {100 * one.high:.1f})"
            )
        return f"{last.labels:,.0f} labels gave {100 * last.score:.1f} %; " + "; ".join(parts)


def label_forecast(
    points: Sequence[CurvePoint | tuple[float, float] | tuple[float, float, float]],
    *,
    ceiling: float = 1.0,
    seed: int = 0,
) -> LabelForecast:
    """Carry a learning curve on.

    Several forms of curve are fitted to the points: power laws with and without a limit, the
    hyperbola, the exponential and the logarithm. Each counts by how well it fits (Akaike weights).
    The intervals come from a parametric bootstrap: form and noise are drawn, and the form is fitted
    again, 400 times.

    Source: Cortes et al. 1994 and Hestness et al. 2017 (power laws), Mukherjee et al. 2003
    (forecasts with intervals from subsets), Domhan, Springenberg & Hutter 2015 (several forms).
    Differs: forms are weighted by their fit and parameters drawn by the bootstrap, not by a Markov
    chain. The weights have no correction for few points; a fifth of the draws takes every form
    alike.

    `points`: CurvePoints or (labels, score) or (labels, score, standard error); with 4 or more
        different numbers of labels, in any order. Scores of the same way to choose and to train.
    `ceiling`: the best score there can be.
    `seed`: of the bootstrap; the same seed gives the same forecast.

    Raises ValueError for fewer points, for a ceiling that is not finite and for a score above it.
    """
    known = [one if isinstance(one, CurvePoint) else _point(one) for one in points]
    known.sort(key=lambda one: one.labels)
    if (distinct := len({one.labels for one in known})) < 4:
        raise ValueError(
            f"a forecast needs scores at 4 different numbers of labels, and there are {distinct}: "
            "train on parts of the labels too, such as 40, 55, 75 and 100 % of them"
        )
    if not math.isfinite(ceiling):
        raise ValueError(f"ceiling={ceiling}: give the best score there can be, a finite number")
    if (best := max(one.score for one in known)) > ceiling:
        raise ValueError(
            f"there is a score of {best} above the ceiling of {ceiling}: give the best score there "
            "can be as ceiling="
        )
    labels_P, scores_P, errors_P = (
        np.array([getattr(one, name) for one in known], float)
        for name in ("labels", "score", "standard_error")
    )
    draw = np.random.default_rng(seed)
    fitted, noise = fits(
        labels_P, scores_P, errors_P, ceiling=ceiling, resamples=_RESAMPLES, draw=draw
    )
    return LabelForecast(points=tuple(known), ceiling=ceiling, _fits=fitted, _noise=noise)


def _point(given: tuple[float, ...]) -> CurvePoint:
    if len(given) not in (2, 3):
        raise ValueError(f"the point {given!r}: give (labels, score) or with a standard error")
    error = given[2] if len(given) == 3 else 0.0
    return CurvePoint(labels=given[0], score=given[1], standard_error=error)


def _check_above_zero(value: float, what: str) -> None:
    if not 0 < value <= _MOST_LABELS:
        raise ValueError(f"{value} {what}: give a number above 0, at most {_MOST_LABELS:.0e}")


def _interval(values: np.ndarray) -> Interval:
    low, middle, high = (float(one) for one in np.quantile(values, (_LOW, 0.5, _HIGH)))
    return Interval(low=low, middle=middle, high=high)


def _rounded(labels: float) -> int:
    """Two digits: more would promise too much."""
    if labels < 10:
        return round(labels)
    unit = 10 ** (math.floor(math.log10(labels)) - 1)
    return round(labels / unit) * unit
