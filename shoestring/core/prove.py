"""prove: load a delivered file, score it on the test split once, and record the score."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shoestring.artifact import load
from shoestring.core.cost import Cost
from shoestring.core.ledger import Ledger, Row
from shoestring.core.task import Task, check_task, score, scores


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The test scores of a file.

    `score`: the task's score.
    `scores`: the scores that the task has by name.
    """

    score: float
    scores: Mapping[str, float]


def prove(
    path: str | Path,
    task: Task,
    *,
    ledger: Ledger | None = None,
    seed: int | None = None,
    note: str = "",
) -> float:
    """The test score of the file at `path`, loaded as its user loads it.

    It informs and decides nothing: limits are decided on validation data. `proof` also returns the
    scores by name.

    `ledger`: gets a row of kind "prove"; None for no record.
    `seed`, `note`: for that row.

    Raises ShoeError for a damaged file, TypeError for an object that is not a task, and ValueError
    for a task without a test split.
    """
    return proof(path, task, ledger=ledger, seed=seed, note=note).score


def proof(
    path: str | Path,
    task: Task,
    *,
    ledger: Ledger | None = None,
    seed: int | None = None,
    note: str = "",
) -> Proof:
    """The same as `prove`, and the scores that the task has by name."""
    check_task(task)
    if not task.has_test:
        raise ValueError("the task has no test split to prove the file on: give it one (test=)")
    path = Path(path)
    data = path.read_bytes()
    predict = load(path)
    result = Proof(score=score(task, predict, "test"), scores=scores(task, predict, "test"))
    if ledger is not None:
        ledger.append(
            Row(
                kind="prove",
                technique="",
                seed=seed,
                score_after=result.score,
                scores_after=result.scores,
                cost_after=Cost(bytes=len(data)),
                file=str(path),
                sha256=hashlib.sha256(data).hexdigest(),
                note=note,
                task=task.name,
            )
        )
    return result
