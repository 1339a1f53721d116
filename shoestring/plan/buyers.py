"""Who buys the labels of a search: the first technique that can serve the task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from torch import nn

from shoestring.core import Task, Technique, seeded
from shoestring.core.labels import label_task
from shoestring.core.view import View
from shoestring.label import Margin, Random
from shoestring.plan.moves import Move, imported_label_techniques, label_techniques

A_ROUND = 10
"""The fewest labels of a round, where so many are bought."""
_OURS = (Margin, Random)
"""Which of our techniques come before the others; the second serves every task."""
_FEW, _CHOSEN = 32, 4
"""Examples of the pool on which a technique is tried, and how many it is to choose of them."""


class _WouldAskError(Exception):
    """A technique that is tried has come to the point where somebody would be asked."""


@runtime_checkable
class _Chooses(Protocol):
    """A technique that can say what it would buy, as those of this package can."""

    def choose(self, model: Any, task: Task, count: int) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class _Rehearsal(View):
    """A task with a small pool, of which nobody is asked anything."""

    _wraps: ClassVar[bool] = True
    _task: Task

    def loss(self, model: Any, batch: Any) -> Any:
        return self._task.loss(model, batch)

    def pool(self) -> np.ndarray:
        return np.asarray(label_task(self._task).pool())[:_FEW]

    def buy(self, indices: Any) -> _Rehearsal:
        raise _WouldAskError


def buyers() -> Iterator[Technique]:
    """The techniques that can be asked to buy labels, in the order in which they are tried.

    Those come first that say so (`first_choice`), and of these one of a third party, which somebody
    imported. The modules of the others are imported when it is their turn.
    """
    first = sorted((one for one in imported_label_techniques() if one.first_choice), key=_order)
    yield from first
    yield from sorted((one for one in label_techniques() if one not in first), key=_order)


def _order(technique: Technique) -> tuple[bool, int, bool, str]:
    own = _OURS.index(type(technique)) if type(technique) in _OURS else len(_OURS)
    third_party = Move(technique).is_third_party
    rank = -1 if technique.first_choice and third_party else own
    return not technique.first_choice, rank, not third_party, repr(technique)


def buyer(model: nn.Module, task: Task, seed: int, say: Callable[[str], None]) -> Technique:
    """The first technique that can choose examples of this task for this model.

    Each is tried on a few examples before anybody is asked. `say` gets a line for each that cannot.
    `task`: sealed. Raises ValueError where none can.
    """
    refused: list[str] = []
    for one in buyers():
        name = type(one).__name__
        if not (why := _refusal(one, model, task, seed)):
            if refused:
                say(f"  {name}() buys the labels in its place")
            return one
        refused.append(f"{name}: {why}")
        say(f"  {name}() cannot choose labels for this task: {why}")
    raise ValueError(
        f"no technique can choose labels for {task.name or 'the task'}: {'; '.join(refused)}"
    )


def _refusal(technique: Technique, model: nn.Module, task: Task, seed: int) -> str:
    """Why a technique cannot choose examples of this task; "" where it can."""
    few = _Rehearsal(task)
    left = label_task(task).left()
    count = min(_CHOSEN, len(few.pool()), _CHOSEN if left is None else left)
    try:
        with seeded(seed):
            if isinstance(technique, _Chooses):
                technique.choose(model, few, count)
            else:  # it is run until it would ask somebody
                sized(technique, count, 1, 1)(model, few)
    except _WouldAskError:
        return ""
    except (ValueError, TypeError, RuntimeError, IndexError) as error:
        return str(error) or type(error).__name__
    return ""


def sized(technique: Technique, labels: int, steps: int, rounds: int) -> Technique:
    """The technique, set to buy so many labels in so many rounds at most, with so many steps each.

    `steps`: of the training in each round.
    """
    made: Any = technique
    has = {one.name for one in fields(made)}
    changes: dict[str, Any] = {"labels": labels}
    if "rounds" in has:
        changes["rounds"] = max(1, min(made.rounds, labels // A_ROUND, rounds))
    if "training" in has:
        changes["training"] = replace(made.training, steps=steps)
    return replace(made, **changes)
