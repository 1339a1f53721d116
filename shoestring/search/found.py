"""What a search found: its networks, their scores and costs, and the best that keeps the limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import time
from typing import Any

from torch import nn

from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Budget, Cost, Task
from shoestring.core.resource import LIMITED
from shoestring.kit import Training, Trial, load_into
from shoestring.kit.clock import duration
from shoestring.search.default_training import suited
from shoestring.search.limits import broken_limits
from shoestring.search.proposing import picks_of
from shoestring.search.space import Architecture, Picks, Space

SHOWN = 10
"""Networks in the table of a search."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network that a search trained.

    `architecture`: what it is; `print(candidate)` gives its code.
    `picks`: of the space.
    `score`: on validation data, after a training of `share` of a full one; None where it failed.
    `error`: the standard error of the score; None where the task does not tell.
    `estimate`: its cost by estimates, before it was trained.
    `cost`: of its training, and of its file where there is one.
    `over`: the limits that it breaks, each with (value, limit). Bytes are those of the estimate,
        since the file is compressed later; other limits are decided on the file where there is one.
    `file`: the bytes of its file; None where it was not trained fully, except that an interrupted
        search without any such network has one of the best that this process trained.
    """

    architecture: Architecture
    picks: Picks
    score: float | None
    share: float
    estimate: Cost
    cost: Cost
    over: Mapping[str, tuple[float, float]]
    note: str = ""
    error: float | None = None
    file: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.architecture.code()

    def untrained(self) -> nn.Module:
        """The network with new weights, for another training or another task."""
        return self.architecture.network()

    def network(self) -> nn.Module:
        """The network with the weights that it was scored with.

        Raises ValueError for one that was not trained fully, whose weights were not kept.
        """
        if self.file is None:
            raise ValueError(
                f"this network was trained for {self.share:.0%} of a training, and its weights "
                "were not kept: train untrained(), or take one of those that were trained fully"
            )
        with scratch_folder() as folder:
            path = Path(folder) / "network.shoe"
            path.write_bytes(self.file)
            return load_into(path, self.architecture.network())


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search came to. Printing it gives a table of the best networks.

    `training`: of a network that is trained fully.
    `suits`: whether each network was trained by the optimizer that suits it, in place of that of
        `training`; see `training_of`.
    `trials`: what was trained, in the order in which it ended.
    `estimates`: by the technique of a trial, which is the repr of its picks.
    `files`: by the same, of those that were trained fully; see `Candidate.file`.
    `refused`: how many networks were looked at and not trained, as they break a limit.
    `seconds`: of the search; trials may be of earlier searches of the same study.
    `ended`: when the search ended, in seconds since 1970.
    `interrupted`: whether it ended before its time.
    """

    space: Space
    limits: Budget
    training: Training
    suits: bool
    trials: tuple[Trial, ...]
    estimates: Mapping[str, Cost]
    files: Mapping[str, bytes] = field(repr=False)
    refused: int
    seconds: float
    interrupted: bool = False
    ended: float = field(default_factory=lambda: time(), repr=False)

    def training_of(self, network: nn.Module, task: Task) -> Training:
        """The full training that the search gave, or would give, to a network of the space."""
        return suited(self.training, network, task) if self.suits else self.training

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Each network, after its longest training: the longest trained first, then the best."""
        longest: dict[str, Trial] = {}
        for trial in self.trials:
            known = longest.get(trial.technique)
            if known is None or trial.fidelity > known.fidelity:
                longest[trial.technique] = trial
        return tuple(map(self._candidate, sorted(longest.values(), key=_place)))

    @property
    def best(self) -> Candidate:
        """The network with the highest score of those that keep the limits.

        Of those that were trained longest: where none was trained fully, its `share` says so.
        Raises ValueError where there is none; the message says what is nearest.
        """
        if (nearest := self.nearest).over:
            raise ValueError(
                f"{self.not_kept}. Give limits that are a little lower, or more minutes"
            )
        return nearest

    @property
    def nearest(self) -> Candidate:
        """The best; where no file keeps the limits, the one that breaks them by the least.

        Raises ValueError where no network was trained.
        """
        scored = [one for one in self.candidates if one.score is not None]
        full = [one for one in scored if one.share == scored[0].share]
        if not full:
            raise ValueError(
                f"no network was trained in {duration(self.seconds)}: give more minutes, or a "
                "shorter training"
            )
        fitting = [one for one in full if not one.over]
        return fitting[0] if fitting else min(full, key=_times_over)

    @property
    def not_kept(self) -> str:
        """That no file keeps the limits, and what the nearest has, in words; "" where one does."""
        if not (nearest := self.nearest).over:
            return ""
        broken = ", ".join(
            f"{name}: {value:.4g} for {limit:.4g}" for name, (value, limit) in nearest.over.items()
        )
        many = sum(one.share == nearest.share and one.score is not None for one in self.candidates)
        return (
            f"none of {many} network{'s' * (many != 1)} that were trained keeps {self.limits} as "
            f"a file{', although estimates of it do' * _foretold(nearest)}; the nearest: {broken}"
        )

    def __str__(self) -> str:
        many, began = len(self.candidates), self.ended - self.seconds
        now = len({one.technique for one in self.trials if one.when >= began})
        trained = " trained in" if now == many else f", {now or 'none'} of them trained now, in"
        lines = [
            f"{many} network{'s' * (many != 1)}{trained} {duration(self.seconds)}, "
            f"{self.refused} refused before that, as they break a limit",
            f"{'score':>8}{'of a training':>15}{'bytes, coded':>14}{'operations':>14}{'ms':>9}",
        ]
        for one in self.candidates[:SHOWN]:
            lines.append(_row(one))
        if (more := many - SHOWN) > 0:
            lines.append(f"and {more} more")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "limits": str(self.limits),
            "training": repr(self.training),
            "suits": self.suits,
            "refused": self.refused,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "networks": [
                {
                    "picks": list(one.picks),
                    "architecture": repr(one.architecture),
                    "score": one.score,
                    "error": one.error,
                    "share": one.share,
                    "estimate": one.estimate.measured(),
                    "cost": one.cost.measured(),
                    "over": {name: list(pair) for name, pair in one.over.items()},
                    "note": one.note,
                }
                for one in self.candidates
            ],
        }

    def _candidate(self, trial: Trial) -> Candidate:
        picks = picks_of(trial.technique)
        estimate = self.estimates[trial.technique]
        interval = trial.noise.get("score")
        return Candidate(
            architecture=self.space.made(picks),
            picks=picks,
            score=trial.score,
            share=trial.fidelity,
            estimate=estimate,
            cost=trial.cost,
            over=broken_limits(self.limits, estimate, trial.cost),
            note=trial.note,
            error=None if interval is None else (interval[1] - interval[0]) / 2,
            file=self.files.get(trial.technique),
        )


def _place(one: Trial) -> tuple[float, float]:
    """The longest trained first, then the best; a score of 0 is one, and may be the highest."""
    return -one.fidelity, math.inf if one.score is None else -one.score


def _times_over(one: Candidate) -> float:
    """By how many times a network breaks the limit that it breaks by most."""
    return max(value / limit for value, limit in one.over.values())


def _foretold(one: Candidate) -> bool:
    """Whether estimates of a network keep every limit that its file breaks."""
    known = {name: getattr(one.estimate, LIMITED[name].field) for name in one.over}
    return all(
        known[name] is not None and known[name] <= limit for name, (_, limit) in one.over.items()
    )


def _row(one: Candidate) -> str:
    """A line of the table."""

    def shown(value: float | None, form: str, width: int) -> str:
        return f"{'' if value is None else format(value, form):>{width}}"

    known = one.cost.milliseconds or one.estimate.milliseconds
    return (
        f"{'failed' if one.score is None else format(one.score, '.4f'):>8}"
        f"{one.share:>15.0%}"
        + shown(one.estimate.bytes, ",.0f", 14)
        + shown(one.cost.operations or one.estimate.operations, ",.0f", 14)
        + shown(known, ".3f", 9)
        + (f"  breaks {', '.join(one.over)}" if one.over else "")
    )
