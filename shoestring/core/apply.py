"""apply: run a technique, weigh before and after, write the row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from shoestring.core.cost import Cost
from shoestring.core.ledger import Ledger, Row
from shoestring.core.meter import Meter
from shoestring.core.task import Task, score
from shoestring.core.technique import Chain, Technique, settings


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global generator seeded within, and as it was after."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def apply(
    technique: Technique,
    model: Any,
    task: Task,
    *,
    meters: Sequence[Meter] = (),
    ledger: Ledger | None = None,
    seed: int = 0,
) -> Any:
    """The model that the technique makes of `model`; one row per step of a chain is written to the ledger.

    Scores are of the validation split, before and after. The technique sees the sealed task, and torch's generator seeded
    with `seed`; the caller's generator is left as it was.
    """
    sealed = task.sealed()
    steps = technique.techniques if isinstance(technique, Chain) else (technique,)
    with seeded(seed):
        before, score_before = _weigh(model, sealed, meters, ledger)
        for step in steps:
            sold, start = _labels(task), perf_counter()
            model = step(model, sealed)
            spent = Cost(seconds=perf_counter() - start, settings=settings(step), labels=_bought(task, sold))
            after, score_after = _weigh(model, sealed, meters, ledger)
            if ledger is not None:
                ledger.append(
                    Row(
                        kind="apply",
                        technique=repr(step),
                        seed=seed,
                        score_before=score_before,
                        score_after=score_after,
                        cost_before=before,
                        cost_after=after | spent,
                    )
                )
            before, score_before = after, score_after
    return model


def _weigh(model: Any, task: Task, meters: Sequence[Meter], ledger: Ledger | None) -> tuple[Cost, float | None]:
    if ledger is None:
        return Cost(), None
    cost = Cost()
    for meter in meters:
        cost |= meter(model, task)
    return cost, score(task, model)


def _labels(task: Task) -> int | None:
    oracle = getattr(task, "oracle", None)
    return None if oracle is None else len(oracle.sold)


def _bought(task: Task, sold: int | None) -> int | None:
    now = _labels(task)
    return None if now is None or sold is None else now - sold
