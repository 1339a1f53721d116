"""Training a model with workers, writing its file, and saying what it took."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from torch import nn

from shoestring.artifact.format.saving import check_place
from shoestring.core import Cost, Ledger, Row, Task, check_task, prove, score, seeded
from shoestring.core.spending import counting
from shoestring.kit import SGD, AdamW, Training, Workers, resuming, save, train
from shoestring.parallel import AllReduced, Asynchronous, Sharded
from shoestring.search import default_training


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """A training that is over, and its file.

    `path`: of the file; None in a program of a group that does not write it.
    `training`: as it was.
    `seconds`: that the steps took; those before an interruption are not among them.
    `cost`: of the training, and the bytes of the file.
    `before`, `after`: validation scores.
    `test`: the test score of the file; None for a task without a test split.
    """

    path: Path | None
    training: Training
    seconds: float
    cost: Cost
    before: float
    after: float
    test: float | None

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "path": None if self.path is None else str(self.path),
            "training": repr(self.training),
            "seconds": self.seconds,
            "cost": self.cost.measured(),
            "score_before": self.before,
            "score_after": self.after,
            "test_score": self.test,
        }

    def as_text(self) -> str:
        """The report as lines."""
        steps, sent = self.training.steps, self.cost.communicated_bytes
        over = f", {sent / 1e6:,.1f} MB between workers" if sent else ""
        tested = "no test split" if self.test is None else f"test score {self.test:.4f}"
        lines = [
            f"{steps:,} steps in {self.seconds:.1f} s ({steps / self.seconds:,.0f} a second){over}",
            f"validation score {self.before:.4f} before, {self.after:.4f} after; {tested}",
        ]
        if self.path is not None:
            lines.append(
                f"{self.path}: {self.cost.bytes:,} bytes; for fewer, give the trained model to "
                "shoestring compress"
            )
        return "\n".join(lines)


def train_job(
    build: Callable[[], tuple[nn.Module, Task]],
    path: Path,
    *,
    steps: int = 2000,
    workers: Workers | None = None,
    seed: int = 0,
    ledger: Ledger | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> TrainingReport:
    """Train a model, write its file, score it, and report.

    The training is that of `default_training`, which needs no tuning. Where workers do not wait,
    its optimizer has no momentum, which would make late gradients last. Until the end, snapshots
    for the same call are in the folder NAME.unfinished; `Sharded` has none.

    `build`: returns (model, task); the model is trained from where it is.
    `path`: of the file. Where programs train together, the first one writes it.
    `steps`: each a gradient of one worker, 1 or more.
    `workers`: who makes the gradients; None for this process alone.
    `ledger`: gets a row of the training, and one of the proof.

    Raises what `train` does, ValueError for steps out of range, and ExportError.
    """
    if steps < 1:
        raise ValueError(f"a training of {steps!r} steps: give 1 or more")
    check_place(path)
    with seeded(seed):
        model, task = build()
        check_task(task)
        before = score(task, model.eval(), "validation")
        training = _with_workers(default_training(model, task, steps).training, workers)
        say(f"{training!r}; validation score before: {before:.4f}")
        folder = path.with_name(f"{path.name}.unfinished")
        began = monotonic()
        with counting() as spending, _resuming(workers, folder):
            train(model.train(), task.sealed(), training)
        seconds = monotonic() - began
        after, cost = score(task, model.eval(), "validation"), spending.cost()
        told: dict[str, Any] = {"training": training, "seconds": seconds, "before": before}
        if not _is_first(workers):
            return TrainingReport(path=None, cost=cost, after=after, test=None, **told)
        cost = replace(cost, seconds=seconds, bytes=save(model.eval(), task, path))
        if ledger is not None:
            row = {"score_before": before, "score_after": after, "cost_after": cost, "seed": seed}
            ledger.append(_row(training, path, task, **row))
        test = prove(path, task, ledger=ledger, seed=seed) if task.has_test else None
    shutil.rmtree(folder, ignore_errors=True)
    return TrainingReport(path=path, cost=cost, after=after, test=test, **told)


def _row(training: Training, path: Path, task: Task, **measured: Any) -> Row:
    """The ledger's row of a training and its file."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Row(
        kind="apply",
        technique=repr(training),
        file=str(path),
        sha256=sha256,
        task=task.name,
        **measured,
    )


def _resuming(workers: Workers | None, folder: Path) -> AbstractContextManager[None]:
    return nullcontext() if isinstance(workers, Sharded) else resuming(folder)


def _is_first(workers: Workers | None) -> bool:
    together = isinstance(workers, AllReduced | Sharded)
    return not together or os.environ.get("RANK", "0") == "0"


def _with_workers(training: Training, workers: Workers | None) -> Training:
    training = replace(training, workers=workers)
    optimizer = training.optimizer
    if isinstance(training.workers, Asynchronous) and isinstance(optimizer, AdamW | SGD):
        return replace(training, optimizer=replace(optimizer, momentum=0.0))
    return training
