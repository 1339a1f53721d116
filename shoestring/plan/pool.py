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
from shoestring.core import BudgetError, Ledger, Task, Technique, apply, score, unwrapped
from shoestring.core.labels import LabelTask
from shoestring.core.merits import merits
from shoestring.kit import listening, parameters_of, resuming
from shoestring.kit.clock import Clock, TimeUpError, duration
from shoestring.plan.bought import error_of_difference
from shoestring.plan.folder import LEARNT, folder_of
from shoestring.plan.label_store import digest_of_pool, digest_of_training
from shoestring.plan.learners import Timed, learners, timed
from shoestring.plan.learnt import ALONE, Learnt
from shoestring.plan.moves import round_steps
from shoestring.plan.training_time import step_seconds
from shoestring.unlabelled import RefusedWarning
from shoestring.unlabelled.material import compared

SHARE = 0.5
"""The share of the time that is left which learning from examples without labels may take."""
TRIED = 0.3
"""The share of that in which all techniques are tried; the best one then trains longer."""
TIMED = 0.15
"""The share of that in which they are timed, after which no other one is looked at."""
FEWEST, MOST = 200, 3000
"""Steps of training: less than the fewest shows nothing, and more than the most is not planned."""
_OVER = 5.0
"""Times the seconds that were planned for a technique after which it is given up."""
_LONGER = 2
"""Times the steps that the best technique must be able to get, to be trained again."""
_MORE = 1.5
"""Times the seconds of an earlier plan from which on the same search plans anew."""
_POLL = 0.2
"""Seconds between two looks at what another process of the search has learnt."""


