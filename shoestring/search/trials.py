"""Trials of trainings: one is run, stopped early where others were ahead, and remembered."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from shoestring.core import Task, score, seeded
from shoestring.core.task import evaluating
from shoestring.kit import (
    Averaged,
    Clipped,
    Constant,
    Cosine,
    DivergedError,
    Mixed,
    MovingAverage,
    Single,
    Training,
    Unclipped,
    train,
)
from shoestring.kit.training.optimizers import OPTIMIZERS
from shoestring.search.halving import Halving
from shoestring.search.knobs import Chosen

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


@dataclass(frozen=True, kw_only=True)
class TreeParzen:
    """Values are likelier where the better trials had theirs (TPE).

    Source: Bergstra et al. 2011, section 4, by Optuna.

    `drawn`: so many first trials are drawn at random, 1 or more.
    """

    drawn: int = 8

    def __post_init__(self) -> None:
        if not isinstance(self.drawn, int) or self.drawn < 1:
            raise ValueError(f"{self.drawn!r} trials at random: give an integer, 1 or more")

    def sampler(self, seed: int) -> BaseSampler:
        """Optuna's."""
        from optuna.samplers import TPESampler

        return TPESampler(n_startup_trials=self.drawn, seed=seed)


@dataclass(frozen=True, kw_only=True)
class RandomSettings:
    """Each value is as likely, always: what other ways have to beat.

    Source: Bergstra & Bengio 2012.
    """

    def sampler(self, seed: int) -> BaseSampler:
        """Optuna's."""
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=seed)


class End(Enum):
    """How a trial ended."""

    FINISHED = "trained to the end"
    STOPPED = "stopped early: others were ahead"
    DIVERGED = "the loss was no longer finite"
    OUT_OF_TIME = "the time was up"
    FAILED = "an error"
    INTERRUPTED = "the program was killed"

    def __repr__(self) -> str:
        return f"End.{self.name}"


@dataclass(frozen=True, kw_only=True)
class TriedSettings:
    """A trial of a training.

    `chosen`: the training and its batch size.
    `score`: on validation data, of the last look at it; None where nobody looked.
    `error`: the standard error of the score; None where it is not known.
    `share`: of the steps that were made until that look, 0 to 1.
    `seconds`: that it took.
    `end`: how it ended.
    `note`: what failed; "" where nothing did.
    """

    chosen: Chosen
    score: float | None = None
    error: float | None = None
    share: float = 0.0
    seconds: float = 0.0
    end: End
    note: str = ""

    def to_json(self) -> str:
        """The trial as one line of JSON, which `from_json` reads."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return json.dumps({**values, "chosen": _plain(self.chosen), "end": self.end.name})

    @classmethod
    def from_json(cls, text: str) -> TriedSettings:
        """The trial of a line of JSON."""
        values = json.loads(text)
        chosen, end = _made(values.pop("chosen")), End[values.pop("end")]
        return cls(chosen=chosen, end=end, **values)


_KINDS: dict[str, Any] = {
    one.__name__: one
    for one in (
        *(Chosen, Training, *OPTIMIZERS, Cosine, Constant, Single, Mixed),
        *(Unclipped, Clipped, MovingAverage, Averaged),
    )
}


def _plain(value: Any) -> Any:
    """A setting as JSON has it: the name of its class and its fields."""
    if type(value).__name__ not in _KINDS:
        return value
    own = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    return [type(value).__name__, own]


def _made(plain: Any) -> Any:
    """The setting again."""
    if not isinstance(plain, list):
        return plain
    name, own = plain
    return _KINDS[name](**{field: _made(value) for field, value in own.items()})


Look = Callable[[int, float], bool]
"""Gets a part of a training, as `looks` counts them, and a score; returns whether to stop."""


class _Ended(Exception):
    """Leaves a training early."""

    def __init__(self, end: End) -> None:
        self.end = end


def tried(
    chosen: Chosen,
    task: Task,
    build: Callable[[], nn.Module],
    *,
    halving: Halving,
    look: Look,
    until: float,
    seed: int,
) -> TriedSettings:
    """Train a new network as chosen and score it; it always returns.

    `task`: sealed by the caller or not: the test split is not read.
    `until`: on the clock of `time.monotonic`.
    """
    begun, steps, seen = monotonic(), chosen.training.steps, list[tuple[float, float]]()
    looks = halving.looks(steps)

    def judged(model: nn.Module, share: float) -> float:
        found = score(own, model)
        if not math.isfinite(found):
            raise ValueError(f"the validation score is {found}: see Task.score")
        seen.append((found, share))
        return found

    def before_step(step: int) -> None:
        if monotonic() > until:
            raise _Ended(End.OUT_OF_TIME)
        if step in looks and look(looks[step], judged(model, step / steps)):
            raise _Ended(End.STOPPED)

    end, note, error = End.FINISHED, "", None
    try:
        own = chosen.task(task).sealed()
        with seeded(seed):
            model = build()
            train(model, own, chosen.training, before_step=before_step, what="a trial")
        judged(model, 1.0)
        error = _error(own, model)
    except _Ended as ended:
        end = ended.end
    except DivergedError as diverged:
        end, note = End.DIVERGED, str(diverged)
    except Exception as failed:
        end, note = End.FAILED, f"{type(failed).__name__}: {failed}"
    last, share = seen[-1] if seen else (None, 0.0)
    return TriedSettings(
        chosen=chosen,
        score=last,
        error=error,
        share=share,
        seconds=monotonic() - begun,
        end=end,
        note=note,
    )


def _error(task: Task, model: nn.Module) -> float | None:
    with torch.no_grad(), evaluating(model):
        return task.standard_error(model, "validation")
