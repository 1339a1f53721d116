"""The rows of a ledger that say what labels cost and what they brought."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shoestring.core import Ledger, Purchases, Row
from shoestring.core.apply import Spent, noting_failure
from shoestring.core.ledger import run_of_process


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
        spent, after = Spent(purchases, settings), list[float]()
        row: dict[str, Any] = {
            "technique": technique,
            "seed": self.seed,
            "run": self.run or run_of_process(),
            "task": self.task,
        }
        with noting_failure(spent, self.ledger, row), spent.counted():
            yield after.append
        if self.ledger is not None and after:
            row |= {"score_before": before, "score_after": after[-1]}
            self.ledger.append(Row(kind="apply", cost_after=spent.so_far(), **row))
