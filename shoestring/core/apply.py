"""apply: run a technique, measure before and after, write the row."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any

from shoestring.core.cost import Cost
from shoestring.core.labels import Purchases
from shoestring.core.ledger import Ledger, Row, run_of_process
from shoestring.core.meter import Meter
from shoestring.core.model import unwrapped
from shoestring.core.spending import Spending, counting
from shoestring.core.task import Task, check_task, score, scores, seeded
from shoestring.core.technique import Chain, Technique, settings


def apply(
    technique: Technique,
    model: Any,
    task: Task,
    *,
    meters: Sequence[Meter] = (),
    ledger: Ledger | None = None,
    seed: int = 0,
    run: str | None = None,
    parent: int | None = None,
    sha256: str | None = None,
    purchases: Purchases | None = None,
) -> Any:
    """Run a technique on a model, and write one row to the ledger for each step of a chain.

    Returns the new model. The technique sees the sealed task. A model that torch.compile or
    DataParallel wraps is unwrapped first. Each step begins with the global generators seeded
    with `seed`, so that a chain equals its steps one after the other; the caller's generators are
    restored. A step that fails leaves a row of kind "failed" with its cost so far, and one that is
    interrupted a row of kind "interrupted"; a killed process leaves no row of it. A step may buy
    labels of a task that sells them (`core.LabelTask`): its row has the number, and later steps
    have the labels too.

    `meters`: what the costs before and after are measured with.
    `ledger`: where the rows are written, with validation scores before and after; None for nowhere.
    `run`: the id of the run in the rows; None for the id of this process.
    `parent`: the id of the row that the first row continues; each later row continues the last.
    `sha256`: the digest of the file of `model`, for the first row, where the caller knows it.
    `purchases`: what the run has bought so far, where several calls are one run; it is added to.

    Raises TypeError for an object that is not a task or not a module.
    """
    check_task(task)
    model = unwrapped(model)
    sealed = task.sealed()
    purchases = Purchases() if purchases is None else purchases
    steps = technique.techniques if isinstance(technique, Chain) else (technique,)
    with seeded(seed):
        before, score_before, scores_before = _weigh(model, sealed, meters, ledger)
        for step in steps:
            counted = purchases.counted(sealed)
            spent = Spent(purchases, settings(step))  # no technique: fails here, at no cost
            row: dict[str, Any] = {
                "technique": repr(step),
                "seed": seed,
                "run": run or run_of_process(),
                "parent": parent,
                "task": sealed.name,
                "model": sha256,
            }
            with noting_failure(spent, ledger, row):
                model, cost, sha256 = spent.by(step, model, counted, seed), spent.so_far(), None
                after, score_after, scores_after = _weigh(model, sealed, meters, ledger)
            if ledger is not None:
                row |= {"score_before": score_before, "score_after": score_after}
                row |= {"scores_before": scores_before, "scores_after": scores_after}
                row |= {"cost_before": before, "cost_after": after | cost}
                parent = ledger.append(Row(kind="apply", **row))
            before, score_before, scores_before = after, score_after, scores_after
    return model


@contextmanager
def noting_failure(spent: Spent, ledger: Ledger | None, row: dict[str, Any]) -> Iterator[None]:
    """A context whose error leaves a row of kind "failed" or "interrupted"."""
    try:
        yield
    except BaseException as error:
        if ledger is not None:
            kind = "failed" if isinstance(error, Exception) else "interrupted"
            note = f"{type(error).__name__}: {error}"[:500]
            failed = Row(kind=kind, cost_after=spent.so_far(), note=note, **row)
            with suppress(OSError, ValueError):  # the first error is the one to report
                ledger.append(failed)
        raise


def _weigh(
    model: Any, task: Task, meters: Sequence[Meter], ledger: Ledger | None
) -> tuple[Cost, float | None, dict[str, float]]:
    """The cost, the validation score and the scores by name; empty without a ledger."""
    if ledger is None:
        return Cost(), None, {}
    cost = Cost()
    for meter in meters:
        cost |= meter(model, task)
    return cost, score(task, model), scores(task, model)


class Spent:
    """What a step costs to run, measured from when this object is made.

    `purchases`: what the run buys. `settings`: how many a person had to choose.
    """

    def __init__(self, purchases: Purchases, settings: int) -> None:
        self.purchases, self.settings = purchases, settings
        self.bought = len(purchases)
        self.reported = Spending()
        self.start, self.busy = perf_counter(), processor_seconds()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """A context of the step, in which `spend` reports to this."""
        with counting() as self.reported:
            yield

    def by(self, step: Technique, model: Any, task: Task, seed: int) -> Any:
        """The model that a step makes."""
        with seeded(seed), self.counted():
            return step(model, task)

    def so_far(self) -> Cost:
        """What was measured from outside, and what the step reported with `spend`."""
        return self.reported.cost() | Cost(
            seconds=perf_counter() - self.start,
            processor_seconds=processor_seconds() - self.busy,
            settings=self.settings,
            labels=len(self.purchases) - self.bought if self.purchases.sells else None,
        )


def processor_seconds() -> float:
    """The processor seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])
