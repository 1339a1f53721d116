"""The document of a search: its trials, its frontier, its budget, and what it delivered.

Reading a search needs the extra `train`, as making one does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shoestring.artifact.format.names import LOCK, STUDY
from shoestring.artifact.locks import is_held
from shoestring.core import Row
from shoestring.kit import Trial
from shoestring.plan.kept import KeptSearch, kept_search
from shoestring.plan.verdict import better
from shoestring.report.asked import budget_of, seconds_of
from shoestring.report.commands import command, of_file, of_scoring, of_search
from shoestring.report.document import Axis, Command, Document, Point
from shoestring.report.file import FileContents, contents_of
from shoestring.report.points import frontier_ids, resource_axes, sampled, score_axes
from shoestring.report.rates import rates_of
from shoestring.report.rows import ledger_beside, proved, rows_of, shown_rows, tests_of
from shoestring.report.study_notes import (
    about_budget,
    about_file,
    about_labels,
    about_test,
    about_trials,
    of_another,
)
from shoestring.report.tables import sensitivity_in
from shoestring.report.trial_points import (
    BEFORE,
    PACKED,
    named_trials,
    points_of,
    speed_of,
    with_times,
)

_VERSIONS = ("python", "shoestring", "torch", "onnxruntime", "numpy", "constriction")
"""Of the versions of a trial, those of packages."""


def document_of_study(folder: Path, ledger: Path | None = None) -> Document:
    """The document of the search in a folder, which may still go on.

    `ledger`: the path of its ledger; None for the one that the search wrote, or one beside it.

    Raises FileNotFoundError where there was no search; ValueError where it is damaged or newer
    than this version; OSError.
    """
    search, notes = kept_search(folder), list[str]()
    file = folder.with_name(folder.name.removesuffix(STUDY))
    found = _Found(
        search=search,
        folder=folder,
        file=file,
        working=bool(is_held(folder / LOCK)),
        contents=_contents(file, notes),
        origin=_digest(search.original_file),
        ledger=_ledger_of(search, folder, file, ledger),
    )
    return _document(found, notes)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What was read of a search.

    `contents`: of the delivered file; None where it is not there or cannot be read.
    `origin`: the digest of the file of the model that came in; "" where that is gone.
    """

    search: KeptSearch
    folder: Path
    file: Path
    working: bool
    contents: FileContents | None
    origin: str
    ledger: Path | None

    def rows(self) -> list[Row]:
        """The rows of the ledger that are about the model that came in, or the delivered file."""
        digests = {self.origin, "" if self.contents is None else self.contents.sha256} - {""}
        return [] if self.ledger is None else rows_of(self.ledger, digests)

    def delivered(self) -> tuple[str, Trial] | None:
        """The id and the trial of the delivered file; None where it is of no trial.

        Of several trials with the same file it is the one that the budget likes best.
        """
        if self.contents is None:
            return None
        digest, search = self.contents.sha256, self.search
        same = [(name, trial) for name, trial in named_trials(search) if trial.sha256 == digest]
        if digest == self.origin:
            same.append((PACKED, search.original))
        key: Any = better(search.limits, search.frontier.base)
        return min(same, key=lambda pair: key(pair[1]), default=None)

    def frontier(self, points: Mapping[str, Point], scores: Sequence[Axis]) -> tuple[str, ...]:
        """The ids of the frontier on the first axes, of files that are still there."""
        held = {id(trial) for trial in self.search.held}
        there = [name for name, trial in named_trials(self.search) if id(trial) in held]
        known = [points[name] for name in (PACKED, *there)]
        return frontier_ids(known, self.search.frontier.fields[0], scores)

    def named(self) -> dict[str, str]:
        """The ids of the points that have a name, by name."""
        pairs = [(PACKED, self.search.original), *named_trials(self.search)]
        ids = {id(trial): name for name, trial in pairs}
        return {name: ids[id(trial)] for name, trial in self.search.frontier.named().items()}

    def commands(self, points: Sequence[Point]) -> tuple[Command, ...]:
        """The commands that search again, pick another point, and look into the file."""
        commands = of_search(self.file, self.folder, self.search.command, points, self.named())
        if self.contents is not None:
            commands += of_file(self.file, self.contents.entries)
            commands += of_scoring(self.file, self.search.command)
        if self.ledger is not None:
            commands += (command("every step that was recorded", "ledger", self.ledger),)
        return commands


