"""What adapting makes a model forget: every other task, before and after."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from shoestring.artifact.html import table
from shoestring.core import Ledger, Task, Technique, apply, score
from shoestring.core.merits import merits


class ForgettingWarning(UserWarning):
    """Adapting cost a model some of what it could do before."""


@dataclass(frozen=True, kw_only=True)
class Ability:
    """A task before and after adapting.

    `name`: of the task.
    `before`, `after`: its score, 0 to 1 for an accuracy; `after` is None where the model cannot be
        asked any more.
    `standard_error`: of the difference; None where the score is not a mean over examples.
    `why`: why the model cannot be asked; "" where it can.
    """

    name: str
    before: float
    after: float | None
    standard_error: float | None = None
    why: str = ""

    @property
    def change(self) -> float | None:
        """After less before; below 0 for what was lost."""
        return None if self.after is None else self.after - self.before

    def is_lost(self, allowed: float) -> bool:
        """Whether more than `allowed` was lost, and more than two standard errors of it."""
        if self.change is None:
            return True
        return -self.change > max(allowed, 2 * (self.standard_error or 0.0))


@dataclass(frozen=True)
class Forgetting:
    """A row for each task: its score before and after."""

    rows: tuple[Ability, ...]

    def lost(self, allowed: float = 0.0) -> tuple[Ability, ...]:
        """The abilities that lost more than `allowed`, 0 or more, and more than chance does."""
        return tuple(row for row in self.rows if row.is_lost(allowed))

    def __str__(self) -> str:
        width = max(len("task"), *(len(row.name) for row in self.rows))
        lines = [f"{'task':{width}}  before   after  change"]
        for row in self.rows:
            before, *rest = _cells(row)[1:]
            lines.append(f"{row.name:{width}}  {before:>6}  {rest[0]:>6}  {rest[1]}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return table(["task", "before", "after", "change"], [_cells(row) for row in self.rows])


def _cells(row: Ability) -> list[str]:
    if row.after is None or row.change is None:
        return [row.name, f"{row.before:.4f}", "none", row.why]
    error = "" if row.standard_error is None else f" ± {row.standard_error:.4f}"
    return [row.name, f"{row.before:.4f}", f"{row.after:.4f}", f"{row.change:+.4f}{error}"]


def forgetting(
    before: nn.Module, after: nn.Module, tasks: Mapping[str, Task], *, split: str = "validation"
) -> Forgetting:
    """The score of every task, by the model as it was and as it is now.

    Where a score is a mean over examples, the standard error is of the paired difference. A model
    that a task cannot ask any more, such as one with a head for other classes, has lost the task,
    and the row says why.

    `before`, `after`: modules.
    `tasks`: by name, 1 or more, such as `task.others()`.
    Raises ValueError without a task, and what a task raises for the model as it was.
    """
    if not tasks:
        raise ValueError("no task: give those that the model could do, as {'old': old_task}")
    return Forgetting(
        tuple(_ability(name, one, before, after, split) for name, one in tasks.items())
    )


def _ability(name: str, task: Task, before: nn.Module, after: nn.Module, split: str) -> Ability:
    was = score(task, before, split)
    try:
        now, error = score(task, after, split), _paired_error(task, before, after, split)
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError) as failure:
        return Ability(name=name, before=was, after=None, why=f"cannot be asked: {failure}")
    return Ability(name=name, before=was, after=now, standard_error=error)


def _paired_error(task: Task, before: nn.Module, after: nn.Module, split: str) -> float | None:
    was, now = merits(task, before, split), merits(task, after, split)
    if was is None or now is None or len(was) != len(now):
        return None
    return float(np.std(now - was) / len(was) ** 0.5)


def adapted(
    technique: Technique,
    model: nn.Module,
    task: Task,
    *,
    allowed: float = 0.0,
    ledger: Ledger | None = None,
    seed: int = 0,
) -> tuple[Any, Forgetting]:
    """(the adapted model, what adapting cost the other tasks), with a warning where it cost them.

    `technique`: `Rehearsal()`, `LearningWithoutForgetting()`, `Frozen()` or any other.
    `task`: a `Keeping`, whose others are scored on validation data before and after.
    `allowed`: what each may lose without a warning, 0 or more, such as 0.01 for a point.
    `ledger`, `seed`: as in `core.apply`.

    Warns with ForgettingWarning, which names what was lost. Raises ValueError for a task that names
    no others, and for an `allowed` below 0.
    """
    if not task.others():
        raise ValueError(
            f"{task.name or 'the task'} names no other tasks: wrap it, as in Keeping(task, "
            "{'old': old_task})"
        )
    if allowed < 0:
        raise ValueError(f"allowed={allowed}: give what may be lost, 0 or more")
    result = apply(technique, model, task.sealed(), ledger=ledger, seed=seed)
    found = forgetting(model, result, task.sealed().others())
    if lost := found.lost(allowed):
        told = "; ".join(
            f"{row.name} {row.before:.3f} to "
            + ("nothing" if row.after is None else f"{row.after:.3f}")
            for row in lost
        )
        warnings.warn(
            f"adapting cost other abilities ({told}): try Rehearsal() with more examples, "
            "LearningWithoutForgetting() with more weight, or Frozen() with a head of its own",
            ForgettingWarning,
            stacklevel=2,
        )
    return result, found
