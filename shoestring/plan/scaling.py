"""What more data, parameters or compute would bring: a power law, carried on with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from shoestring.label import Interval
from shoestring.plan.forecast import Range
from shoestring.plan.power_law import Measured, Posterior, posterior

_LOW, _HIGH = 0.1, 0.9
_FEWEST_SIZES = 3
_LEAST_SPAN = 3.0
"""Times the smallest size that the largest must be, at least, for anything to be said."""
_LARGEST = 1e30
_FARTHEST = 1000.0
"""Times the largest measured size, beyond which nothing is said."""


@final
@dataclass(frozen=True, kw_only=True)
class ScalingPoint:
    """A score that was measured at a size.

    `size`: above 0, at most 1e30: of the training data, of the network or of the compute, in any
        unit, the same for all points.
    `score`: higher is better.
    `seed`: tells trainings of one size apart; None where nobody says. Two points of one size are
        two trainings, whatever their seeds.

    Raises ValueError for a size out of range and for a score that is not finite.
    """

    size: float
    score: float
    seed: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.size <= _LARGEST:
            raise ValueError(
                f"a score at size {self.size}: give a number above 0, at most {_LARGEST:.0e}"
            )
        if not math.isfinite(self.score):
            raise ValueError(
                f"the score at size {self.size:g} is {self.score}: leave out trainings that "
                "diverged, or give the score of chance for them"
            )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """Scores of small runs, carried on to larger sizes. Make one with `scaling`.

    `points`: what was measured, in ascending order of sizes.
    `best`: the best score there can be.
    `chance`: the score of a model that has learnt nothing; None where there is no such bound.
    `undecided`: why nothing is forecast, in words; "" where something is.
    """

    points: tuple[ScalingPoint, ...]
    best: float
    chance: float | None
    undecided: str
    _posterior: Posterior | None = field(repr=False)

    @property
    def largest(self) -> float:
        """The largest size that was measured."""
        return self.points[-1].size

    def at(self, size: float) -> Range:
        """The score that one training of a size will get: its median and 80 % interval.

        Raises ValueError for a size that is not above 0, and where `undecided` says something.
        """
        _check_size(size)
        return self._range(self._decided().runs(size / self.largest))

    def floor(self) -> Range:
        """The score that no size exceeds: the limit of the law, whose error is its floor.

        Raises ValueError where `undecided` says something.
        """
        return self._range(self._decided().floors())

    def size_for(self, score: float) -> Interval:
        """The size at which the law reaches a score.

        An end of the interval is None where it is more than 1,000 times the largest measured size,
        or where no size is enough.

        Raises ValueError for a score that is not below the best there can be, and where `undecided`
        says something.
        """
        if not -math.inf < score < self.best:
            raise ValueError(
                f"a score of {score:g} is wanted: give one below the best there can be, "
                f"{self.best:g}"
            )
        factors = np.geomspace(self.points[0].size / self.largest, _FARTHEST, 400)
        curves_RG = self._decided().curves(factors)
        reached_RG = curves_RG <= self.best - score
        first_R = np.where(reached_RG.any(1), factors[reached_RG.argmax(1)], np.inf)
        low, middle, high = (
            float(np.quantile(first_R, q, method="nearest")) * self.largest
            for q in (_LOW, 0.5, _HIGH)
        )
        return Interval(low=_finite(low), middle=_finite(middle), high=_finite(high))

    def chance_of(self, score: float, size: float) -> float:
        """The chance, 0 to 1, that one training of a size gets a score or a better one.

        Raises ValueError for a size that is not above 0, and where `undecided` says something.
        """
        _check_size(size)
        errors_R = self._decided().runs(size / self.largest)
        return float((errors_R <= self.best - score).mean())

    def as_json(self, sizes: Sequence[float], score: float | None = None) -> dict[str, Any]:
        """As plain values, with the forecasts for these sizes and the size for a score."""
        plain: dict[str, Any] = {
            "event": "scaling",
            "points": [{"size": one.size, "score": one.score} for one in self.points],
            "undecided": self.undecided,
        }
        if self.undecided:
            return plain
        plain["floor"] = _plain(self.floor())
        plain["forecasts"] = [{"size": size, **_plain(self.at(size))} for size in sizes]
        if score is not None:
            wanted = self.size_for(score)
            plain["size_for"] = {"score": score, **_plain(wanted)}
        return plain

    def _decided(self) -> Posterior:
        if self.undecided or self._posterior is None:
            raise ValueError(f"undecided: {self.undecided}")
        return self._posterior

    def _range(self, errors_R: np.ndarray) -> Range:
        low, middle, high = (
            self.best - float(error) for error in np.quantile(errors_R, (_HIGH, 0.5, _LOW))
        )
        return Range(middle=middle, low=low, high=high)


def scaling(
    points: Sequence[ScalingPoint | Sequence[float]],
    *,
    best: float = 1.0,
    chance: float | None = None,
    seed: int = 0,
) -> Scaling:
    """Carry scores of small runs on to larger sizes, by a power law with a floor.

    The law is error = floor + a · size^-b, where the error is the distance to the best score. With
    `chance` a second law is weighed beside it, in which the error cannot exceed that of chance: the
    same of error / (1 - error / the error of chance). All that the points leave open is in the
    interval: law, floor, exponent and misfit are weighed on a grid by how likely they make the
    points (Bayes' rule), and no best fit is chosen.

    Source: Hestness et al. 2017 (the law, between a region of guessing and a floor), Rosenfeld et
    al. 2020 (a form that is bounded by guessing), Hoffmann et al. 2022 (floor and exponents of
    parameters and data).
    Differs: one size at a time; another form of the bound; a posterior on a grid where they give a
    least squares fit.

    `points`: ScalingPoints, or (size, score) or (size, score, seed); in any order, with several
        trainings of a size where there are some: their spread tells the noise. Scores are of the
        same way to train, on the same held-out data.
    `best`: the best score there can be. Of a loss, whose score is its negative, usually 0.
    `chance`: the score of a model that has learnt nothing, such as 0.1 for ten equal classes; below
        `best`. None: there is no such bound, as with a loss.
    `seed`: of the draws from the posterior; the same seed gives the same forecast.

    Nothing is forecast (`undecided` says why) of fewer than three sizes, of sizes that are less
    than three times apart, of scores that do not rise with the size, and where nothing is left to
    gain.

    Raises ValueError for fewer than two sizes, for points, `best` or `chance` out of range, and for
    a score above `best`.
    """
    known = sorted((_point(one) for one in points), key=lambda one: one.size)
    sizes = sorted({one.size for one in known})
    if len(sizes) < 2:
        raise ValueError(
            f"a forecast needs scores at several sizes, and there {_are(len(sizes))}: train on 1, "
            "2, 5 and 10 % of the data, say, three times each"
        )
    _check_bounds(known, best, chance)
    measured = _measured(known, sizes, best, chance)
    undecided, found = _undecided(known, sizes, measured), None
    if not undecided:
        found = posterior(measured, seed)
    return Scaling(
        points=tuple(known), best=best, chance=chance, undecided=undecided, _posterior=found
    )


def affordable(compute: float, budget: float, doubling_years: float = 1.5) -> float:
    """Years until a budget pays for a computation, if compute for the same money keeps doubling.

    They are log2(compute / budget) · doubling_years: what costs a hundred times the budget is
    6.64 doublings away, and so 9.97 years where each takes 1.5.

    The doubling time is an assumption of the caller's: nobody knows that of the years to come.

    `compute`: what is wanted, above 0, in any unit.
    `budget`: what the same money pays for today, above 0, in that unit.
    `doubling_years`: in which twice as much is had for the same money, above 0.

    Returns 0 where the budget pays for it today.
    Raises ValueError for numbers out of range.
    """
    for name, value in (("compute", compute), ("budget", budget), ("doubling", doubling_years)):
        if not 0 < value < math.inf:
            raise ValueError(f"the {name} is {value}: give a finite number above 0")
    return max(0.0, (math.log2(compute) - math.log2(budget)) * doubling_years)


def _point(given: Any) -> ScalingPoint:
    if isinstance(given, ScalingPoint):
        return given
    if len(given) not in (2, 3):
        raise ValueError(f"the point {given!r}: give (size, score) or (size, score, seed)")
    size, value, *seeds = given
    if seeds and not float(seeds[0]).is_integer():
        raise ValueError(f"the seed of the point {tuple(given)} is {seeds[0]}: give an integer")
    seed = int(seeds[0]) if seeds else None
    return ScalingPoint(size=float(size), score=float(value), seed=seed)


def _are(sizes: int) -> str:
    return "is one" if sizes == 1 else "are none"


def _check_size(size: float) -> None:
    if not 0 < size <= _LARGEST:
        raise ValueError(f"a size of {size}: give a number above 0, at most {_LARGEST:.0e}")


def _check_bounds(points: Sequence[ScalingPoint], best: float, chance: float | None) -> None:
    if not math.isfinite(best):
        raise ValueError(f"best={best}: give the best score there can be, a finite number")
    if chance is not None and not -math.inf < chance < best:
        raise ValueError(
            f"chance={chance}: give the score of a model that has learnt nothing, below the best "
            f"there can be ({best:g}), or None where there is no bound"
        )
    if (highest := max(one.score for one in points)) > best:
        raise ValueError(
            f"there is a score of {highest:g}, above the best there can be ({best:g}): give best="
        )


def _measured(
    points: Sequence[ScalingPoint], sizes: Sequence[float], best: float, chance: float | None
) -> Measured:
    """The errors of each size, and how many trainings there are of it."""
    errors = [np.array([best - one.score for one in points if one.size == size]) for size in sizes]
    return Measured(
        sizes_P=np.array(sizes) / sizes[-1],
        errors=tuple(errors),
        bounds=(math.inf,) if chance is None else (math.inf, best - chance),
    )


def _undecided(points: Sequence[ScalingPoint], sizes: Sequence[float], measured: Measured) -> str:
    """Why nothing can be forecast of these points; "" where something can."""
    if len(sizes) < _FEWEST_SIZES:
        return (
            f"there are {len(sizes)} sizes, and a law with a floor has three numbers: measure at "
            "least one size more"
        )
    if sizes[-1] < _LEAST_SPAN * sizes[0]:
        return (
            f"the sizes go from {sizes[0]:g} to {sizes[-1]:g}: let the largest be {_LEAST_SPAN:g} "
            "times the smallest, or more"
        )
    if all(one.mean() == 0 for one in measured.errors):
        return "every score is the best there can be: nothing is left to gain"
    if not measured.falls():
        means = [points[0].score, points[-1].score]
        return (
            f"the scores do not rise with the size beyond their noise (from {means[0]:.4g} at "
            f"{sizes[0]:g} to {means[1]:.4g} at {sizes[-1]:g}): measure larger sizes or more "
            "seeds, look for wrong labels (shoestring audit), or for a training that is too short"
        )
    return ""


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(given: Range | Interval) -> dict[str, float | None]:
    return {"low": given.low, "middle": given.middle, "high": given.high}
