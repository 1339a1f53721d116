"""Points of a search: one for the model that came in, and one for each trial."""

from __future__ import annotations

import math
from dataclasses import replace

from shoestring.core.technique import gist, steps_of
from shoestring.kit import Trial
from shoestring.plan.kept import KeptSearch
from shoestring.plan.verdict import judge
from shoestring.report.document import Point, State, finite
from shoestring.report.rows import costs_of, scores_of

ORIGINAL = "before"
"""The id of the model that came in."""
_NOT_A_NUMBER = "the score is "
"""The start of the note of a trial whose score is no number."""


def points_of(search: KeptSearch, digest: str, test: float | None) -> dict[str, Point]:
    """The points of a search by id: first the model that came in, then trials as they finished.

    `digest`: of the file of the model that came in; "" where it is gone.
    `test`: the score of that on test data, where it is known.
    """
    numbers = {id(trial): number for number, trial in enumerate(search.frontier.points, 1)}
    size = search.frontier.bytes_before
    first = replace(
        _point(ORIGINAL, search.original, search, numbers),
        label="as it came in",
        sha256=digest or None,
        test=test,
        seed=None,
        fidelity=None,
        note=f"4 bytes for each of its numbers are {size:,} B" if size else "",
    )
    points = [_point(name, trial, search, numbers) for name, trial in named_trials(search)]
    return {point.id: point for point in [first, *points]}


def named_trials(search: KeptSearch) -> list[tuple[str, Trial]]:
    """The trials with the ids of their points."""
    return [(f"trial-{at}", trial) for at, trial in enumerate(search.trials, 1)]


def _point(name: str, trial: Trial, search: KeptSearch, numbers: dict[int, int]) -> Point:
    """The point of a trial."""
    seconds = finite(trial.cost.seconds)
    return Point(
        id=name,
        label=gist(trial.technique),
        technique=trial.technique,
        steps=tuple(steps_of(trial.technique)),
        state=_state(trial),
        costs=costs_of(trial.cost),
        intervals={
            field: interval
            for field, interval in trial.noise.items()
            if all(finite(end) is not None for end in interval)
        },
        scores=scores_of(trial.score, trial.scores),
        error=finite(trial.error),
        fits=_fits(search, trial),
        number=numbers.get(id(trial)),
        minutes=None if seconds is None else seconds / 60,
        seed=trial.seed,
        fidelity=finite(trial.fidelity),
        sha256=trial.sha256,
        note=trial.note,
    )


def _fits(search: KeptSearch, trial: Trial) -> bool | None:
    """Whether a trial keeps the budget; None where noise leaves that open, or without a budget."""
    if not search.budget.limits():
        return None
    verdict = judge(search.limits, trial, search.frontier.base)
    return None if verdict.fits and verdict.undecided else verdict.fits


def _state(trial: Trial) -> State:
    """Whether a trial has a score, failed, or came to no number."""
    if trial.score is not None:
        return "ok" if math.isfinite(trial.score) else "nan"
    return "nan" if trial.note.startswith(_NOT_A_NUMBER) else "failed"
