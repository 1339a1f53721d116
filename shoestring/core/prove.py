"""prove: load a delivered file, score it on the test split, once, and write that down."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shoestring.artifact import load
from shoestring.core.cost import Cost
from shoestring.core.ledger import Ledger, Row
from shoestring.core.task import Task, check_task, score


def prove(
    path: str | Path,
    task: Task,
    *,
    ledger: Ledger | None = None,
    seed: int | None = None,
    note: str = "",
) -> float:
    """The test score of the file at `path`, as its user will get it.

    A row of kind "prove" goes to the ledger.
    It informs and decides nothing: limits are decided on validation data. Raises ShoeError for a
    damaged file, TypeError for what is no task.
    """
    check_task(task)
    path = Path(path)
    data = path.read_bytes()
    value = score(task, load(path), "test")
    if ledger is not None:
        ledger.append(
            Row(
                kind="prove",
                technique="",
                seed=seed,
                score_after=value,
                cost_after=Cost(bytes=len(data)),
                file=str(path),
                sha256=hashlib.sha256(data).hexdigest(),
                note=note,
                task=task.name,
            )
        )
    return value
