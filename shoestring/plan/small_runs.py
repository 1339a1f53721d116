"""The small runs of a forecast: the same network trained anew on growing parts of the data."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Any

import numpy as np
from torch import nn

from shoestring.artifact import save
from shoestring.artifact.progress import listening
from shoestring.core import Task, score, seeded, unwrapped
from shoestring.core.labels import LabelTask, label_task
from shoestring.distill.networks import refreshed
from shoestring.kit import Training, clone, train
from shoestring.kit.clock import Clock, TimeUpError, duration
from shoestring.kit.training.resume import data_digest
from shoestring.plan.scaling import ScalingPoint

FEWEST = 20
"""Examples of the smallest part."""
_SIZES = 5
_APART = 3
"""Times the smallest part that the largest must be, at least."""
_STEPS_BY = 0.5
"""The power of a part's share of the data that is its share of the steps.

With 1, so many passes for each, small parts would tell of a training that is too short; with 0, so
many steps for each, fifteen small runs would take as long as fifteen trainings. A least number of
steps has a kink in it, which no power law has. docs/forecast-scale.md has what was tried.
"""


@dataclass(frozen=True, kw_only=True)
class SmallRuns:
    """The scores of trainings on parts of the data.

    `points`: sizes are examples, scores are of the validation split.
    `examples`: of the whole training split.
    `chance`: the mean score of the untrained networks.
    `planned`: how many trainings there were to be; fewer points where the time was up before.
    """

    points: tuple[ScalingPoint, ...]
    examples: int
    chance: float
    planned: int


def small_runs(
    model: nn.Module,
    task: Task,
    *,
    share: float = 0.1,
    seeds: int = 3,
    training: Training = Training(),
    minutes: float | None = None,
    path: str | Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> SmallRuns:
    """Train a network anew on growing parts of a task's training data, and score it each time.

    There are five sizes, from a tenth of the largest part on or from 20 examples, each larger than
    the one before by the same factor. All sizes are trained with one seed before the next seed
    begins. A seed draws the first weights and the order of the examples, of which each part is the
    beginning. A part gets the square root of its share of the data as its share of the steps: 1 %
    of the data get 10 % of the steps.

    `model`: of any weights; they are drawn anew (`distill.refreshed`), and it is left as it is.
    `task`: one whose labels can be chosen (`core.LabelTask`, such as `kit.Supervised`).
    `share`: the largest part, above 0 and at most 1.
    `seeds`: trainings of each size, 1 or more; their spread tells the noise.
    `training`: what training on all the data would be.
    `minutes`: after which no more is trained, above 0; None for no limit.
    `path`: where scores are kept, so that the same call goes on after a kill; None: nowhere.
    `say`: gets a line for each score, with about how long the rest takes; and with `minutes` one
        for what runs, four times a minute at most.

    Raises TypeError for a task whose labels cannot be chosen, and ValueError for numbers out of
    range, for a training split that is too small for such a share, for a damaged file, and where
    the time is up before three sizes have a score.
    """
    labelled = label_task(task.sealed())
    known = np.asarray(labelled.known())
    sizes = sizes_of(len(known), share)
    _check(seeds, minutes)
    kept = _Kept.at(path, _key(unwrapped(model), labelled, training))
    clock = None if minutes is None else _clock(minutes, say)
    runs = [(seed, size) for seed in range(seeds) for size in sizes]
    with ExitStack() as stack:
        if clock is not None:
            stack.enter_context(listening(clock))
        left = _Left([_work(size) for _, size in runs])
        for number, (seed, size) in enumerate(runs, 1):
            if kept.score(seed, size) is not None:
                left.skip(_work(size))
                continue
            if clock is not None and clock.is_up:
                break
            try:
                value, untrained = one_run(unwrapped(model), labelled, size, seed, training)
            except TimeUpError:
                break
            kept.add(seed, size, value, untrained)
            told = f"{number} of {len(runs)}: {size:,} examples, seed {seed}: {value:.4f}"
            say(f"  {told}; about {left.after(_work(size))} left")
    return _result(kept, runs, len(known), minutes)


def _clock(minutes: float, say: Callable[[str], None]) -> Clock:
    """A clock that keeps no time for the end: nothing is left to do then."""
    # Its lines end with what is left of the limit, which is not how long this takes.
    clock = Clock(seconds=60 * minutes, say=lambda text: say(text.rpartition(", ")[0]))
    clock.ending = 0.0
    return clock


def _work(size: int) -> float:
    """About how long a run takes, in any unit: its steps are a power of its size."""
    return size**_STEPS_BY


class _Left:
    """The time that the runs ahead will take, by those that were made."""

    def __init__(self, works: list[float]) -> None:
        self.began, self.done, self.ahead = monotonic(), 0.0, sum(works)

    def skip(self, work: float) -> None:
        """A run was made by an earlier command."""
        self.ahead -= work

    def after(self, work: float) -> str:
        """The time in words, now that one more was made."""
        self.ahead, self.done = self.ahead - work, self.done + work
        return duration((monotonic() - self.began) * self.ahead / self.done)


def sizes_of(examples: int, share: float) -> list[int]:
    """The sizes of the parts of so many examples, in ascending order.

    Raises ValueError for a share that is not above 0 and at most 1, and for too few examples.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share}: give one above 0, and at most 1")
    most = round(share * examples)
    if most < _APART * FEWEST:
        enough = _APART * FEWEST / max(examples, 1)
        told = f"give share={enough:.2g} or more" if enough <= 1 else "it takes more examples"
        raise ValueError(
            f"the training split has {examples:,} examples, and {share:.3g} of them are {most}: a "
            f"forecast takes {_APART * FEWEST} or more, so {told}"
        )
    return sorted({round(one) for one in np.geomspace(max(0.1 * most, FEWEST), most, _SIZES)})


