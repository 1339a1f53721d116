"""Exchange rates between neighbours of a frontier."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from shoestring.core.resource import RESOURCES
from shoestring.report.document import Point, Rate, rounded

_UNITS = {resource.field: resource.unit for resource in RESOURCES}


def rates_of(points: Sequence[Point], field: str) -> tuple[Rate, ...]:
    """The exchange rate between each two neighbours of the frontier."""
    unit = _UNITS.get(field, "")
    rates: list[Rate] = []
    for start, end in pairwise(points):
        given = end.costs[field] - start.costs[field]
        got = end.scores["score"] - start.scores["score"]
        more = f"{given:+,.0f}" if unit == "B" else f"{given:+.4g}"
        rates.append(
            Rate(
                start=start.id,
                end=end.id,
                words=f"{more} {unit} buy {got:+.4f}".replace("  ", " "),
                given=rounded(given),
                got=rounded(got),
                given_unit=unit,
                got_unit="score",
            )
        )
    return tuple(rates)
