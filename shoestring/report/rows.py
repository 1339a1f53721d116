"""Rows of a ledger: those of a file or of a model, and the points that they make."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from shoestring.core.cost import Cost
from shoestring.core.ledger import Ledger, Row
from shoestring.core.technique import gist, steps_of
from shoestring.report.document import LedgerRow, Point, finite, rounded

LEDGER = "shoestring.ledger"
"""The name that a ledger has where nobody gives another."""
MOST_ROWS = 1000
"""Rows that a page shows at most."""
_DIGITS = {"seconds": 4, "processor_seconds": 4}
"""Digits that are shown of these costs."""


def ledger_beside(path: Path, named: Path | None) -> Path | None:
    """The ledger to read: the one that was named, else one beside a file, else one here."""
    if named is not None:
        if not named.exists():
            raise FileNotFoundError(f"there is no ledger at {named}: compress and score write one")
        return named
    places = (path.parent / LEDGER, Path(LEDGER))
    return next((place for place in places if place.is_file()), None)


def rows_of(ledger: Path, digests: Collection[str]) -> list[Row]:
    """The rows that are about files with these digests, with the rows that they continue.

    So are those of labels that the same commands bought, before there was a file.

    `digests`: of delivered files, and of the models that came in.
    """
    rows = Ledger(ledger).rows()
    by_id = {row.id: row for row in rows}
    wanted = {row.id for row in rows if row.sha256 in digests or row.model in digests}
    for number in list(wanted):
        row = by_id[number]
        while row.parent in by_id and row.parent not in wanted:
            row = by_id[row.parent]
            wanted.add(row.id)
    runs = {(by_id[number].run, by_id[number].task) for number in wanted}
    wanted |= {row.id for row in rows if row.cost_after.labels and (row.run, row.task) in runs}
    return [row for row in rows if row.id in wanted]


def chain_of(steps: Sequence[str]) -> str:
    """The repr of the chain of some techniques."""
    return f"chain({', '.join(steps)})"


def beyond_steps(technique: str) -> str:
    """The repr of a chain; "" where its steps say the same, as they do unless it is damaged."""
    steps = steps_of(technique)
    return "" if steps and technique == chain_of(steps) else technique


def shown_rows(
    rows: Sequence[Row], points: Sequence[Point], wanted: Collection[str] = ()
) -> tuple[tuple[LedgerRow, ...], str]:
    """The rows as a page shows them, and a sentence about those that are left out, or "".

    The newest `MOST_ROWS` are shown, and those of the files with the `wanted` digests.
    `points`: of the same page, whose chains are not written twice.
    """
    known = {chain_of(point.steps) for point in points if point.steps}
    newest = rows[-MOST_ROWS:]
    shown = [row for row in rows[:-MOST_ROWS] if row.sha256 in wanted] + list(newest)
    note = ""
    if len(shown) < len(rows):
        note = (
            f"The ledger has {len(rows):,} rows of this, and the newest {len(shown):,} are shown."
        )
    return tuple(_shown(row, known) for row in shown), note


def _shown(row: Row, known: Collection[str]) -> LedgerRow:
    return LedgerRow(
        id=row.id or 0,
        time=finite(row.time) or 0.0,
        kind=row.kind,
        technique="" if row.technique in known else row.technique,
        gist=gist(row.technique) if row.technique else "",
        task=row.task,
        seed=row.seed,
        score_before=finite(row.score_before),
        score_after=finite(row.score_after),
        cost_before=costs_of(row.cost_before),
        cost_after=costs_of(row.cost_after),
        file=row.file,
        run=row.run,
        note=row.note,
        machine=row.machine,
    )


def costs_of(cost: Cost) -> dict[str, float]:
    """What was measured of a cost, as finite numbers."""
    return {
        field: rounded(value, _DIGITS.get(field, 6))
        for field, value in cost.measured().items()
        if finite(value) is not None
    }


def scores_of(score: float | None, by_name: Mapping[str, float]) -> dict[str, float]:
    """The task's score, called "score", and those by name; what is no finite number is left out."""
    known = {"score": score, **{name: v for name, v in by_name.items() if name != "score"}}
    return {name: value for name, v in known.items() if (value := finite(v)) is not None}


def tests_of(rows: Sequence[Row]) -> dict[str, tuple[float, ...]]:
    """The scores on test data of each file that was proved, the newest last, by its digest."""
    found: dict[str, tuple[float, ...]] = {}
    for row in rows:
        score = finite(row.score_after)
        if row.kind == "prove" and row.sha256 and score is not None:
            found[row.sha256] = (*found.get(row.sha256, ()), score)
    return found


def proved(point: Point, tests: Mapping[str, Sequence[float]]) -> Point:
    """A point with the newest score of its file on test data, and how many there are.

    `tests`: by digest, as `tests_of` gives them.
    """
    scores = tests.get(point.sha256 or "", ())
    return replace(point, test=scores[-1] if scores else None, tests=len(scores))


def point_of(row: Row, tests: Mapping[str, Sequence[float]]) -> Point:
    """The point of a step: what it cost and scored afterwards."""
    score = finite(row.score_after)
    seconds = finite(row.cost_after.seconds)
    unfinished = row.kind in ("failed", "interrupted")
    point = Point(
        id=f"row-{row.id}",
        label=gist(row.technique),
        technique=beyond_steps(row.technique),
        steps=tuple(steps_of(row.technique)),
        state="failed" if unfinished else "nan" if score is None else "ok",
        costs=costs_of(row.cost_after),
        scores=scores_of(row.score_after, row.scores_after),
        minutes=None if seconds is None else rounded(seconds / 60, 4),
        seed=row.seed,
        sha256=row.sha256,
        note=row.note,
    )
    return proved(point, tests)


def origin_of(row: Row, tests: Mapping[str, Sequence[float]]) -> Point:
    """The point of the model that a step began with."""
    score = finite(row.score_before)
    point = Point(
        id="before",
        label="as it came in",
        technique="chain()",
        state="nan" if score is None else "ok",
        costs=costs_of(row.cost_before),
        scores=scores_of(row.score_before, row.scores_before),
        sha256=row.model,
    )
    return proved(point, tests)