class _TooLongError(Exception):
    """A technique takes much longer than there is time for."""


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
    _models: dict[Technique, tuple[nn.Module, bool]] = field(default_factory=dict, init=False)
    """What techniques made, and whether their guard refused it."""

    def __post_init__(self) -> None:
        self.sealed = self.task.sealed()
        digest = hashlib.sha256(digest_of_training(self.task).encode())
        digest.update(f"{digest_of_pool(self.task)} {self.seed}".encode())
        for weight in parameters_of(self.model):
            raw = weight.value().detach().cpu().contiguous().reshape(-1)
            digest.update(raw.view(torch.uint8).numpy().tobytes())
        self.came_in = score(self.sealed, self.model)
        each = merits(self.sealed, self.model)  # which tells other validation data
        digest.update(repr(self.came_in).encode() if each is None else each.tobytes())
        self.path = self.folder / f"{LEARNT}{digest.hexdigest()[:16]}.json"

    def __call__(self) -> tuple[nn.Module, Task, Learnt]:
        """The model to compress, the task to compress it on, and what was learnt.

        A search that was stopped goes on, and one that learnt before reads what it came to, unless
        it has more time and techniques are left that nobody tried.
        """
        self._kept = {"found": [], "unfit": {}, "given_up": [], **self._read(), "finished": False}
        self.seconds = SHARE * max(self.clock.left, 0.0)
        self.end = monotonic() + self.seconds
        try:
            with listening(self.clock):
                if self._is_to_plan():
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
            if self.clock.is_up:
                raise BudgetError(
                    "the time is up, and the first process of the search still learns from "
                    "examples without a label: give more time (--minutes)"
                )
            sleep(_POLL)
        self._kept = kept
        return self._chosen()

    def _is_to_plan(self) -> bool:
        """Whether nothing was planned, or much more time than then is there for what was left."""
        left = [*self._kept.get("untried", ()), *self._kept.get("unseen", ())]
        is_longer = self.seconds >= _MORE * self._kept.get("seconds", math.inf)
        return "steps" not in self._kept or (bool(left) and is_longer)

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
        self.say(
            f"  {len(self.task.pool()):,} examples have no label, and {len(self.task.known()):,} "
            "have one: looking which technique learns from them"
        )
        budget, end = TRIED * self.seconds, monotonic() + TIMED * self.seconds
        least = step_seconds(self.model, self.sealed, self.seed, torch.optim.AdamW)
        fit: list[Timed] = []
        unfit: dict[str, str] = {}
        untried, unseen = list[str](), list[str]()
        for technique in learners():
            name = type(technique).__name__
            if monotonic() > end:
                unseen.append(name)
                continue
            try:
                with listening(self._until(end)):
                    found = timed(technique, self.model, self.sealed, self.seed, least)
            except TimeUpError:
                raise
            except _TooLongError:
                untried.append(name)
            except Exception as error:  # of a third party it may be any
                unfit[name] = str(error) or type(error).__name__
            else:
                fits = sum(one.seconds(FEWEST) for one in [*fit, found]) <= budget
                fit += [found] if fits else []
                untried += [] if fits else [name]
        fixed, step = sum(one.fixed for one in fit), sum(one.step for one in fit)
        steps = round_steps(min(max((budget - fixed) / max(step, 1e-9), FEWEST), MOST))
        if unfit:
            self.say(f"  not for this task: {', '.join(unfit)}")
        if late := [*untried, *unseen]:
            self.say(f"  no time for {', '.join(late)}: more time (--minutes) would try them")
        self._note(
            steps=steps,
            seconds=self.seconds,
            tried=[[one.key, one.fixed, one.step] for one in fit],
            unfit=unfit,
            untried=untried,
            unseen=unseen,
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
        scores: dict[str, float] = {}
        for key, _, value, _ in self._kept["found"]:
            scores[key] = max(value, scores.get(key, value))
        known = [one for one in self._wanted() if one.key in scores]
        if known:
            best = max(known, key=lambda one: scores[one.key])
            most = (self.end - monotonic() - best.fixed) / max(best.step, 1e-9)
            steps = round_steps(min(most, MOST)) if most >= FEWEST else 0
            had = max(count for key, count, _, _ in self._kept["found"] if key == best.key)
            if steps >= _LONGER * had:
                self._learn(best, steps)

    def _learn(self, one: Timed, steps: int) -> None:
        """Train by a technique, and note its validation score, unless that is there."""
        if [one.key, steps] in [[*found[:2]] for found in self._kept["found"]]:
            return
        if [one.key, steps] in self._kept["given_up"]:
            return
        most = min(_OVER * one.seconds(steps), self.end - monotonic()) + 1
        try:
            with listening(self._until(monotonic() + most)):
                model, is_refused = self._made(one, steps, self.ledger)
        except TimeUpError:
            raise
        except _TooLongError:
            self.say(f"  {one.name} with {steps:,} steps was given up after {duration(most)}")
            self._note(given_up=[*self._kept["given_up"], [one.key, steps]])
            return
        except Exception as error:  # with a few steps it went well; of a third party it may be any
            self.say(f"  {one.name} failed: {error}")
            self._note(unfit={**self._kept["unfit"], one.name: str(error)})
            return
        value = score(self.sealed, model)
        refused = ", refused by its guard: the score of labels alone" if is_refused else ""
        self.say(f"    {one.name}, {steps:,} steps: validation score {value:.4f}{refused}")
        self.tell(
            {
                "event": "tried",
                "technique": repr(one.at(steps)),
                "score": value,
                "refused": is_refused,
            }
        )
        self._note(found=[*self._kept["found"], [one.key, steps, value, is_refused]])

    def _until(self, end: float) -> Callable[[str, int, int, str], None]:
        """A listener of a training that gives it up after a time, by time.monotonic()."""

        def heard(what: str, done: int, total: int, note: str) -> None:
            self.clock(what, done, total, note)
            if monotonic() > end:
                raise _TooLongError

        return heard

    def _made(self, one: Timed, steps: int, ledger: Ledger | None) -> tuple[nn.Module, bool]:
        """What a technique makes, and whether its guard refused it; trainings that ended are read.

        Other warnings than that of the guard are passed on.
        """
        technique, folder = one.at(steps), self.folder / "labels" / self.path.stem
        if technique not in self._models:
            with resuming(folder), warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                made = apply(
                    technique, self.model, self.task, ledger=ledger, seed=self.seed, run=self.run
                )
            refused = [each for each in said if issubclass(each.category, RefusedWarning)]
            self._models[technique] = made, bool(refused)
            for each in said:
                if each not in refused:
                    warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        return self._models[technique]

    def _chosen(self) -> tuple[nn.Module, Task, Learnt]:
        """The best model, and the task with its answers; of equal models that which came in.

        Where nothing was tried, nothing is known of the model's answers, and the pool is left
        alone.
        """
        wanted = {one.key: one for one in self._wanted()}
        found = [one for one in self._kept.get("found", []) if one[0] in wanted]
        model, by, error = self.model, "", None
        key, steps, best, _ = max(found, key=lambda one: one[2], default=("", 0, -math.inf, False))
        if best > self.came_in:
            model, by = self._made(wanted[key], steps, None)[0], repr(wanted[key].at(steps))
            error = error_of_difference(self.sealed, self._reference(found, wanted), model)
        labelled, digest = answered(self.task, model) if found else (self.task, "")
        highest: dict[str, tuple[float, bool]] = {}
        for one, _, value, is_refused in found:
            name = wanted[one].name
            highest[name] = max(highest.get(name, (-math.inf, False)), (value, is_refused))
        result = Learnt(
            pool=len(self.task.pool()),
            known=len(self.task.known()),
            score_came_in=self.came_in,
            scores={name: value for name, (value, _) in highest.items()},
            refused=tuple(name for name, (_, is_refused) in highest.items() if is_refused),
            by=by,
            score=best if by else None,
            error=error,
            labelled=bool(digest),
            unfit=self._kept.get("unfit", {}),
            given_up=tuple(
                wanted[one].name for one, _ in self._kept.get("given_up", ()) if one in wanted
            ),
            untried=tuple(self._kept.get("untried", ())),
            unseen=tuple(self._kept.get("unseen", ())),
            digest=digest,
        )
        self.say(f"  {result}")
        self.tell({"event": "learnt", **result.as_json()})
        return model, labelled, result

    def _reference(self, found: list[Any], wanted: dict[str, Timed]) -> nn.Module:
        """The model that a gain is counted from: of labels alone, or the one that came in."""
        alone = [one for one in found if wanted[one[0]].name == ALONE]
        key, steps, value, _ = max(alone, key=lambda one: one[2], default=("", 0, -math.inf, False))
        if value <= self.came_in:
            return self.model
        return self._made(wanted[key], steps, None)[0]


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
    _compare(labelled)
    more = {key: settings[key] for key in ("seed", "ledger", "run", "tell") if key in settings}
    learning = Learning(unwrapped(model), labelled, folder_of(path), clock, say=say, **more)
    return learning() if share[0] == 0 else learning.of_another()


def _compare(task: LabelTask) -> None:
    """Warn where the examples without a label look unlike the labelled ones."""
    given, free = (task.inputs(one) for one in (task.known(), task.pool()))
    if isinstance(given, tuple) and all(isinstance(one, torch.Tensor) for one in given):
        compared(given, free, task.name or type(task).__name__)
