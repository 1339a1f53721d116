"""The rows of a ledger that say what labels cost and what they brought."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from shoestring.core import Cost, Ledger, Purchases, Row
from shoestring.core.apply import processor_seconds
from shoestring.core.ledger import run_of_process
from shoestring.core.spending import counting


@dataclass(frozen=True, kw_only=True)
class LabelRows:
    """Writes the rows of the trainings by which the worth of labels is told.

    `ledger`: None for nowhere. `run`: the id of the run; None for that of the process.
    `task`: its name.
    """

    ledger: Ledger | None
    run: str | None
    seed: int
    task: str

    @contextmanager
    def row(
        self, technique: str, before: float, purchases: Purchases, settings: int = 0
    ) -> Iterator[Callable[[float], None]]:
        """A context that leaves a row, with what passed in it as its cost.

        It gives a function that takes the validation score at the end. Without a call of it, no row
        is written; an error leaves a row of kind "failed" or "interrupted".

        `technique`: its repr. `before`: the validation score before.
        `purchases`: the labels that are bought in the context.
        """
        start, busy, after = perf_counter(), processor_seconds(), list[float]()
        row = Row(
            kind="apply",
            technique=technique,
            seed=self.seed,
            run=self.run or run_of_process(),
            task=self.task,
            score_before=before,
        )
        with counting() as reported:

            def ended(**more: Any) -> Row:
                cost = reported.cost() | Cost(
                    seconds=perf_counter() - start,
                    processor_seconds=processor_seconds() - busy,
                    settings=settings,
                    labels=len(purchases) if purchases.sells else None,
                )
                return replace(row, cost_after=cost, **more)

            try:
                yield after.append
            except BaseException as error:
                kind = "failed" if isinstance(error, Exception) else "interrupted"
                note = f"{type(error).__name__}: {error}"[:500]
                if self.ledger is not None:
                    with suppress(OSError, ValueError):  # the first error is the one to report
                        self.ledger.append(ended(kind=kind, note=note, score_before=None))
                raise
            if self.ledger is not None and after:
                self.ledger.append(ended(score_after=after[-1]))
