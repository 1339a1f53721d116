"""What a search learns, before it compresses, from examples that have no label."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import save
from shoestring.core import Ledger, Task, Technique, apply, score, unwrapped
from shoestring.core.labels import LabelTask
from shoestring.kit import listening, parameters_of, resuming
from shoestring.plan.bought import error_of_difference
from shoestring.plan.clock import Clock, TimeUpError
from shoestring.plan.folder import LEARNT, folder_of
from shoestring.plan.label_store import digest_of_training
from shoestring.plan.learners import CANNOT, Timed, learners, timed
from shoestring.plan.learnt import Learnt
from shoestring.plan.moves import round_steps
from shoestring.unlabelled import RefusedWarning

SHARE = 0.5
"""The share of the time that is left which learning from examples without labels may take."""
TRIED = 0.3
"""The share of that in which all techniques are tried; the best one then trains longer."""
FEWEST, MOST = 200, 3000
"""Steps of training: less than the fewest shows nothing, and more than the most is not planned."""
_OVER = 3.0
"""Times the seconds that were planned for a technique after which it is given up."""
_LONGER = 2
"""Times the steps that the best technique must be able to get, to be trained again."""
_POLL = 0.2
"""Seconds between two looks at what another process of the search has learnt."""


class _TooLongError(Exception):
    """A technique takes much longer than its first steps let expect."""


def has_pool(task: Task) -> LabelTask | None:
    """The task with its pool, where examples without a label are worth a look; else None.

    They are where there are as many as examples with a label, and some of both.
    """
    labelled = task.labelled()
    if labelled is None or not len(known := labelled.known()):
        return None
    return labelled if len(labelled.pool()) >= len(known) else None


@dataclass
class Learning:
    """Learns from the pool of a task by several techniques, and keeps the best model.

    `model`, `task`: what came in, or what was made of it with labels that were bought.
    `folder`: of the search, where trainings and what they came to are kept.
    `clock`: of the command.
    """

    model: nn.Module
    task: LabelTask
    folder: Path
    clock: Clock
    seed: int = 0
    ledger: Ledger | None = None
    run: str | None = None
    say: Callable[[str], None] = lambda text: None
    tell: Callable[[dict[str, Any]], None] = lambda event: None
    _kept: dict[str, Any] = field(default_factory=dict, init=False)
    """What was planned and found so far, as the file has it."""
    _models: dict[Technique, nn.Module] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.sealed = self.task.sealed()
        digest = hashlib.sha256(digest_of_training(self.task).encode())
        digest.update(f"{len(self.task.pool())} {self.seed}".encode())
        for weight in parameters_of(self.model):
            digest.update(np.ascontiguousarray(weight.value().detach().cpu().numpy()).tobytes())
        self.path = self.folder / f"{LEARNT}{digest.hexdigest()[:16]}.json"

    def __call__(self) -> tuple[nn.Module, Task, Learnt]:
        """The model to compress, the task to compress it on, and what was learnt.

        A search that was stopped goes on, and one that learnt before reads what it came to.
        """
        self._kept = self._read()
        pool, known = len(self.task.pool()), len(self.task.known())
        if "steps" not in self._kept:
            self.say(
                f"  {pool:,} examples have no label, and {known:,} have one: looking which "
                "technique learns from them"
            )
        try:
            with listening(self.clock):
                if "steps" not in self._kept:
                    self._plan()
                self._try()
                self._longer()
        except TimeUpError:  # a later search goes on
            self.say("  the time for learning from examples without a label is up")
        result = self._chosen()
        self._note(finished=True)
        return result

    def of_another(self) -> tuple[nn.Module, Task, Learnt]:
        """The same as a call, with what another process in this folder learns."""
        while not (kept := self._read()).get("finished"):
            sleep(_POLL)
        self._kept = kept
        return self._chosen()

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise ValueError(
                f"{self.path} is damaged ({error}): move it away, and what it says is learnt anew"
            ) from None
        return dict(kept)

    def _note(self, **more: Any) -> None:
        self._kept = {**self._kept, **more}
        save(self.path, json.dumps(self._kept).encode())

    def _plan(self) -> None:
        """Time the techniques, and settle which are tried, and with how many steps."""
        budget, began = SHARE * TRIED * max(self.clock.left, 0.0), monotonic()
        fit: list[Timed] = []
        unfit: dict[str, str] = {}
        untried: list[str] = []
        for technique in learners():
            name = type(technique).__name__
            if monotonic() - began > budget:
                untried.append(name)  # not even looked at
                continue
            found = timed(technique, self.model, self.sealed, self.seed)
            if isinstance(found, str):
                unfit[name] = found
            elif sum(one.seconds(FEWEST) for one in [*fit, found]) > budget:
                untried.append(name)
            else:
                fit.append(found)
        fixed, step = sum(one.fixed for one in fit), sum(one.step for one in fit)
        steps = round_steps(min(max((budget - fixed) / max(step, 1e-9), FEWEST), MOST))
        if unfit:
            self.say(f"  not for this task: {', '.join(unfit)}")
        if untried:
            self.say(f"  no time for {', '.join(untried)}: more time (--minutes) would try them")
        self._note(
            steps=steps,
            tried=[[one.key, one.fixed, one.step] for one in fit],
            unfit=unfit,
            untried=untried,
            found=[],
        )

    def _wanted(self) -> list[Timed]:
        """The techniques that were planned, by what they are called."""
        known = {repr(one): one for one in learners()}
        return [
            Timed(technique=known[key], fixed=fixed, step=step)
            for key, fixed, step in self._kept.get("tried", [])
            if key in known
        ]

    def _try(self) -> None:
        """Train by each technique that was planned."""
        for one in self._wanted():
            self._learn(one, self._kept["steps"])

    def _longer(self) -> None:
        """Train the best one again, with more steps, where there is time for that."""
        scores = {name: value for name, _, value in self._kept["found"]}
        known = [one for one in self._wanted() if one.key in scores]
        if known:
            best = max(known, key=lambda one: scores[one.key])
            seconds = SHARE * (1 - TRIED) * max(self.clock.left, 0.0)
            most = (seconds - best.fixed) / max(best.step, 1e-9)
            if "longer" not in self._kept:
                self._note(longer=round_steps(min(most, MOST)) if most >= FEWEST else 0)
            if self._kept["longer"] >= _LONGER * self._kept["steps"]:
                self._learn(best, self._kept["longer"])

    def _learn(self, one: Timed, steps: int) -> None:
        """Train by a technique, and note its validation score, unless that is there."""
        if [one.key, steps] in [found[:2] for found in self._kept["found"]]:
            return
        try:
            with listening(self._until(monotonic() + _OVER * one.seconds(steps) + 1)):
                model = self._made(one, steps, self.ledger)
        except _TooLongError:
            self.say(
                f"  {one.name} with {steps:,} steps was given up: it took {_OVER:g} times as long "
                "as its first steps let expect"
            )
            return
        except CANNOT as error:  # with a few steps it went well
            self.say(f"  {one.name} failed: {error}")
            self._note(unfit={**self._kept["unfit"], one.name: str(error)})
            return
        value = score(self.sealed, model)
        self.say(f"    {one.name}, {steps:,} steps: validation score {value:.4f}")
        self.tell({"event": "tried", "technique": repr(one.at(steps)), "score": value})
        self._note(found=[*self._kept["found"], [one.key, steps, value]])

    def _until(self, end: float) -> Callable[[str, int, int, str], None]:
        """A listener of a training that gives it up after a time, by time.monotonic()."""

        def heard(what: str, done: int, total: int, note: str) -> None:
            self.clock(what, done, total, note)
            if monotonic() > end:
                raise _TooLongError

        return heard

    def _made(self, one: Timed, steps: int, ledger: Ledger | None) -> nn.Module:
        """The model of a technique; trainings that ended are read."""
        technique, folder = one.at(steps), self.folder / "labels" / self.path.stem
        if technique not in self._models:
            with resuming(folder), warnings.catch_warnings():
                warnings.simplefilter("ignore", RefusedWarning)  # the scores tell it
                self._models[technique] = apply(
                    technique, self.model, self.task, ledger=ledger, seed=self.seed, run=self.run
                )
        return self._models[technique]

    def _chosen(self) -> tuple[nn.Module, Task, Learnt]:
        """The best model, and the task with its answers; of equal models that which came in."""
        came_in, found = score(self.sealed, self.model), self._kept.get("found", [])
        wanted = {one.key: one for one in self._wanted()}
        key, steps, best = max(found, key=lambda one: one[2], default=("", 0, -math.inf))
        model, by = self.model, ""
        if best > came_in:
            model, by = self._made(wanted[key], steps, None), repr(wanted[key].at(steps))
        labelled, digest = answered(self.task, model)
        highest: dict[str, float] = {}
        for name, _, value in found:
            name = wanted[name].name
            highest[name] = max(value, highest.get(name, value))
        result = Learnt(
            pool=len(self.task.pool()),
            known=len(self.task.known()),
            score_came_in=came_in,
            scores=highest,
            by=by,
            score=best if by else None,
            error=error_of_difference(self.sealed, self.model, model) if by else None,
            labelled=bool(digest),
            unfit=self._kept.get("unfit", {}),
            untried=tuple(self._kept.get("untried", ())),
            digest=digest,
        )
        self.say(f"  {result}")
        self.tell({"event": "learnt", **result.as_json()})
        return model, labelled, result


def answered(task: LabelTask, model: nn.Module) -> tuple[Task, str]:
    """The task with a model's answers as labels of the pool, and a digest of them.

    The search then trains on all inputs, and not on the few that have a label. Returns the task
    itself, and "", where answers are no classes.
    """
    pool, known = task.pool(), task.known()
    outputs = task.outputs(model, task.inputs(pool))
    true = torch.as_tensor(task.labels(known))
    is_class = isinstance(outputs, torch.Tensor) and outputs.ndim == 2 and outputs.shape[1] > 1
    if not is_class or true.ndim != 1 or true.is_floating_point():
        return task, ""
    labels = torch.cat([true, outputs.argmax(1).to(true)])
    everything = np.concatenate([known, pool])
    digest = hashlib.sha256(labels.numpy().tobytes()).hexdigest()
    return task.with_labels(labels, None, everything), digest


def pool_first(
    model: nn.Module,
    task: Task,
    path: Path,
    clock: Clock,
    *,
    share: tuple[int, int] = (0, 1),
    storage: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    **settings: Any,
) -> tuple[nn.Module, Task, Learnt | None]:
    """The model and the task after what could be learnt from examples without labels.

    The third is None where the task has too few of them. The arguments are those of `Job.of`.
    """
    labelled = has_pool(task)
    if labelled is None:
        return model, task, None
    if storage is not None:
        say(
            f"  the {len(labelled.pool()):,} examples without a label are left alone: with "
            "--storage each machine would learn something else from them"
        )
        return model, task, None
    more = {key: settings[key] for key in ("seed", "ledger", "run", "tell") if key in settings}
    learning = Learning(unwrapped(model), labelled, folder_of(path), clock, say=say, **more)
    return learning() if share[0] == 0 else learning.of_another()