def _check(seeds: int, minutes: float | None) -> None:
    if seeds < 1:
        raise ValueError(f"{seeds} seeds: give 1 or more")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"{minutes} minutes: give a number above 0, or None for no limit")


def one_run(
    model: nn.Module, task: Task, size: int, seed: int, training: Training
) -> tuple[float, float]:
    """The validation scores of a network that was trained anew on a part, and before that.

    `size`: of the part, 1 or more; the other arguments are those of `small_runs`.
    """
    labelled = label_task(task.sealed())
    known = np.asarray(labelled.known())
    chosen = np.random.default_rng(seed).permutation(known)[:size]
    part = labelled.with_labels(labelled.labels(chosen), indices=chosen)
    with seeded(seed):
        network = refreshed(clone(model))
        untrained = score(labelled, network)
        shorter = training.scaled((size / len(known)) ** _STEPS_BY)
        train(network, part, shorter, what=f"training on {size:,} examples, seed {seed}")
        return score(labelled, network), untrained


def _result(
    kept: _Kept, runs: list[tuple[int, int]], examples: int, minutes: float | None
) -> SmallRuns:
    points = tuple(
        ScalingPoint(size=size, score=value, seed=seed)
        for seed, size in runs
        if (value := kept.score(seed, size)) is not None
    )
    if len({one.size for one in points}) < 3:
        raise ValueError(
            f"{minutes} minutes were enough for {len(points)} of {len(runs)} small trainings: give "
            "more, or a training of fewer steps; what was measured is kept where a path was given"
        )
    chance = fmean(one["untrained"] for one in kept.rows.values())
    return SmallRuns(points=points, examples=examples, chance=chance, planned=len(runs))


def _key(model: nn.Module, task: LabelTask, training: Training) -> str:
    """What tells these trainings from others: the network, the data and the training."""
    shapes = [(name, tuple(one.shape)) for name, one in model.named_parameters()]
    seen = str(model), shapes, task.name, data_digest(task), training
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Kept:
    """Scores in a file of JSON, which is written whole after each; it may have those of others.

    `every`: for each key, by which trainings are told apart, the scores by seed and size.
    """

    path: Path | None
    key: str
    every: dict[str, dict[str, Any]]

    @classmethod
    def at(cls, path: str | Path | None, key: str) -> _Kept:
        """What a file has; raises ValueError where it is damaged."""
        if path is None or not Path(path).exists():
            return cls(None if path is None else Path(path), key, {key: {}})
        try:
            every = json.loads(Path(path).read_text())
            for rows in every.values():
                for row in rows.values():
                    [float(row[name]) for name in ("score", "untrained")]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged ({error}): move it away") from None
        return cls(Path(path), key, {key: {}, **every})

    @property
    def rows(self) -> dict[str, Any]:
        """The scores of these trainings."""
        return self.every[self.key]

    def score(self, seed: int, size: int) -> float | None:
        row = self.rows.get(f"{seed} {size}")
        return None if row is None else row["score"]

    def add(self, seed: int, size: int, value: float, untrained: float) -> None:
        self.rows[f"{seed} {size}"] = {"score": value, "untrained": untrained}
        if self.path is not None:
            save(self.path, json.dumps(self.every, indent=1).encode())
