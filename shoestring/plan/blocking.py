"""Of a budget that is not kept: which limit blocks it, and what one more unit of it would buy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shoestring.core import Budget
from shoestring.core.budget import is_lower, is_of_score
from shoestring.kit import Trial
from shoestring.plan.verdict import HAVING, judge


def blocking(budget: Budget, nearest: Trial, trials: Sequence[Trial], base: float) -> list[str]:
    """A sentence for each limit that the nearest point breaks."""
    verdict = judge(budget, nearest, base)
    return [
        _sentence(budget, name, value, limit, trials, base)
        for name, (value, limit) in verdict.broken.items()
    ]


def _sentence(
    budget: Budget,
    name: str,
    value: float | None,
    limit: float,
    trials: Sequence[Trial],
    base: float,
) -> str:
    if value is None:
        return f"{name} was not measured"
    said = f"{name} blocks: {_told(name, value)} was reached and {_told(name, limit)} asked for"
    others = budget.without(name)
    kept = [one for one in trials if one.score is not None and judge(others, one, base).fits]
    reached = [(v, one) for one in kept if (v := _value(budget, name, one, base)) is not None]
    if not reached:
        return f"{said}; no file that was tried keeps all the other limits either"
    sign = -1 if is_lower(name) else 1
    value, there = min(reached, key=lambda one: sign * one[0])
    if sign * value <= sign * limit:  # within the noise of a measurement
        return said
    does = (
        f"{name}>={_told(name, value)}"
        if is_lower(name)
        else f"{name}<={_told(name, max(value, 0.0))}"
    )
    return (
        f"{said}; {does} would do with the other limits as they "
        f"are{_next(name, value, there, reached)}"
    )


def _next(name: str, value: float, there: Trial, reached: Sequence[tuple[float, Trial]]) -> str:
    """What a little more of the limit would buy of the score, going by the next point."""
    if is_of_score(name) or there.score is None:
        return ""
    better = [
        (v, one.score)
        for v, one in reached
        if one.score is not None and one.score > there.score and v > value
    ]
    if not better:
        return ""
    more, score = min(better)
    return (
        f", and {_told(name, more - value)} more would buy {score - there.score:+.4f} of the score"
    )


def _told(name: str, value: float) -> str:
    """A value in the grammar of budgets, with its unit.

    Rounded to four digits so that a limit of that much is kept.
    """
    unit = HAVING[name].unit if name in HAVING else ""
    if value == int(value):
        return f"{int(value)}{unit}"
    digits = max(3 - math.floor(math.log10(abs(value))), 0)
    scaled = value * 10.0**digits
    rounded = math.floor(scaled + 1e-6) if is_lower(name) else math.ceil(scaled - 1e-6)
    text = f"{rounded / 10.0**digits:.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + unit


def _value(budget: Budget, name: str, trial: Trial, base: float) -> float | None:
    if trial.score is None:
        return None
    return budget.measured(name, trial.cost, base - trial.score, trial.score, trial.scores)
