"""Exchange rates between neighbours of a frontier, and which differences are noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from shoestring.report.document import Axis, Point, Rate, rounded

UNCLEAR = "no clear change"
"""What is said of a difference that noise may have made."""
_ERRORS = 2.0
"""Standard errors within which a difference of scores is noise."""


def rates_of(
    points: Sequence[Point], resources: Sequence[Axis], scores: Sequence[Axis], field: str
) -> tuple[Rate, ...]:
    """The exchange rate between each two neighbours of the frontier.

    `points`: those of the frontier of the resource `field` and the task's own score.
    `resources`, `scores`: the axes of the document.
    """
    rates: list[Rate] = []
    if not points:
        return ()
    resource, score = next(axis for axis in resources if axis.field == field), scores[0]
    for start, end in pairwise(points):
        given = end.costs[resource.field] - start.costs[resource.field]
        got = end.scores[score.field] - start.scores[score.field]
        more = f"{given:+,.0f}" if resource.unit == "B" else f"{given:+.4g}"
        more = f"{more} {resource.unit}".strip()
        clear = True
        if noisy_score(start, end):
            clear, words = False, f"{more}: {UNCLEAR} of the {score.name}"
        elif _overlap(start, end, resource.field):
            clear, words = False, f"{_amount(got, score)}: {UNCLEAR} of the {resource.name}"
        else:
            words = f"{more} buy {_amount(got, score)}"
        rates.append(
            Rate(
                start=start.id,
                end=end.id,
                words=words,
                given=rounded(given),
                got=rounded(got),
                given_unit=resource.unit,
                got_unit=score.unit,
                clear=clear,
            )
        )
    return tuple(rates)


def noisy_score(one: Point, other: Point) -> bool:
    """Whether two points differ in the task's score by less than two standard errors.

    The errors are of differences from the model that came in, or of scores (see `Point`), and are
    taken as independent. One that nobody knows counts as 0.
    """
    error = math.hypot(one.error or 0.0, other.error or 0.0)
    return abs(one.scores["score"] - other.scores["score"]) < _ERRORS * error


def _overlap(one: Point, other: Point, field: str) -> bool:
    """Whether the intervals of two points overlap; a value without one is its own."""
    if field not in one.intervals and field not in other.intervals:
        return False
    (low, high), (least, most) = (
        point.intervals.get(field, (point.costs[field],) * 2) for point in (one, other)
    )
    return low <= most and least <= high


def _amount(got: float, score: Axis) -> str:
    """A difference of a score in its unit: points where the score is in percent."""
    if score.unit != "%":
        return f"{got:+.4g}"
    amount = f"{100 * got:+.2f}"
    return f"{amount} {'point' if amount[1:] == '1.00' else 'points'}"
