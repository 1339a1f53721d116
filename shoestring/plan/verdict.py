"""The verdict of a budget on a trial: which limits it keeps and breaks, which noise leaves open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shoestring.core import Budget, Cost, Share
from shoestring.core.budget import is_lower, is_of_score
from shoestring.core.resource import LIMITED
from shoestring.kit import Trial

HAVING = {name: resource for name, resource in LIMITED.items() if not resource.getting}
"""By name of the limit: the resources of having a model that a budget can limit."""
BYTES = ("size", "flash")
"""Limits that fewer bytes of weights help to keep."""
_POINT = 0.05
"""What a hundredth of the score is worth, as excess over a limit that is broken (a logarithm)."""
_MOST_POINTS = 2.0
"""How many hundredths count."""
_SCORE_UNIT = 0.01
"""The least unit by which the excess over a limit on a score is counted."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict of a budget on a trial.

    `broken`: by name of the limit, (the value or None where nobody measured it, the limit).
    `undecided`: the same for limits that lie within the interval of a noisy measurement.
    `excess`: the sum over broken limits of the logarithm of value divided by limit.
    """

    broken: dict[str, tuple[float | None, float]]
    undecided: dict[str, tuple[float | None, float]]
    excess: float

    @property
    def fits(self) -> bool:
        """Whether no limit is broken."""
        return not self.broken

    def order(self) -> tuple[int, float, int]:
        """A key, smaller for nearer trials: broken limits, their excess, undecided limits."""
        return len(self.broken), self.excess, len(self.undecided)


def limit_of(budget: Budget, name: str) -> float | None:
    """A limit of a budget in numbers; None where there is none."""
    limit = getattr(budget, name)
    assert not isinstance(limit, Share), "Budget.against makes a number of a share"
    return limit


def judge(budget: Budget, trial: Trial, base: float) -> Verdict:
    """The verdict of a budget in numbers on a trial.

    A limit on a noisy measurement (milliseconds, memory, joules) is broken only where its whole
    interval is over the limit. A trial that failed breaks every limit.

    `base`: the validation score of the model that came in.
    """
    if trial.score is None:
        return Verdict(
            broken=budget.exceeded(Cost(), None) or {"score": (None, base)},
            undecided={},
            excess=math.inf,
        )
    over = budget.exceeded(trial.cost, base - trial.score, trial.score, trial.scores)
    broken, undecided, excess = {}, {}, 0.0
    for name, resource in HAVING.items():
        interval = trial.noise.get(resource.field)
        limit = limit_of(budget, name)
        if limit is None:
            continue
        if interval is not None and interval[0] <= limit < interval[1]:
            undecided[name] = (getattr(trial.cost, resource.field), limit)
        elif name in over:
            broken[name] = over[name]
            excess += _ratio(*over[name])
    for name in filter(is_of_score, over):
        broken[name] = over[name]
        value, limit = over[name]
        far = abs((value if value is not None else math.inf) - limit)
        before = base if name == "score" else budget.came_in_of(name)
        excess += math.log1p(
            far / max(abs(before - limit) if is_lower(name) else abs(limit), _SCORE_UNIT)
        )
    return Verdict(broken=broken, undecided=undecided, excess=excess)


def _ratio(value: float | None, limit: float) -> float:
    """The logarithm of value divided by limit; infinity where nobody measured the value."""
    return math.inf if value is None or limit <= 0 else math.log(max(value, 1e-12) / limit)


def is_large(verdict: Verdict) -> bool:
    """Whether a limit that fewer bytes of weights help to keep is broken."""
    return not verdict.broken.keys().isdisjoint(BYTES)


def wants_smaller(budget: Budget) -> bool:
    """Whether files are to be ever smaller, since no resource of having a model is limited."""
    return all(getattr(budget, name) is None for name in HAVING)


def better(budget: Budget, base: float) -> object:
    """A key for min(), by which the trial to deliver comes first.

    A trial that keeps every limit comes before one that does not. Among those that do, the highest
    score comes first where a resource is limited, else the smallest file. Among those that break
    limits the nearest comes first, where a hundredth of the score counts as 5 % of a limit, and two
    hundredths or more as 10 %.
    """
    smaller = wants_smaller(budget)

    def key(trial: Trial) -> tuple[float, ...]:
        verdict = judge(budget, trial, base)
        size = trial.cost.bytes or math.inf
        score = -math.inf if trial.score is None else trial.score
        broken, excess, undecided = verdict.order()
        if broken and trial.score is not None:  # a tiny excess is not worth a point of the score
            excess += _POINT * min(
                max((base - score) / (0.01 * abs(base) or 1.0), 0.0), _MOST_POINTS
            )
        return (broken, excess, undecided, *((size, -score) if smaller else (-score, size)))

    return key


def quicker(trial: Trial, original: Trial, limits: Sequence[str]) -> bool:
    """Whether a file has over 3 % less than the original of a limited resource, beyond noise."""
    for limit in limits:
        name = HAVING[limit].field
        before, after = getattr(original.cost, name), getattr(trial.cost, name)
        if (
            before
            and after is not None
            and trial.noise.get(name, (after, after))[1] < 0.97 * before
        ):
            return True
    return False


def quickness(trial: Trial, original: Trial, limits: Sequence[str]) -> float:
    """The largest ratio of a file to the original among the resources of these limits.

    It is 1 where nobody measured them.
    """
    fields = [HAVING[limit].field for limit in limits]
    pairs = [(getattr(trial.cost, name), getattr(original.cost, name)) for name in fields]
    return max(
        (after / before for after, before in pairs if before and after is not None), default=1.0
    )
