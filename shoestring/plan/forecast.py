"""The forecast of a search: the bytes, milliseconds and minutes that it would come to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from shoestring.core import Budget
from shoestring.core.budget import is_lower, is_of_score
from shoestring.kit import Trial, compressible
from shoestring.kit.clock import duration
from shoestring.plan.aiming import FEWEST_STEPS, TAUGHT
from shoestring.plan.arms import MARGIN, shares_of_smaller, speed_limits
from shoestring.plan.rounds import SHRINK
from shoestring.plan.search import FIRST_SECONDS, FIRST_SHARE, Search
from shoestring.plan.verdict import is_large, limit_of, wants_smaller

# Rules of thumb, from the networks of docs/rate.md and the reference jobs.
_BITS = 0.35
"""Bits a weight at which nothing is lost after 1,500 steps of training for the rate.

It was 0.04 for LeNet-5 and 0.8 for the tagger.
"""
_BY_STEPS, _BY_DROP = -0.3, -0.35
"""Exponents by which these bits fall with the steps, and with the score that may be lost."""
_SPREAD = 1.2
"""The standard deviation of these bits among networks, as a logarithm."""
_TENSOR_BYTES, _GRAPH_BYTES = 12.0, 60.0
_FASTER = 0.6
"""Times the milliseconds of the fastest untrained file that training for speed comes to."""
_FASTER_SPREAD = 0.4
"""The standard deviation of that, as a logarithm."""
_FOUR_OF_FIVE = 1.28
"""Standard deviations to each side that hold four values of five."""
_WITHOUT = 3.4
"""Coded bits of a weight that is rounded to 4 bits without training."""
_TRAINED_SHARE = 0.45
"""Share of the time left that goes into training."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number, and the interval (`low` to `high`) that should hold it four times of five."""

    middle: float
    low: float
    high: float

    def text(self, form: Callable[[float], str]) -> str:
        """The number and its interval, each as `form` writes it."""
        return f"{form(self.middle)} ({form(self.low)} to {form(self.high)})"


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A prediction of what `compress` comes to.

    `bytes`: of the file that is delivered.
    `milliseconds`: of a run of it; None where nothing was timed.
    `minutes`: that the search takes.
    `chance`: that the file keeps the budget, from 0 to 1. None where a limit on memory, energy or
        operations is broken so far, since nothing is predicted of these.
    `labels`: how many were bought for it; None where the budget does not limit them.
    `to_buy`: how many `compress` would buy before all else, which are not in the forecast.
    `to_learn`: examples without a label that `compress` would learn from before; the same.
    """

    bytes: Range
    milliseconds: Range | None
    minutes: Range
    chance: float | None
    labels: int | None = None
    to_buy: int = 0
    to_learn: int = 0

    def __str__(self) -> str:
        lines = [f"about {self.bytes.text(lambda v: f'{v:,.0f}')} bytes"]
        if self.milliseconds is not None:
            lines.append(f"{self.milliseconds.text(lambda v: f'{v:.3g}')} ms a run")
        lines.append(f"after {self.minutes.text(lambda v: duration(60 * v))}")
        if self.labels is not None:
            lines.append(f"with {self.labels:,} labels bought")
        if self.to_buy:
            lines.append(f"as the model came in, before {self.to_buy:,} labels are bought")
        if self.to_learn:
            lines.append(f"before anything is learnt from {self.to_learn:,} without a label")
        chance = "not known"
        if self.chance is not None:
            chance = f"about {min(5 * round(20 * self.chance), 95)} %"
        return (
            f"forecast, by rules of thumb: {', '.join(lines)}; the chance that the budget is kept "
            f"is {chance}"
        )

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"event": "forecast", **asdict(self)}


def forecast_of(search: Search) -> Forecast:
    """The forecast of a search after `Search.look`."""
    standing = search.standing
    budget, clock, best = standing.budget, standing.clock, standing.best
    assert best is not None
    steps = _TRAINED_SHARE * _most_steps(search)
    fits, smaller = standing.verdict(best).fits, wants_smaller(budget)
    if standing.nothing_to_gain or (fits and not smaller and steps < FEWEST_STEPS):
        return Forecast(
            bytes=_around(best.cost.bytes or 1, 0.05),
            milliseconds=_milliseconds(search, best),
            minutes=_around((clock.gone + 5) / 60, 0.3),
            chance=0.95,
        )
    if smaller:
        least = _least_bytes(search, best, steps, fits)
        spread = math.exp(_FOUR_OF_FIVE * _SPREAD)
        size = Range(middle=least, low=least / spread, high=least * spread)
        chance = 0.97 if fits else 0.7
    else:
        now, limit = float(best.cost.bytes or 1), search.standing.most_bytes
        # A training for bytes ends at those that it is given, whatever the score.
        size = _around(now if limit is None or now <= limit else MARGIN * limit, 0.08)
        chance = _chance(search, _floor(search, steps))
    return Forecast(
        bytes=size,
        milliseconds=_milliseconds(search, None),
        minutes=_minutes(search, best, fits),
        chance=chance,
    )


def _most_steps(search: Search) -> float:
    """The steps of training that fit into all the time left."""
    return max(search.standing.clock.left, 0) / max(search.step * TAUGHT, 1e-9)


def _minutes(search: Search, best: Trial, fits: bool) -> Range:
    """The minutes that the search takes."""
    standing = search.standing
    clock, error = standing.clock, standing.experiments.judge.base_error
    limit = clock.seconds / 60
    if fits and not wants_smaller(standing.budget) and _lost(search, best) <= (error or 0.0):
        # Nearly nothing is lost: one of the next files without training will lose nothing, and end
        # the search.
        soon = (clock.gone + min(FIRST_SHARE * clock.seconds, FIRST_SECONDS) / 2) / 60
        return Range(middle=soon, low=clock.gone / 60, high=1.02 * limit)
    return Range(middle=0.88 * limit, low=0.4 * limit, high=1.02 * limit)


def _least_bytes(search: Search, best: Trial, steps: float, fits: bool) -> float:
    """The bytes of the last file, where files are to be ever smaller."""
    floor = _floor(search, steps)
    if not fits:
        return floor
    now = min(float(best.cost.bytes or floor), _file_bytes(search, _WITHOUT))
    if steps < FEWEST_STEPS:
        return now
    # Each file is smaller by a factor than the one before, and there is time for so many.
    most = _most_steps(search)
    count = len(shares_of_smaller(lambda share: share * most))
    return min(now, max(floor, now / (SHRINK * 2.0 ** (count - 1))))


def _lost(search: Search, trial: Trial) -> float:
    """How much of the score a trial has lost."""
    return math.inf if trial.score is None else search.standing.experiments.base - trial.score


def _chance(search: Search, floor: float) -> float | None:
    """The chance that the limits are kept which the best file so far breaks.

    None where one of them limits a resource of which nothing is predicted. `floor`: the fewest
    bytes that can be reached.
    """
    standing = search.standing
    budget, best, base = standing.budget, standing.best, standing.experiments.base
    assert best is not None
    verdict, most = standing.verdict(best), standing.most_bytes
    broken = verdict.broken
    if set(broken) & (set(speed_limits(budget)) - {"latency"}):
        return None
    chance = 0.3 if any(map(is_of_score, broken)) else 0.9
    if is_large(verdict) and most is not None:
        chance *= _normal((math.log(most) - math.log(floor)) / _SPREAD)
    if "latency" in broken and best.cost.milliseconds is not None:
        fastest = _trained_fastest(search) or _FASTER * best.cost.milliseconds
        chance *= _normal((math.log(broken["latency"][1]) - math.log(fastest)) / _FASTER_SPREAD)
    if budget.score is not None and budget.score > base:
        chance *= 0.2
    return chance


def _floor(search: Search, steps: float) -> float:
    """The fewest bytes of a file that loses no more than may be lost."""
    if steps < FEWEST_STEPS:
        return _file_bytes(search, _WITHOUT)
    drop = _drop(search.standing.budget, search.standing.experiments.base)
    bits = _BITS * (max(steps, 1.0) / 1500) ** _BY_STEPS * (1 + drop / 0.005) ** _BY_DROP
    return _file_bytes(search, min(bits, _WITHOUT))


def _file_bytes(search: Search, bits: float) -> float:
    """About the bytes of a file with so many bits a weight."""
    model = search.standing.experiments.model
    weights = sum(weight.raw.numel() for weight in compressible(model, "forecast"))
    tensors = sum(1 for _ in model.parameters())
    return weights * bits / 8 + _TENSOR_BYTES * tensors + _GRAPH_BYTES


def _drop(budget: Budget, base: float) -> float:
    """The share of the score that may be lost, by the tightest of its limits."""
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
    """The milliseconds of a run of the delivered file; None where nothing was timed.

    They are those of `known` where it is given. Else they are about the limit where the model that
    came in exceeds it, else those of that model.
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
    """The milliseconds of the fastest file of an earlier search in this study.

    None where no earlier search has trained.
    """
    known = [trial for trial in search.standing.seen.values() if trial.score is not None]
    times = [trial.cost.milliseconds for trial in known if trial.cost.milliseconds is not None]
    return min(times) if times and any(trial.fidelity for trial in known) else None


def _around(value: float, share: float) -> Range:
    """The value, give or take a share of it."""
    return Range(middle=value, low=value * (1 - share), high=value * (1 + share))


def _normal(z: float) -> float:
    """The distribution function of the standard normal distribution."""
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))
