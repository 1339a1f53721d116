"""apply: run a technique, weigh before and after, write the row."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    """The model that the technique makes of `model`.

    One row per step of a chain is written to the ledger.
    Scores are of the validation split, before and after. The technique sees the sealed task. Each
    step begins with the global generators seeded with `seed`, so that a chain gives what its steps
    give one after the other; the caller's are left as they were. A step that fails leaves a row of
    kind "failed" with what it cost. A step may buy labels of a task that has some for sale, see
    `core.LabelTask`: its row says how many labels the run had to buy for it. A later step has the
    labels too.
    `purchases`: those of the run so far, where several calls are one run; they are added to. Rows
        say the run: `run`, or this process's. Each continues the row before, and the first
        continues `parent`, where there is such a row. `sha256`, where the caller knows it, is that
        of the file of `model`, and the first row says it. A module is taken out of what wraps it
        for training (torch.compile, DataParallel). Raises TypeError for what is no task or no
        module.
    """
    check_task(task)
    model = unwrapped(model)
    sealed = task.sealed()
    purchases = Purchases() if purchases is None else purchases
    steps = technique.techniques if isinstance(technique, Chain) else (technique,)
    with seeded(seed):
        before, score_before, scores_before = _weigh(model, sealed, meters, ledger)
        for step in steps:
            handed = purchases.counted(sealed)
            spent = _Spent(purchases, step)
            said: dict[str, Any] = {
                "technique": repr(step),
                "seed": seed,
                "run": run or run_of_process(),
                "parent": parent,
                "task": sealed.name,
                "model": sha256,
            }
            try:
                with seeded(seed), counting() as spent.said:
                    model = step(model, handed)
            except BaseException as error:
                if ledger is not None:
                    note = f"{type(error).__name__}: {error}"[:500]
                    ledger.append(Row(kind="failed", cost_after=spent.so_far(), note=note, **said))
                raise
            cost, sha256 = spent.so_far(), None
            after, score_after, scores_after = _weigh(model, sealed, meters, ledger)
            if ledger is not None:
                said |= {
                    "score_before": score_before,
                    "score_after": score_after,
                    "cost_before": before,
                }
                said |= {"scores_before": scores_before, "scores_after": scores_after}
                parent = ledger.append(Row(kind="apply", cost_after=after | cost, **said))
            before, score_before, scores_before = after, score_after, scores_after
    return model


def _weigh(
    model: Any, task: Task, meters: Sequence[Meter], ledger: Ledger | None
) -> tuple[Cost, float | None, dict[str, float]]:
    """The cost, the validation score and the scores by name.

    Nothing of these where nobody writes them down.
    """
    if ledger is None:
        return Cost(), None, {}
    cost = Cost()
    for meter in meters:
        cost |= meter(model, task)
    return cost, score(task, model), scores(task, model)


class _Spent:
    """What a step takes to run, from when this was made."""

    def __init__(self, purchases: Purchases, technique: Technique) -> None:
        self.purchases = purchases
        self.settings = settings(
            technique
        )  # before the step: what is no technique fails before it costs anything
        self.bought = len(purchases)
        self.said = Spending()
        self.start, self.busy = perf_counter(), processor_seconds()

    def so_far(self) -> Cost:
        """What was measured from outside, and what the step said itself."""
        return self.said.cost() | Cost(
            seconds=perf_counter() - self.start,
            processor_seconds=processor_seconds() - self.busy,
            settings=self.settings,
            labels=len(self.purchases) - self.bought if self.purchases.sells else None,
        )


def processor_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])
