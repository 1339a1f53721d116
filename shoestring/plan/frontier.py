"""The frontier: the files that no other beats, with exchange rates and three named points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shoestring.artifact import html
from shoestring.core.limits import least_useful
from shoestring.core.resource import RESOURCES
from shoestring.core.technique import gist
from shoestring.kit import Trial
from shoestring.plan.judge import Judge

BALANCED, TINY = 0.01, 0.05
"""The share of the score of the model that came in which the points of these names may lose."""


def free_in_words(judge: Judge) -> str:
    """What the named point "free" may lose that the validation data cannot tell from nothing."""
    error = judge.base_error
    if error is None:
        return "  no budget: the smallest file that seems to lose nothing is delivered"
    return (
        f"  no budget: the smallest file is delivered that loses at most {2 * error:.2g}, two "
        f"standard errors of the score on {judge.count:,} validation examples; drop<=0.5% or the "
        "like in --budget asks for less"
    )


def undominated(trials: Sequence[Trial], fields: Sequence[str] = ("bytes",)) -> list[Trial]:
    """The trials that no other beats in the score and all of these resources.

    They are sorted by the first of the resources. Trials without a score, or without a measurement
    of one of the resources, are left out. Of equal trials the first stays.

    `fields`: of a Cost.
    """
    known = [(trial, _point(trial, fields)) for trial in trials if trial.score is not None]
    points = [(trial, point) for trial, point in known if point is not None]
    points.sort(key=lambda pair: pair[1])
    kept: list[tuple[Trial, tuple[float, ...]]] = []
    for trial, point in points:
        if not any(all(a <= b for a, b in zip(other, point, strict=True)) for _, other in kept):
            kept.append((trial, point))
    return [trial for trial, _ in kept]


def _point(trial: Trial, fields: Sequence[str]) -> tuple[float, ...] | None:
    """The resources and the negative score of a trial; None where one was not measured."""
    values = [getattr(trial.cost, field) for field in fields]
    if any(value is None for value in values):
        return None
    return (*map(float, values), -(trial.score or 0.0))


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """The files that no other file beats, smallest first.

    Printing it gives a table: the cost, the score and the loss of each point, and the exchange rate
    from the point before.

    `points`: the trials of these files.
    `fields`: the resources that count besides the score, as fields of a Cost.
    `base`: the validation score of the model that came in.
    `base_error`: its standard error; None where the task does not tell.
    `bytes_before`: 4 for each number of that model; 0 where unknown.
    """

    points: tuple[Trial, ...]
    fields: tuple[str, ...]
    base: float
    base_error: float | None = None
    bytes_before: int = 0

    @classmethod
    def of(
        cls, trials: Sequence[Trial], fields: Sequence[str], base: float, **more: Any
    ) -> Frontier:
        """The frontier of some trials.

        Points that have lost half of the score are left out where there are others.
        """
        points = undominated(trials, fields)
        least = least_useful(base)
        useful = [point for point in points if (point.score or 0.0) >= least]
        return cls(points=tuple(useful or points), fields=tuple(fields), base=base, **more)

    def named(self) -> dict[str, Trial]:
        """The smallest files by what they lose, under three names.

        "free" loses nothing beyond two standard errors of the score, "balanced" at most 1 % of the
        score, and "tiny" at most 5 %. A name whose file has a name already is left out.
        """
        error = self.base_error or 0.0
        losses = {
            "free": 2 * error,
            "balanced": BALANCED * abs(self.base),
            "tiny": TINY * abs(self.base),
        }
        named: dict[str, Trial] = {}
        allowed = 0.0
        for name, loss in losses.items():
            allowed = max(allowed, loss)
            least = self.base - allowed - 1e-9
            kept = [p for p in self.points if p.score is not None and p.score >= least]
            if not kept:
                continue
            smallest = min(kept, key=lambda point: point.cost.bytes or math.inf)
            if smallest not in named.values():
                named[name] = smallest
        return named

    def __str__(self) -> str:
        """The frontier as a table, with points numbered from 1."""
        head, rows = self._table()
        lines = [head, *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        last = len(head) - 1
        return "\n".join(
            "  ".join(
                cell.ljust(width) if at >= last - 2 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        """The same table for a notebook, with a bar for the first resource of each point."""
        head, rows = self._table()
        lengths = html.shares([getattr(point.cost, self.fields[0]) for point in self.points])
        cells: list[list[str | html.Bar]] = [
            [row[0], row[-1], html.Bar(text=row[1], share=length), *row[2:-1]]
            for row, length in zip(rows, lengths, strict=True)
        ]
        return html.table([head[0], head[-1], *head[1:-1]], cells, texts=(0, 1, len(head) - 1))

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """The headings of the columns, and the cells of each point."""
        names = {id(trial): name for name, trial in self.named().items()}
        scores = list(dict.fromkeys(name for point in self.points for name in point.scores))
        heads = [_HEADS.get(field, field) for field in self.fields]
        head = ["", *heads, "score", "lost", *scores, "exchange", "", "by"]
        rows: list[list[str]] = []
        for number, trial in enumerate(self.points, 1):
            before = self.points[number - 2] if number > 1 else None
            assert trial.score is not None
            by_name = [
                f"{trial.scores[name]:.4f}" if name in trial.scores else "" for name in scores
            ]
            rows.append(
                [
                    str(number),
                    *(_number(field, getattr(trial.cost, field)) for field in self.fields),
                    f"{trial.score:.4f}",
                    f"{self.base - trial.score:+.4f}",
                    *by_name,
                    self._rate(before, trial),
                    names.get(id(trial), ""),
                    gist(trial.technique),
                ]
            )
        return head, rows

    def _rate(self, before: Trial | None, trial: Trial) -> str:
        """The exchange rate of a point.

        It is counted from the point before where only bytes count, else from what came in.
        """
        if self.fields == ("bytes",):
            return "" if before is None else rate(before, trial)
        return (
            f"{self.bytes_before / max(trial.cost.bytes or 1, 1):.3g} times fewer B"
            if self.bytes_before
            else ""
        )

    def as_json(self) -> list[dict[str, Any]]:
        """The points as plain values."""
        names = {id(trial): name for name, trial in self.named().items()}
        return [
            {
                "number": number,
                "name": names.get(id(point)),
                "score": point.score,
                **point.cost.measured(),
                "intervals": {field: list(interval) for field, interval in point.noise.items()},
                "technique": point.technique,
                **({"scores": point.scores} if point.scores else {}),
            }
            for number, point in enumerate(self.points, 1)
        ]


_HEADS = {"milliseconds": "ms", "memory_bytes": "memory bytes"}


def _number(field: str, value: float) -> str:
    """A value as text: bytes and operations as integers."""
    integers = {resource.field for resource in RESOURCES if resource.unit == "B"} | {"operations"}
    return f"{value:,.0f}" if field in integers else f"{value:.4g}"


def rate(smaller: Trial, larger: Trial) -> str:
    """The score that the bytes from one point to a larger one buy, as text."""
    more = (larger.cost.bytes or 0) - (smaller.cost.bytes or 0)
    gained = (larger.score or 0.0) - (smaller.score or 0.0)
    return f"{more:+,} B buy {gained:+.4f}"


def as_svg(frontier: Frontier, title: str = "") -> str:
    """The frontier as SVG: the first resource to the right (logarithmic), the score upwards."""
    width, height, left, bottom = 640, 400, 70, 50
    field = frontier.fields[0]
    xs = [math.log10(max(float(getattr(point.cost, field)), 1e-12)) for point in frontier.points]
    ys = [point.score or 0.0 for point in frontier.points]
    x0, x1 = min(xs) - 0.05, max(xs) + 0.05
    y0, y1 = min([*ys, frontier.base]), max([*ys, frontier.base])
    y0, y1 = y0 - 0.06 * max(y1 - y0, 1e-3), y1 + 0.06 * max(y1 - y0, 1e-3)

    def position(x: float, y: float) -> tuple[float, float]:
        return left + (x - x0) / (x1 - x0) * (width - left - 20), 30 + (y1 - y) / (y1 - y0) * (
            height - bottom - 30
        )

    corners = [position(x, y) for x, y in zip(xs, ys, strict=True)]
    line = " ".join(f"{'L' if i else 'M'}{x:.1f} {y:.1f}" for i, (x, y) in enumerate(corners))
    _, base = position(x0, frontier.base)
    names = {id(trial): name for name, trial in frontier.named().items()}
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#1f77b4"><title>{number}: '
        f"{_number(field, getattr(point.cost, field))} "
        f"{_escaped(_HEADS.get(field, field))}, score {point.score:.4f}, "
        f"{_escaped(gist(point.technique))}</title></circle>"
        f'<text x="{x + 6:.1f}" y="{y + 14:.1f}" '
        f'font-size="11">{number}{" " + names[id(point)] if id(point) in names else ""}</text>'
        for number, (point, (x, y)) in enumerate(zip(frontier.points, corners, strict=True), 1)
    )
    ticks = "".join(
        f'<text x="{position(power, y0)[0]:.1f}" y="{height - 28}" font-size="11" '
        f'text-anchor="middle">{10.0**power:,.4g}</text>'
        for power in range(math.ceil(x0), math.floor(x1) + 1)
    ) + "".join(
        f'<text x="{left - 6}" y="{position(x0, y)[1] + 4:.1f}" font-size="11" '
        f'text-anchor="end">{y:.3f}</text>'
        for y in (min(ys), max(ys))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" role="img">'
        f"<title>{_escaped(title or 'The frontier')}</title>"
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<text x="{left}" y="18" font-size="13">{_escaped(title)}</text>'
        f'<path d="M{left} 30V{height - bottom}H{width - 20}" fill="none" stroke="#888"/>'
        f'<path d="M{left} {base:.1f}H{width - 20}" stroke="#888" stroke-dasharray="4 3"/>'
        f'<text x="{width - 22}" y="{base - 5:.1f}" font-size="11" text-anchor="end" '
        f'fill="#555">as it came in: {frontier.base:.4f}</text>'
        f'<path d="{line}" fill="none" stroke="#1f77b4"/>{marks}{ticks}'
        f'<text x="{(width + left) / 2:.0f}" y="{height - 8}" font-size="12" text-anchor="middle">'
        f"{_escaped(_HEADS.get(field, field))} (logarithmic)</text>"
        f'<text transform="translate(14 {height / 2:.0f}) rotate(-90)" font-size="12" '
        'text-anchor="middle">validation score</text></svg>\n'
    )


def _escaped(text: str) -> str:
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )
