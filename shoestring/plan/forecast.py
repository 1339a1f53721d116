"""Forecast: what a search would come to, before it is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from shoestring.core import Budget
from shoestring.core.budget import is_lower, is_of_score
from shoestring.kit import Trial, compressible
from shoestring.plan.aiming import FEWEST_STEPS, TAUGHT
from shoestring.plan.arms import MARGIN, shares_of_smaller, speed_limits
from shoestring.plan.clock import duration
from shoestring.plan.rounds import SHRINK
from shoestring.plan.search import FIRST_SECONDS, FIRST_SHARE, Search
from shoestring.plan.verdict import limit_of, wants_smaller

# A rule of thumb from the networks of docs/rate.md and of the reference jobs: bits a weight at
# which nothing is lost after 1,500 steps of training for the rate, how that falls with the steps
# and with the score that may be lost, and how far networks are apart (as logarithms): 0.04 bits for
# LeNet-5, 0.8 for the tagger.
_BITS, _BY_STEPS, _BY_DROP, _SPREAD = 0.35, -0.3, -0.35, 1.2
_TENSOR_BYTES, _GRAPH_BYTES = 12.0, 60.0
_FASTER, _FASTER_SPREAD = (
    0.6,
    0.4,
    # of the fastest file without training, what training for speed comes to; apart by so much, as
    # logarithms
)
_FOUR_OF_FIVE = 1.28  # standard deviations
_WITHOUT = 3.4  # bits a weight that is rounded to 4 without training, as it is coded


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number and the interval that should hold it four times of five."""

    middle: float
    low: float
    high: float

    def duration(self, form: Callable[[float], str]) -> str:
        """In words."""
        return f"{form(self.middle)} ({form(self.low)} to {form(self.high)})"


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What `compress` should come to.

    The bytes and milliseconds of the file that is delivered, the minutes it takes, and the chance
    (0 to 1) that it keeps the budget. `milliseconds` is None where nothing was timed, `chance`
    where nobody knows: of memory, energy and operations nothing is foretold.
    """

    bytes: Range
    milliseconds: Range | None
    minutes: Range
    chance: float | None

    def __str__(self) -> str:
        lines = [f"about {self.bytes.duration(lambda v: f'{v:,.0f}')} bytes"]
        if self.milliseconds is not None:
            lines.append(f"{self.milliseconds.duration(lambda v: f'{v:.3g}')} ms a run")
        lines.append(f"after {self.minutes.duration(lambda v: duration(60 * v))}")
        chance = (
            "not known"
            if self.chance is None
            else f"about {min(5 * round(20 * self.chance), 95)} %"
        )
        return (
            f"forecast, by rules of thumb: {', '.join(lines)}; the chance that the budget "
            f"is kept is {chance}"
        )

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"event": "forecast", **asdict(self)}


def forecast_of(search: Search) -> Forecast:
    """The forecast of a search that has looked at the model, and perhaps at some files."""
    experiments, budget, clock = (
        search.standing.experiments,
        search.standing.budget,
        search.standing.clock,
    )
    weights = sum(one.raw.numel() for one in compressible(experiments.model, "forecast"))
    tensors = sum(1 for _ in experiments.model.parameters())
    most = max(clock.left, 0) / max(
        search.step * TAUGHT, 1e-9
    )  # steps of training, if all time were training
    steps = 0.45 * most
    floor = _floor(weights, tensors, steps, _drop(budget, experiments.base))
    best = search.standing.best
    assert best is not None
    verdict = search.standing.verdict(best)
    whole = clock.seconds / 60
    if search.standing.nothing_to_gain or (
        verdict.fits and not wants_smaller(budget) and steps < FEWEST_STEPS
    ):
        now = (clock.gone + 5) / 60
        return Forecast(
            bytes=_around(best.cost.bytes or 1, 0.05),
            milliseconds=_milliseconds(search, best),
            minutes=_around(now, 0.3),
            chance=0.95,
        )
    minutes = Range(middle=0.88 * whole, low=0.4 * whole, high=1.02 * whole)
    if (
        verdict.fits
        and not wants_smaller(budget)
        and _lost(search, best) <= (experiments.judge.base_error or 0.0)
    ):
        # Nearly nothing is lost: one of the next files without training will have lost nothing, and
        # ends the search.
        soon = (clock.gone + min(FIRST_SHARE * clock.seconds, FIRST_SECONDS) / 2) / 60
        minutes = Range(middle=soon, low=clock.gone / 60, high=1.02 * whole)
    if wants_smaller(budget):
        least = floor
        if (
            verdict.fits
        ):  # each file is so much smaller than the one before, and there is time for so many
            count = len(shares_of_smaller(lambda share: share * most))
            now = min(float(best.cost.bytes or floor), _file(weights, tensors, _WITHOUT))
            least = (
                now
                if steps < FEWEST_STEPS
                else min(now, max(floor, now / (SHRINK * 2.0 ** (count - 1))))
            )
        spread = math.exp(_FOUR_OF_FIVE * _SPREAD)
        return Forecast(
            bytes=Range(middle=least, low=least / spread, high=least * spread),
            milliseconds=_milliseconds(search, None),
            minutes=minutes,
            chance=0.97 if verdict.fits else 0.7,
        )
    size, limit = float(best.cost.bytes or 1), limit_of(budget, "size")
    chance = _chance(search, floor)
    if limit is not None and size > limit:
        size = MARGIN * limit  # what trains for bytes is told where to end, whatever the score
    return Forecast(
        bytes=_around(size, 0.08),
        milliseconds=_milliseconds(search, None),
        minutes=minutes,
        chance=chance,
    )


def _lost(search: Search, trial: Trial) -> float:
    """How much of the score a trial has lost."""
    return math.inf if trial.score is None else search.standing.experiments.base - trial.score


def _chance(search: Search, floor: float) -> float | None:
    """The chance that limits are kept which the best file so far breaks.

    None where one of them is of what nothing is foretold of.
    """
    budget, best, base = (
        search.standing.budget,
        search.standing.best,
        search.standing.experiments.base,
    )
    assert best is not None
    broken = search.standing.verdict(best).broken
    if set(broken) & (set(speed_limits(budget)) - {"latency"}):
        return None
    chance = 0.3 if any(map(is_of_score, broken)) else 0.9
    if "size" in broken:
        chance *= _normal((math.log(broken["size"][1]) - math.log(floor)) / _SPREAD)
    if "latency" in broken and best.cost.milliseconds is not None:
        fastest = _trained_fastest(search) or _FASTER * best.cost.milliseconds
        chance *= _normal((math.log(broken["latency"][1]) - math.log(fastest)) / _FASTER_SPREAD)
    if budget.score is not None and budget.score > base:
        chance *= 0.2
    return chance


def _floor(weights: int, tensors: int, steps: float, drop: float) -> float:
    """To how many bytes a file can come before it loses more than may be lost."""
    bits = _BITS * (max(steps, 1.0) / 1500) ** _BY_STEPS * (1 + drop / 0.005) ** _BY_DROP
    return _file(weights, tensors, _WITHOUT if steps < FEWEST_STEPS else min(bits, _WITHOUT))


def _file(weights: int, tensors: int, bits: float) -> float:
    """The bytes of a file with so many bits a weight, about."""
    return weights * bits / 8 + _TENSOR_BYTES * tensors + _GRAPH_BYTES


def _drop(budget: Budget, base: float) -> float:
    """The share of the score that may be lost."""
    drops = [] if budget.drop is None else [budget.drop]
    drops += [] if budget.score is None else [max(base - budget.score, 0.0)]
    drops += [limit for name, limit in budget.named.items() if not is_lower(name)]
    drops += [
        max(budget.came_in_of(name) - limit, 0.0)
        for name, limit in budget.named.items()
        if is_lower(name)
    ]
    return min(drops, default=0.002 * abs(base)) / max(abs(base), 1e-9)


def _milliseconds(search: Search, known: Trial | None) -> Range | None:
    """What a run takes: that of a file that is known, the limit where one must be reached, else
    what it takes now.
    """
    before = search.standing.experiments.original.cost.milliseconds
    if before is None:
        return None
    if known is not None and known.cost.milliseconds is not None:
        return _around(known.cost.milliseconds, 0.08)
    limit = limit_of(search.standing.budget, "latency")
    if limit is not None and before > limit:
        best = search.standing.best.cost.milliseconds if search.standing.best is not None else None
        if (fastest := _trained_fastest(search)) is not None and fastest > limit:
            return _around(fastest, 0.15)
        return _around(best if best is not None and best <= limit else 0.95 * limit, 0.15)
    return _around(before, 0.15)


def _trained_fastest(search: Search) -> float | None:
    """The milliseconds of the fastest file that an earlier search of this study has seen, where it
    came to train; None where none did.
    """
    known = [one for one in search.standing.seen.values() if one.score is not None]
    times = [one.cost.milliseconds for one in known if one.cost.milliseconds is not None]
    return min(times) if times and any(one.fidelity for one in known) else None


def _around(value: float, share: float) -> Range:
    return Range(middle=value, low=value * (1 - share), high=value * (1 + share))


def _normal(z: float) -> float:
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))
