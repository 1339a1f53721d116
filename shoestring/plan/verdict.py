"""What a budget says of a trial.

Which limits it keeps, which it breaks, and which nobody can tell apart here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shoestring.core import Budget, Cost, Share
from shoestring.core.budget import is_lower, is_of_score
from shoestring.core.resource import LIMITED
from shoestring.kit import Trial

HAVING = {name: one for name, one in LIMITED.items() if not one.getting}
"""The resources of having a model that a budget can limit, by limit.

Those of getting one the search keeps, and no file can.
"""
_POINT, _MOST_POINTS = 0.05, 2.0
"""Of a limit that is broken, as a logarithm, what a hundredth of the score is worth.

And how many of them count.
"""
_SCORE_UNIT = 0.01  # of the drop, where the limit is no drop at all


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Of a trial under a budget.

    `broken`: limit -> (measured, or None where nobody measured it; the limit).
    `undecided`: likewise, where the interval of a noisy measurement holds the limit.
    `excess`: how far the broken limits are passed, each as the logarithm of a ratio, added up.
    """

    broken: dict[str, tuple[float | None, float]]
    undecided: dict[str, tuple[float | None, float]]
    excess: float

    @property
    def fits(self) -> bool:
        """Whether no limit is broken."""
        return not self.broken

    def order(self) -> tuple[int, float, int]:
        """Smaller is nearer: the fewest broken limits, then the least excess, then the fewest that
        are undecided.
        """
        return len(self.broken), self.excess, len(self.undecided)


def limit_of(budget: Budget, name: str) -> float | None:
    """A limit of an absolute budget; None where there is none."""
    limit = getattr(budget, name)
    assert not isinstance(limit, Share), "Budget.against makes a number of a share"
    return limit


def judge(budget: Budget, trial: Trial, base: float) -> Verdict:
    """What an absolute budget says of a trial.

    `base` is the validation score of the model that came in.
    A limit on a noisy measurement (milliseconds, memory, joules) is broken only where the whole
    interval is over it. A trial that failed breaks every limit.
    """
    if trial.score is None:
        return Verdict(
            broken=budget.exceeded(Cost(), None) or {"score": (None, base)},
            undecided={},
            excess=math.inf,
        )
    over = budget.exceeded(trial.cost, base - trial.score, trial.score, trial.scores)
    broken, undecided, excess = {}, {}, 0.0
    for name, one in HAVING.items():
        interval = trial.noise.get(one.field)
        limit = limit_of(budget, name)
        if limit is None:
            continue
        if interval is not None and interval[0] <= limit < interval[1]:
            undecided[name] = (getattr(trial.cost, one.field), limit)
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
    return math.inf if value is None or limit <= 0 else math.log(max(value, 1e-12) / limit)


def wants_smaller(budget: Budget) -> bool:
    """Whether the search makes files ever smaller: where no resource of having a model is limited."""
    return all(getattr(budget, name) is None for name in HAVING)


def better(budget: Budget, base: float) -> object:
    """A key for min(): of trials, the one to deliver comes first.

    Those that keep every limit before those that do not; among these the highest score where a
    resource is limited, else the smallest file; of those that break limits the nearest, a hundredth
    of the score being worth 5 % of a limit, and two or more 10 %.
    """
    smaller = wants_smaller(budget)

    def key(trial: Trial) -> tuple[float, ...]:
        verdict = judge(budget, trial, base)
        size, score = (
            trial.cost.bytes or math.inf,
            -math.inf if trial.score is None else trial.score,
        )
        broken, excess, undecided = verdict.order()
        if (
            broken and trial.score is not None
        ):  # a hair's breadth of a limit is not worth a point of the score
            excess += _POINT * min(
                max((base - score) / (0.01 * abs(base) or 1.0), 0.0), _MOST_POINTS
            )
        return (broken, excess, undecided, *((size, -score) if smaller else (-score, size)))

    return key


def quicker(trial: Trial, original: Trial, limits: Sequence[str]) -> bool:
    """Whether a file has clearly less than the original of what one of these limits is on."""
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
    """The share that a file has of what the original has of what these limits are on, the largest
    of them; 1 where nobody measured it.
    """
    fields = [HAVING[limit].field for limit in limits]
    pairs = [(getattr(trial.cost, name), getattr(original.cost, name)) for name in fields]
    return max(
        (after / before for after, before in pairs if before and after is not None), default=1.0
    )