def _document(found: _Found, notes: list[str]) -> Document:
    """The document of what was found; `notes` are sentences that come first."""
    search, contents, delivered = found.search, found.contents, found.delivered()
    rows = found.rows()
    tests = tests_of(rows)
    points = points_of(search, found.origin, tests)
    if contents is not None and delivered is not None:
        points = with_times(points, search.timed, delivered[0], contents.sha256)
    if after := _after(found, delivered, points, tests):
        points[after.id] = after
    trial = None if delivered is None else delivered[1]
    if contents is None:
        notes += [] if notes else [about_file(found.file, found.working)]
    elif trial is None:
        notes.append(of_another(found.file))
    notes += [*about_labels(search), *about_budget(search, trial, found.working)]
    notes += about_trials(search, found.working)
    scores = score_axes([*points.values()], points[BEFORE])
    notes += about_test(points[BEFORE], after, scores[0])
    frontier, named = found.frontier(points, scores), found.named()
    numbered = [point.id for point in points.values() if point.number is not None]
    wanted = {BEFORE, PACKED, *frontier, *numbered, *named.values(), *([after.id] if after else [])}
    shown, sample = sampled([*points.values()], wanted)
    table, left_out = shown_rows(rows, shown, {contents.sha256} if contents else ())
    resources = resource_axes([*points.values()], search.frontier.fields)
    sensitivity = sensitivity_in(found.folder, found.origin, notes.append)
    made = trial if trial is not None and trial.versions else _newest(search)
    return Document(
        kind="study",
        title=found.file.name,
        working=found.working,
        notes=tuple(filter(None, [*notes, sample, left_out])),
        resources=resources,
        scores=scores,
        before=points[BEFORE],
        after=after,
        points=shown,
        frontier=frontier,
        named=named,
        budget=budget_of(search, trial, scores),
        speed=speed_of(search.timed, contents.sha256) if contents else None,
        search_seconds=seconds_of(search),
        bill=contents.bill if contents else None,
        layers=contents.layers if contents else (),
        sensitivity=sensitivity,
        ledger=table,
        rates=rates_of(
            [points[name] for name in frontier], resources, scores, search.frontier.fields[0]
        ),
        commands=found.commands(shown),
        machine=made.machine,
        versions={name: text for name, text in made.versions.items() if name in _VERSIONS},
    )


def _contents(file: Path, notes: list[str]) -> FileContents | None:
    """What is in the delivered file; a note says where it cannot be read."""
    if not file.is_file():
        return None
    try:
        return contents_of(file)
    except (ValueError, OSError) as error:
        notes.append(f"{file.name} cannot be read: {error}")
        return None


def _digest(path: Path) -> str:
    """The digest of a file; "" where it is not there."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _ledger_of(search: KeptSearch, folder: Path, file: Path, named: Path | None) -> Path | None:
    """The ledger of a search: the one that was named, that it wrote, or that is beside its file."""
    if named is None and search.ledger is not None:
        wrote = Path(os.path.normpath(folder / search.ledger))
        if wrote.is_file():
            return wrote
    return ledger_beside(file, named)


def _after(
    found: _Found,
    delivered: tuple[str, Trial] | None,
    points: Mapping[str, Point],
    tests: Mapping[str, Sequence[float]],
) -> Point | None:
    """The point of the delivered file, with its score on test data; None where there is no file."""
    if found.contents is None:
        return None
    digest = found.contents.sha256
    if delivered is not None:
        return proved(replace(points[delivered[0]], sha256=digest), tests)
    costs = {"bytes": found.contents.bytes}
    return proved(Point(id="file", label=found.file.name, costs=costs, sha256=digest), tests)


def _newest(search: KeptSearch) -> Trial:
    return max(search.trials, key=lambda trial: trial.when, default=search.original)
