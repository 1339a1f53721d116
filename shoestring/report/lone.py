"""The documents of a lone file and of a ledger, which need no more than the base install."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from shoestring.core.ledger import Ledger, Row
from shoestring.report.commands import command, of_file
from shoestring.report.document import Document, Point
from shoestring.report.file import contents_of
from shoestring.report.points import frontier_ids, resource_axes, sampled, score_axes
from shoestring.report.rates import rates_of
from shoestring.report.rows import (
    ledger_beside,
    origin_of,
    point_of,
    proved,
    rows_of,
    shown_rows,
    tests_of,
)


def document_of_file(path: Path, ledger: Path | None = None, notes: Sequence[str] = ()) -> Document:
    """The document of a `.shoe` file: its bill, its layers, and what a ledger knows of it.

    `ledger`: its path; None for one beside the file.
    `notes`: sentences that come first.

    Raises OSError where a file cannot be read, ShoeError where this one is damaged or too new, and
    ValueError for a damaged ledger.
    """
    contents = contents_of(path)
    found = ledger_beside(path, ledger)
    rows = [] if found is None else rows_of(found, {contents.sha256})
    tests = tests_of(rows)
    made = next(
        (row for row in reversed(rows) if row.sha256 == contents.sha256 and row.kind == "apply"),
        None,
    )
    newest = next((row for row in reversed(rows) if row.sha256 == contents.sha256), None)
    point = Point(id="file", label=path.name) if made is None else point_of(made, tests)
    costs = {**point.costs, "bytes": contents.bytes}
    after = proved(replace(point, id="file", costs=costs, sha256=contents.sha256), tests)
    before = None if made is None else origin_of(made, tests)
    points = (after,) if before is None else (before, after)
    shown, left_out = shown_rows(rows, points, {contents.sha256})
    said = [*notes, left_out]
    if before is None:
        said.append(
            "Only the file is known, not what it was made from: a ledger (--ledger) or the folder "
            "of its search beside it would tell."
        )
    last = made or newest
    commands = of_file(path, contents.entries)
    if found is not None and rows:
        commands += (command("every step that was recorded", "ledger", found),)
    return Document(
        kind="file",
        title=path.name,
        notes=tuple(filter(None, said)),
        resources=resource_axes(points, ("bytes",)),
        scores=score_axes(points, before),
        before=before,
        after=after,
        points=points,
        frontier=(),
        bill=contents.bill,
        layers=contents.layers,
        ledger=shown,
        commands=commands,
        machine="" if last is None else last.machine,
        versions={} if last is None else last.versions,
    )


def document_of_ledger(path: Path) -> Document:
    """The document of a ledger: its rows, and the points of the newest model in it.

    Raises ValueError for a damaged ledger or one that is newer than this version, and OSError
    where it cannot be read.
    """
    rows = Ledger(path).rows()
    tests = tests_of(rows)
    newest = next((row for row in reversed(rows) if row.kind == "apply"), None)
    of_model = [] if newest is None else [row for row in rows if _same_model(row, newest)]
    points = [point_of(row, tests) for row in of_model]
    before = None if newest is None else origin_of(newest, tests)
    if before is not None:
        points.insert(0, before)
    resources, scores = resource_axes(points, ("bytes",)), score_axes(points, before)
    frontier = frontier_ids(points, "bytes", scores)
    digests = {row.sha256 for row in rows if row.kind == "prove"}
    after = next((p for p in reversed(points) if p.sha256 in digests and p is not before), None)
    shown, sample = sampled(
        points, {*frontier, *([after.id] if after else []), *([before.id] if before else [])}
    )
    table, left_out = shown_rows(rows, shown)
    by_id = {point.id: point for point in points}
    last = rows[-1] if rows else None
    return Document(
        kind="ledger",
        title=path.name,
        notes=tuple(filter(None, [*_notes(rows, newest, of_model), sample, left_out])),
        resources=resources,
        scores=scores,
        before=before,
        after=after,
        points=shown,
        frontier=frontier,
        ledger=table,
        rates=rates_of([by_id[name] for name in frontier], resources, scores, "bytes"),
        commands=(command("the same rows as text", "ledger", path),),
        machine="" if last is None else last.machine,
        versions={} if last is None else last.versions,
    )


def _same_model(row: Row, newest: Row) -> bool:
    """Whether a row is of the task and the model of another, and is no proof of a file."""
    return row.kind != "prove" and (row.task, row.model) == (newest.task, newest.model)


def _notes(rows: Sequence[Row], newest: Row | None, of_model: Sequence[Row]) -> list[str]:
    """Sentences about what the points are of."""
    if not rows:
        return ["The ledger has no rows yet."]
    if newest is None:
        counts = Counter(row.kind for row in rows)
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        return [f"No step in this ledger gave a model ({kinds}): there are no points to compare."]
    steps = [row for row in rows if row.kind != "prove"]
    if len(of_model) == len(steps):
        return []
    task = f"the task {newest.task}" if newest.task else "one task"
    return [
        f"The points are the {len(of_model):,} steps on the newest model, of {task}; "
        f"{len(steps) - len(of_model):,} steps on other models are in the table of rows alone."
    ]
