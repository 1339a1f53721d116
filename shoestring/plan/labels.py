"""The labels that a search buys at its beginning, and the model that learnt from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import torch
from torch import nn

from shoestring.core import (
    Budget,
    BudgetError,
    Gauge,
    Ledger,
    Purchases,
    Task,
    check_task,
    score,
    seeded,
    unwrapped,
)
from shoestring.core.labels import LabelTask, label_task
from shoestring.core.technique import gist, settings
from shoestring.core.view import View
from shoestring.kit import Training, clone, export, listening, resuming, train
from shoestring.kit.clock import Clock, TimeUpError
from shoestring.plan.bought import Best, Bought, error_of_difference
from shoestring.plan.buyers import buyer, sized
from shoestring.plan.checks import checked_limits, checked_meters, seconds_of
from shoestring.plan.folder import folder_of
from shoestring.plan.label_rows import LabelRows
from shoestring.plan.label_store import LabelStore, digest_of_training
from shoestring.plan.moves import round_steps
from shoestring.plan.training_time import step_seconds

SHARE = 0.3
"""The share of the time that choosing labels and training on them may take.

Half of it goes into the rounds in which labels are chosen, half into the trainings that are scored.
"""
ROUND_STEPS, LAST_STEPS = (200, 500), (200, 2000)
"""Steps of training in a round, and at the end: the fewest and the most."""
_FEWEST = 20
"""The fewest steps where there is no time for those."""
_SCORED = 2
"""Trainings that are scored: on the labels that came with the task, and on all."""
_POLL = 0.2
"""Seconds between two looks at what another process has bought."""


class _AllBoughtError(Exception):
    """All labels are bought: what a technique would train now is trained at the end anyway."""


@dataclass(frozen=True, eq=False)
class _OnValidation(View):
    """A task that trains on its validation data: a step of it is timed before there are labels."""

    _task: Task

    def loss(self, model: Any, batch: Any) -> Any:
        return self._task.loss(model, batch)

    def batches(self, split: str, *, model: Any = None) -> Any:
        return self._task.batches("validation", model=model)


def sold(task: Task, most: int) -> tuple[int, str]:
    """How many labels a budget of `most` buys, and why they are fewer; "" where they are not.

    Raises BudgetError where the task sells none.
    """
    labelled, name = task.labelled(), task.name or type(task).__name__
    pool = 0 if labelled is None else len(labelled.pool())
    left = None if labelled is None else labelled.left()
    if most and (not pool or left == 0):
        why = f"its pool has {pool:,} examples without a label" + (
            "" if left is None else f", and it sells {left:,} labels more"
        )
        raise BudgetError(
            f"the budget has labels<={most}, and {name} sells none ({why}): give the task "
            "unlabelled= and answer=, and no limit= that is used up, or leave labels out of the "
            "budget"
        )
    if left is not None and left < min(most, pool):
        return left, f"the task has a limit of {left:,} more"
    return (pool, f"the pool has {pool:,}") if pool < most else (most, "")


@dataclass
class Buying:
    """Buys labels for a search, and trains the model on them.

    `model`, `task`: what came in.
    `folder`: of the search, where labels and trainings are kept.
    `clock`: of the command; waiting for answers does not count.
    """

    model: nn.Module
    task: Task
    folder: Path
    clock: Clock
    seed: int = 0
    ledger: Ledger | None = None
    run: str | None = None
    say: Callable[[str], None] = lambda text: None
    tell: Callable[[dict[str, Any]], None] = lambda event: None
    waited: float = field(default=0.0, init=False)

    def __call__(self, budget: int) -> tuple[nn.Module, Task, Bought]:
        """The model to compress, its task with the labels, and what they brought.

        Labels that earlier runs bought in this folder come first. `budget`: how many in all.
        Raises BudgetError where the task sells none, and where the time is up before the end;
        ValueError where no technique can choose labels for the task.
        """
        most, fewer = sold(self.task, budget)
        if not most:
            return self.model, self.task, Bought(labels=0)
        sealed = label_task(self.task.sealed())
        sealed.recalled([], [])  # raises TypeError before anybody is asked
        export(self.model, self.task.sealed())  # and what no file can be made of costs no label
        store = LabelStore.of(self.folder, sealed, self.say)
        store.judge_by(sealed, self.model)
        before = min(len(store), most)
        if fewer:
            self.say(f"  labels<={budget:,}: {fewer}, so that is what is bought in all")
        if before:
            self.say(
                f"  {before:,} of the {len(store):,} labels that were bought before are used again"
            )
        try:
            with listening(self.clock):
                step = step_seconds(self.model, _OnValidation(sealed), self.seed, torch.optim.AdamW)
                steps = store.settle(self._steps(step))
                base = self._base(steps[1], fresh=not before)
                if before < most:
                    self._buy(store, most, steps, step, base)
                store.finish(most)
                return self._trained(store, min(len(store), most), before, steps[1], base)
        except TimeUpError:
            raise BudgetError(
                f"choosing labels and training on them took all the time that there is; "
                f"{len(store):,} labels are kept, and the same command goes on: give more time "
                "(--minutes)"
            ) from None

    def of_another(self, budget: int) -> tuple[nn.Module, Task, Bought]:
        """The same as a call, with labels that another process in this folder buys."""
        most, _ = sold(self.task, budget)
        if not most:
            return self.model, self.task, Bought(labels=0)
        sealed = label_task(self.task.sealed())
        store = LabelStore.of(self.folder, sealed, lambda text: None)
        waited = store.waited
        while store.finished < most:
            sleep(_POLL)
            store = LabelStore.read(store.path, sealed)
        self.waited = store.waited - waited
        self.clock.began += self.waited
        count = min(len(store), most)
        assert store.steps is not None  # they are settled before a label is bought
        base = self._base(store.steps[1], fresh=False)
        return self._trained(store, count, count, store.steps[1], base)

    def _steps(self, step: float) -> tuple[int, int]:
        """Steps of training in a round and at the end, by the time that there is.

        `step`: the seconds of one.
        """
        left = max(self.clock.left, 0.0) / max(step, 1e-9)
        half = SHARE * left / 2
        fewest = ROUND_STEPS[0], LAST_STEPS[0]
        # one round at least, with a training before it where labels came with the task
        if 2 * fewest[0] + _SCORED * fewest[1] > 2 * SHARE * left:
            fewest = _FEWEST, _FEWEST
            self.say(
                f"  there is time for few steps of training only, of {step:.2g} s each: more time "
                "(--minutes) would choose better labels, and tell better what they bring"
            )
        in_a_round = round_steps(min(max(half / 6, fewest[0]), ROUND_STEPS[1]))
        return in_a_round, round_steps(min(max(half / _SCORED, fewest[1]), LAST_STEPS[1]))

    def _base(self, steps: int, fresh: bool) -> _Base:
        """What labels are measured against: the model that came in, and the same training without.

        `fresh`: whether no label was bought before; then the ledger gets a row of it.
        """
        task, came_in = label_task(self.task), score(self.task.sealed(), self.model)
        if not len(task.known()):
            return _Base(self.model, came_in)
        what = "labels that came with the task"
        rows = LabelRows(
            ledger=self.ledger if fresh else None,
            run=self.run,
            seed=self.seed,
            task=self.task.name,
        )
        with rows.row(repr(Training(steps)), came_in, Purchases()) as ended:
            learner, before = self._learner(task, steps, what)
            ended(before)
        return _Base(self.model, came_in, learner, before)

    def _buy(
        self, store: LabelStore, most: int, steps: tuple[int, int], step: float, base: _Base
    ) -> None:
        """Buy until there are `most` labels, and train on them; the ledger gets a row of both.

        `steps`: in a round and at the end. `step`: the seconds of one.
        """
        task, before, missing = label_task(self.task), base.score, most - len(store)
        self._warn_of_places(task)
        technique = buyer(self.model, task.sealed(), self.seed, self.say)
        if len(store):
            task = task.recalled(*store.first(len(store)))
            before = self._learner(task, steps[1], "labels that were bought before")[1]
        rounds = int(SHARE * max(self.clock.left, 0.0) / 2 / max(step * steps[0], 1e-9)) - 1
        technique = sized(technique, missing, steps[0], max(rounds, 1))
        name = gist(repr(technique))
        self.say(f"  buying {missing:,} labels by {name}: to compare techniques would cost labels")

        def heard(indices: list[int], labels: Any, seconds: float) -> None:
            store.add(indices, labels, type(technique).__name__, seconds)
            self.waited += seconds
            self.clock.began += seconds
            self.say(f"    {len(store):,} of {most:,} labels are bought and kept")
            self.tell({"event": "labels", "bought": len(store), "of": most})
            if len(store) >= most:
                raise _AllBoughtError

        purchases = Purchases(most=missing, heard=heard)
        rows = LabelRows(ledger=self.ledger, run=self.run, seed=self.seed, task=self.task.name)
        with (
            store.room(missing, task),
            rows.row(repr(technique), before, purchases, settings(technique)) as ended,
        ):
            try:
                with seeded(self.seed):
                    technique(self.model, purchases.counted(task.sealed()))
            except _AllBoughtError:
                pass
            if len(store) < most:
                self.say(f"  {name} chose {len(store):,} labels in all, and {most:,} were allowed")
            if len(store):
                task = label_task(self.task).recalled(*store.first(len(store)))
                ended(self._learner(task, steps[1], "labels", store.path)[1])

    def _warn_of_places(self, task: LabelTask) -> None:
        """Say so where a label is of a sequence: long ones are chosen, and cost more."""
        labels = torch.as_tensor(task.labels(task.known()))
        if labels.ndim == 2 and not labels.is_floating_point():
            self.say(
                "  a label is of a whole sequence, and the doubt about it is the sum over its "
                "places: long ones are bought, which take a person longer. To pay by length, buy "
                "first: Margin(prices=ByLength(), labels=...) (shoestring.label)"
            )

    def _trained(
        self, store: LabelStore, count: int, before: int, steps: int, base: _Base
    ) -> tuple[nn.Module, Task, Bought]:
        """The best of the model that came in and those trained with the labels and without."""
        task = label_task(self.task)
        labelled = task.recalled(*store.first(count)) if count else task
        learner, after = self._learner(labelled, steps, "labels", store.path)
        bought = Bought(
            labels=count,
            fresh=max(count - before, 0),
            known=len(task.known()),
            by=store.choosers(count),
            score_came_in=base.score_came_in,
            score_before=base.score_before,
            score_after=after,
            error=error_of_difference(self.task.sealed(), base.best, learner),
            waited=self.waited,
            digest=store.digest(count),
        )
        self.say(f"  {bought}")
        self.tell({"event": "labels bought", **bought.as_json()})
        return learner if bought.best is Best.AFTER else base.best, labelled, bought

    def _learner(
        self, task: LabelTask, steps: int, what: str, path: Path | None = None
    ) -> tuple[nn.Module, float]:
        """A copy of the model that came in, trained on a task, and its validation score.

        It is kept by its training data, and read where the same was trained before.
        """
        sealed = task.sealed()
        folder = self.folder / "labels" / digest_of_training(task)
        try:
            with resuming(folder), seeded(self.seed):
                learner = train(
                    clone(self.model), sealed, Training(steps), what=f"training on the {what}"
                )
        except IndexError as error:  # a class beyond the last output
            where = f"; those that were bought are in {path}" if path is not None else ""
            raise ValueError(
                f"the network cannot be trained on the {what} ({error}): is a label of a class "
                f"that it has no output for{where}?"
            ) from error
        return learner, score(sealed, learner)


@dataclass(frozen=True)
class _Base:
    """What there is without the labels that are bought.

    `model`, `score_came_in`: what came in, and its validation score.
    `learner`, `score_before`: trained on the labels that came with the task; None where none did.
    """

    model: nn.Module
    score_came_in: float
    learner: nn.Module | None = None
    score_before: float | None = None

    @property
    def best(self) -> nn.Module:
        """The better of both; of equal ones the one that was trained."""
        is_better = self.score_before is not None and self.score_before >= self.score_came_in
        return self.learner if is_better and self.learner is not None else self.model

    @property
    def score(self) -> float:
        """Its validation score."""
        return max(one for one in (self.score_came_in, self.score_before) if one is not None)


def labels_first(
    model: nn.Module,
    task: Task,
    budget: str | Budget,
    path: Path,
    *,
    minutes: float | None = None,
    meters: Sequence[Gauge] | None = None,
    began: float | None = None,
    storage: str | None = None,
    asked: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
    **settings: Any,
) -> tuple[nn.Module, Task, dict[str, Any]]:
    """The model, its task, and what `Job.of` is told, after the labels of a budget were bought.

    Nothing is done where the budget does not limit labels. The arguments are those of `Job.of`, and
    what it would raise about the budget is raised before anybody is asked.
    """
    model = unwrapped(model)
    limits = checked_limits(budget, model)
    if limits.labels is None:
        return model, task, {}
    check_task(task)
    if storage is not None:
        raise BudgetError(
            "labels<= in the budget is for one machine, and --storage shares a search among "
            "several, of which each would buy its own: buy the labels first, such as by "
            "shoestring.label.Margin(labels=...)(model, task), or leave --storage out"
        )
    checked_meters(limits, meters)
    clock = Clock(seconds_of(limits, minutes), monotonic() if began is None else began, say, asked)
    more = {key: settings[key] for key in ("seed", "ledger", "run", "tell") if key in settings}
    buying = Buying(model, task, folder_of(path), clock, say=say, **more)
    # of the processes of a search, the first one buys
    buy = buying if settings.get("share", (0, 1))[0] == 0 else buying.of_another
    model, task, bought = buy(int(limits.labels))
    return model, task, {"bought": bought, "began": clock.began}
