"""Points of a search: one for the model that came in, and one for each trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from shoestring.core import Cost
from shoestring.core.technique import gist, steps_of
from shoestring.kit import Trial
from shoestring.meters import Ratio
from shoestring.plan.kept import KeptSearch, Timed
from shoestring.plan.verdict import judge
from shoestring.report.document import Point, Speed, State, finite, rounded
from shoestring.report.rows import beyond_steps, costs_of, proved, scores_of

BEFORE, PACKED = "before", "packed"
"""The ids of the model that came in, at 4 bytes for each number, and of its file."""
_NOT_A_NUMBER = "the score is "
"""The start of the note of a trial whose score is no number."""


def points_of(
    search: KeptSearch, digest: str, tests: Mapping[str, Sequence[float]]
) -> dict[str, Point]:
    """The points of a search by id: the model that came in, its file, trials as they finished.

    `digest`: of the file of the model that came in; "" where it is gone.
    `tests`: the scores on test data that are known, by digest.
    """
    numbers = {id(trial): number for number, trial in enumerate(search.frontier.points, 1)}
    packed = replace(
        _point(PACKED, search.original, search, numbers),
        label="as a file, without loss",
        sha256=digest or None,
        seed=None,
        fidelity=None,
    )
    packed = proved(packed, tests)
    size = search.frontier.bytes_before
    before = replace(
        packed,
        id=BEFORE,
        label="as it came in",
        costs={**packed.costs, "bytes": size or packed.costs["bytes"]},
        fits=_fits(search, came_in(search)),
        number=None,
        note="" if not size else "its bytes are 4 for each of its numbers",
    )
    points = [_point(name, trial, search, numbers) for name, trial in named_trials(search)]
    return {point.id: point for point in [before, packed, *points]}


def came_in(search: KeptSearch) -> Trial:
    """The model that came in as a trial, at 4 bytes for each of its numbers."""
    size = search.frontier.bytes_before
    cost = search.original.cost
    return replace(search.original, cost=cost | Cost(bytes=size) if size else cost)


def speed_of(timed: Timed | None, digest: str) -> Speed | None:
    """How fast the delivered file, which has that `digest`, runs beside the model that came in."""
    if timed is None or timed.sha256 != digest or timed.ratio is None:
        return None
    low, median, high = timed.ratio
    return Speed(
        median=rounded(median),
        low=rounded(low),
        high=rounded(high),
        words=Ratio(median=median, low=low, high=high).in_report,
        clear=not low <= 1 <= high,
    )


def with_times(
    points: dict[str, Point], timed: Timed | None, delivered: str, digest: str
) -> dict[str, Point]:
    """The points, those of the model that came in and of the delivered file with their times.

    They are as they were where trials have times of their own, and where the times are of another
    file.

    `delivered`: the id of the point of the delivered file, which has that `digest`.
    """
    if timed is None or timed.sha256 != digest:
        return points
    if any("milliseconds" in point.costs for point in points.values()):
        return points
    times = {BEFORE: timed.before, PACKED: timed.before, delivered: timed.after}
    return points | {name: _timed(points[name], *time) for name, time in times.items()}


def _timed(point: Point, low: float, median: float, high: float) -> Point:
    """A point with the milliseconds of a run of its file."""
    return replace(
        point,
        costs={**point.costs, "milliseconds": median},
        intervals={**point.intervals, "milliseconds": (low, high)},
    )


def named_trials(search: KeptSearch) -> list[tuple[str, Trial]]:
    """The trials with the ids of their points."""
    return [(f"trial-{at}", trial) for at, trial in enumerate(search.trials, 1)]


def _point(name: str, trial: Trial, search: KeptSearch, numbers: dict[int, int]) -> Point:
    """The point of a trial."""
    seconds = finite(trial.cost.seconds)
    return Point(
        id=name,
        label=gist(trial.technique),
        technique=beyond_steps(trial.technique),
        steps=tuple(steps_of(trial.technique)),
        state=_state(trial),
        costs=costs_of(trial.cost),
        intervals={
            field: interval
            for field, interval in trial.noise.items()
            if all(finite(end) is not None for end in interval)
        },
        scores=scores_of(trial.score, trial.scores),
        error=None if (error := finite(trial.error)) is None else rounded(error),
        fits=_fits(search, trial),
        number=numbers.get(id(trial)),
        minutes=None if seconds is None else rounded(seconds / 60, 4),
        seed=trial.seed,
        fidelity=finite(trial.fidelity),
        sha256=trial.sha256 if id(trial) in numbers else None,
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
