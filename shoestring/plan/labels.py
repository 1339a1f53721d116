"""The labels that a search buys at its beginning, and the model that learnt from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any, ClassVar

from torch import nn

from shoestring.core import (
    Budget,
    BudgetError,
    Gauge,
    Ledger,
    Task,
    Technique,
    apply,
    check_task,
    score,
    seeded,
    unwrapped,
)
from shoestring.core.labels import checked_indices, label_task
from shoestring.core.technique import gist
from shoestring.core.view import View
from shoestring.kit import Training, clone, export, listening, resuming, train
from shoestring.plan.bought import Bought
from shoestring.plan.checks import checked_limits, checked_meters, seconds_of
from shoestring.plan.clock import Clock, TimeUpError
from shoestring.plan.folder import folder_of
from shoestring.plan.label_store import LabelStore
from shoestring.plan.moves import Move, label_techniques, round_steps
from shoestring.plan.training_time import step_seconds

SHARE = 0.3
"""The share of the time that choosing labels and training on them may take.

Half of it goes into the rounds in which labels are chosen, half into the trainings that are scored.
"""
ROUND_STEPS, LAST_STEPS = (20, 500), (50, 2000)
"""Steps of training in a round, and at the end: the fewest and the most."""
_POLL = 0.2
"""Seconds between two looks at what another process has bought."""
A_ROUND = 10
"""The fewest labels of a round, where so many are bought."""


@dataclass(frozen=True, eq=False)
class Keeping(View):
    """A task that writes down each label that is bought of it.

    `_most`: how many labels may be bought.
    """

    _wraps: ClassVar[bool] = True
    _task: Task
    _store: LabelStore
    _chooser: str
    _most: int
    _heard: Callable[[float, int], None]

    def __getattr__(self, name: str) -> Any:
        if name in ("answer", "_pool"):
            raise AttributeError(f"{name}: a search gets labels with buy(), which keeps them")
        return super().__getattr__(name)

    def loss(self, model: Any, batch: Any) -> Any:
        return self._task.loss(model, batch)

    def left(self) -> int:
        left = label_task(self._task).left()
        return self._most if left is None else min(left, self._most)

    def buy(self, indices: Any) -> Keeping:
        inner, wanted = label_task(self._task), checked_indices(indices)
        pool = {int(index) for index in inner.pool()}
        fresh = [index for index in dict.fromkeys(wanted) if index in pool]
        began = monotonic()
        bought = inner.buy(wanted)
        if fresh:
            self._store.add(fresh, bought.labels(fresh), self._chooser)
            self._heard(monotonic() - began, len(fresh))
        return replace(self, _task=bought, _most=self._most - len(fresh))


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
        Raises BudgetError where the task sells none, and where the time is up before the end.
        """
        most, fewer = sold(self.task, budget)
        if not most:
            return self.model, self.task, Bought(labels=0)
        sealed = label_task(self.task.sealed())
        sealed.recalled([], [])  # raises TypeError before anybody is asked
        export(self.model, self.task.sealed())  # and what no file can be made of costs no label
        store = LabelStore.of(self.folder, sealed, self.say)
        store.judge_by(sealed, self.model)
        before = len(store)
        if fewer:
            self.say(f"  labels<={budget:,}: {fewer}, so that is what is bought in all")
        if before:
            self.say(
                f"  {min(before, most):,} of the {before:,} labels that were bought before are "
                "used again"
            )
        try:
            with listening(self.clock):
                steps = store.settle(self._steps(sealed))
                if before < most:
                    self._buy(store, most, steps[0])
                store.finish(most)
                return self._trained(store, min(len(store), most), before, steps[1])
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
        while (store := LabelStore.of(self.folder, sealed, lambda text: None)).finished < most:
            sleep(_POLL)
        count = min(len(store), most)
        assert store.steps is not None  # they are settled before a label is bought
        return self._trained(store, count, count, store.steps[1])

    def _steps(self, task: Task) -> tuple[int, int]:
        """Steps of training in a round and at the end, by the time that there is."""
        step = step_seconds(self.model, _OnValidation(task), self.seed)
        half = SHARE * max(self.clock.left, 0.0) / max(step, 1e-9) / 2
        in_a_round, at_the_end = (
            round_steps(min(max(half / count, least), most))
            for count, (least, most) in ((6, ROUND_STEPS), (2, LAST_STEPS))
        )
        return in_a_round, at_the_end

    def _buy(self, store: LabelStore, most: int, steps: int) -> None:
        """Buy until there are `most` labels, by the technique that is chosen for it."""
        task = label_task(self.task)
        if len(store):
            task = task.recalled(*store.first(len(store)))
        missing = most - len(store)
        known = label_techniques()
        technique = sized(chosen(known), missing, steps)
        name = gist(repr(technique))
        self.say(
            f"  buying {missing:,} labels by {name}, the first choice of {len(known)} techniques, "
            "since to compare them would cost labels"
        )

        def heard(seconds: float, count: int) -> None:
            self.waited += seconds
            self.clock.began += seconds
            self.say(f"    {len(store):,} of {most:,} labels are bought and kept")
            self.tell({"event": "labels", "bought": len(store), "of": most})

        with store.room(missing, task):
            apply(
                technique,
                self.model,
                Keeping(task, store, type(technique).__name__, missing, heard),
                ledger=self.ledger,
                seed=self.seed,
                run=self.run,
            )
        if len(store) < most:
            self.say(f"  {name} chose {len(store):,} labels in all, and {most:,} were allowed")

    def _trained(
        self, store: LabelStore, count: int, before: int, steps: int
    ) -> tuple[nn.Module, Task, Bought]:
        """The better of the model that came in and the one trained with the labels."""
        task = label_task(self.task)
        known, labelled = len(task.known()), task
        if count:
            labelled = task.recalled(*store.first(count))
        scores: dict[str, float | None] = {"score_before": None}
        scores["score_came_in"] = score(self.task.sealed(), self.model)
        if known:
            _, scores["score_before"] = self._learner(task, steps, "labels that came with the task")
        learner, after = self._learner(labelled, steps, "labels", store.path)
        kept = scores["score_came_in"] > after
        bought = Bought(
            labels=count,
            fresh=max(count - before, 0),
            known=known,
            by=store.choosers(count),
            score_after=after,
            kept=kept,
            waited=self.waited,
            digest=store.digest(count),
            **scores,
        )
        self.say(f"  {bought}")
        self.tell({"event": "labels bought", **bought.as_json()})
        return self.model if kept else learner, labelled, bought

    def _learner(
        self, task: Task, steps: int, what: str, path: Path | None = None
    ) -> tuple[nn.Module, float]:
        """A copy of the model that came in, trained on a task, and its validation score."""
        sealed = task.sealed()
        try:
            with resuming(self.folder / "labels"), seeded(self.seed):
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


def with_labels(
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


def chosen(techniques: Sequence[Technique]) -> Technique:
    """The technique that buys the labels of a search: one that says that it comes first.

    Of several, one of a third party, which somebody imported, comes before ours.
    """
    first = [one for one in techniques if one.first_choice] or list(techniques)
    return min(first, key=lambda one: not Move(one).is_third_party)


def sized(technique: Technique, labels: int, steps: int) -> Technique:
    """The technique, set to buy so many labels and to train for so many steps in each round."""
    made: Any = technique
    has = {one.name for one in fields(made)}
    changes: dict[str, Any] = {"labels": labels}
    if "rounds" in has:
        changes["rounds"] = max(1, min(made.rounds, labels // A_ROUND))
    if "training" in has:
        changes["training"] = replace(made.training, steps=steps)
    return replace(made, **changes)
