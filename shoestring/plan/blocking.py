"""Of a budget that is not kept: which limit blocks it, and what one more unit of it would buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shoestring.core import Budget
from shoestring.kit import Trial
from shoestring.plan.verdict import HAVING, judge


def blocking(budget: Budget, nearest: Trial, trials: Sequence[Trial], base: float) -> list[str]:
    """A sentence for each limit that the nearest point breaks."""
    verdict = judge(budget, nearest, base)
    return [_sentence(budget, name, value, limit, trials, base) for name, (value, limit) in verdict.broken.items()]


def _sentence(budget: Budget, name: str, value: float | None, limit: float, trials: Sequence[Trial], base: float) -> str:
    if value is None:
        return f"{name} was not measured"
    said = f"{name} blocks: {value:.4g} was reached and {limit:.4g} asked for"
    others = replace(budget, **{name: None})
    kept = [one for one in trials if one.score is not None and judge(others, one, base).fits]
    reached = [(v, one) for one in kept if (v := _value(name, one, base)) is not None]
    if not reached:
        return f"{said}; no file that was tried keeps all the other limits either"
    sign = -1 if name == "score" else 1
    value, there = min(reached, key=lambda one: sign * one[0])
    least = Budget(**{name: value * (1 + sign * 1e-9) if value > 0 else 0.0})
    said += (
        f"; {str(least).replace(f'{value * (1 + sign * 1e-9)!r}', f'{value:.4g}')} would do with the other limits as they are"
    )
    return said + _next(name, value, there, reached, base)


def _next(name: str, value: float, there: Trial, reached: Sequence[tuple[float, Trial]], base: float) -> str:
    """What a little more of the limit would buy of the score, going by the next point."""
    if name in ("drop", "score") or there.score is None:
        return ""
    better = [(v, one.score) for v, one in reached if one.score is not None and one.score > there.score and v > value]
    if not better:
        return ""
    more, score = min(better)
    unit = HAVING[name].unit
    return f", and {more - value:.4g}{' ' + unit if unit else ''} more would buy {score - there.score:+.4f} of the score"


def _value(name: str, trial: Trial, base: float) -> float | None:
    if trial.score is None:
        return None
    if name in ("drop", "score"):
        return base - trial.score if name == "drop" else trial.score
    return getattr(trial.cost, HAVING[name].field)
