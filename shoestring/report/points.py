"""Axes and points: what was measured, and which of many points are shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shoestring.core.limits import least_useful
from shoestring.core.resource import RESOURCES
from shoestring.report.document import Axis, Point

MOST_POINTS = 1000
"""Points that a page shows at most."""
_NAMES = {
    "bytes": "size",
    "milliseconds": "latency",
    "memory_bytes": "memory",
    "joules": "energy",
    "seconds": "time",
}


def resource_axes(points: Sequence[Point], first: Sequence[str] = ()) -> tuple[Axis, ...]:
    """An axis for each resource that at least one point measured.

    `first`: fields of a Cost, in the order in which they come before the others.
    """
    measured = {field for point in points for field in point.costs}
    fields = [*first, *(resource.field for resource in RESOURCES)]
    by_field = {resource.field: resource for resource in RESOURCES}
    return tuple(
        Axis(
            field=field,
            name=_NAMES.get(field, field.replace("_", " ")),
            unit=by_field[field].unit,
            words=by_field[field].about,
            better="lower",
            log=True,
        )
        for field in dict.fromkeys(fields)
        if field in measured and field in by_field
    )


def score_axes(points: Sequence[Point], before: Point | None) -> tuple[Axis, ...]:
    """An axis for each score that at least one point has, the task's own first.

    `before`: the model that came in, where it is known.
    A score that is between 0 and 1 at all points is taken as a share.
    """
    names = dict.fromkeys(["score", *(name for point in points for name in point.scores)])
    values = {name: [p.scores[name] for p in points if name in p.scores] for name in names}
    return tuple(
        Axis(
            field=name,
            name=name,
            unit="%" if all(0 <= value <= 1 for value in values[name]) else "",
            words="validation score" + ("" if name == "score" else f": {name}"),
            better="higher",
            log=False,
            least=least_useful(before.scores[name]) if before and name in before.scores else None,
        )
        for name in names
        if values[name]
    )


def frontier_ids(points: Iterable[Point], resource: str, scores: Sequence[Axis]) -> tuple[str, ...]:
    """The ids of the points that no other beats in a resource and the first score, cheapest first.

    `scores`: axes; () for no frontier.
    """
    if not scores:
        return ()
    score, least = scores[0].field, scores[0].least
    known = [p for p in points if resource in p.costs and score in p.scores and p.state == "ok"]
    useful = [p for p in known if least is None or p.scores[score] >= least] or known
    best: list[Point] = []
    for point in sorted(useful, key=lambda p: (p.costs[resource], -p.scores[score])):
        if not best or point.scores[score] > best[-1].scores[score]:
            best.append(point)
    return tuple(point.id for point in best)


def sampled(points: Sequence[Point], wanted: set[str]) -> tuple[tuple[Point, ...], str]:
    """At most `MOST_POINTS` of the points, and a sentence that says so; "" where all are there.

    `wanted`: the ids of those that stay. The others are taken evenly, in the order of the points.
    """
    if len(points) <= MOST_POINTS:
        return tuple(points), ""
    rest = [point for point in points if point.id not in wanted]
    room = max(MOST_POINTS - (len(points) - len(rest)), 0)
    some = {rest[index * len(rest) // room].id for index in range(room)}
    shown = tuple(point for point in points if point.id in wanted or point.id in some)
    return shown, (
        f"Of {len(points):,} points {len(shown):,} are shown: the frontier, the named ones, what "
        "was delivered, and others evenly in the order in which they were tried."
    )
