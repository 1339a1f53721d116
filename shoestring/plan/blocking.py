"""Which limits block a budget that is not kept, and what one more unit of each would buy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shoestring.core import Budget
from shoestring.core.budget import is_lower, is_of_score
from shoestring.kit import Trial
from shoestring.plan.verdict import HAVING, judge


def blocking(budget: Budget, nearest: Trial, trials: Sequence[Trial], base: float) -> list[str]:
    """A sentence for each limit that the nearest trial breaks.

    `trials`: all that were made; `base`: the validation score of the model that came in.
    """
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
    """What was reached of the limit `name`, and which value of it would do."""
    if value is None:
        return f"{name} was not measured"
    reason = (
        f"{name} blocks: {_as_limit(name, value)} was reached and {_as_limit(name, limit)} asked "
        "for"
    )
    others = budget.without(name)
    kept = [t for t in trials if t.score is not None and judge(others, t, base).fits]
    reached = [(v, t) for t in kept if (v := _value(budget, name, t, base)) is not None]
    if not reached:
        return f"{reason}; no file that was tried keeps all the other limits either"
    sign = -1 if is_lower(name) else 1
    value, trial = min(reached, key=lambda pair: sign * pair[0])
    if sign * value <= sign * limit:  # it differs by the noise of a measurement
        return reason
    does = (
        f"{name}>={_as_limit(name, value)}"
        if is_lower(name)
        else f"{name}<={_as_limit(name, max(value, 0.0))}"
    )
    return (
        f"{reason}; {does} would do with the other limits as they "
        f"are{_next(name, value, trial, reached)}"
    )


def _next(name: str, value: float, trial: Trial, reached: Sequence[tuple[float, Trial]]) -> str:
    """What a little more of the limit would buy of the score, by the next better trial."""
    if is_of_score(name) or trial.score is None:
        return ""
    better = [
        (v, other.score)
        for v, other in reached
        if other.score is not None and other.score > trial.score and v > value
    ]
    if not better:
        return ""
    more, score = min(better)
    step = _as_limit(name, more - value)
    return f", and {step} more would buy {score - trial.score:+.4f} of the score"


def _as_limit(name: str, value: float) -> str:
    """A value in the grammar of budgets, with its unit.

    It is rounded to four digits, in the direction in which a limit of that value is kept.
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
    """What a trial has of what the limit `name` is on; None where nobody measured it."""
    if trial.score is None:
        return None
    return budget.measured(name, trial.cost, base - trial.score, trial.score, trial.scores)
