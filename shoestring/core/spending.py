"""Spending: what a step says itself of what it took, while it runs, for the row that `apply`
writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, final

from shoestring.core.cost import Cost
from shoestring.core.resource import GETTING


@final
@dataclass(eq=False)
class Spending:
    """What has been said so far within one `counting()`."""

    _amounts: dict[str, float | None] = field(default_factory=dict)
    _outer: Spending | None = None

    def cost(self) -> Cost:
        """What was spent; None of a resource of which an amount was not known."""
        known: dict[str, Any] = {
            name: amount for name, amount in self._amounts.items() if amount is not None
        }
        return Cost(**known)

    def add(self, resource: str, amount: float | None) -> None:
        """Add to this and to what is around it."""
        so_far = self._amounts.get(resource, 0)
        self._amounts[resource] = None if so_far is None or amount is None else so_far + amount
        if self._outer is not None:
            self._outer.add(resource, amount)


_open: ContextVar[Spending | None] = ContextVar("spending", default=None)


def spend(resource: str, amount: float | None) -> None:
    """Say that the step that runs now took so much of a resource, a field of Cost such as
    "training_operations".

    None: it took some, and nobody knows how much; the whole of the step is unmeasured then. What is
    said outside of `apply`, in another thread or in another process, is lost. Raises ValueError for
    what is no field of a Cost that is of getting a model.
    """
    if resource not in GETTING:
        raise ValueError(
            f"{resource!r} is not what getting a model takes: name one of {', '.join(GETTING)}"
        )
    if (spending := _open.get()) is not None:
        spending.add(resource, amount)


def is_counting() -> bool:
    """Whether what `spend` is told reaches anybody."""
    return _open.get() is not None


@contextmanager
def counting() -> Iterator[Spending]:
    """Within, what `spend` is told is added up; what is counted within another is part of that too."""
    spending = Spending(_outer=_open.get())
    token = _open.set(spending)
    try:
        yield spending
    finally:
        _open.reset(token)
