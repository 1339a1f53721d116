"""Spending: costs that a step reports while it runs, for the row that `apply` writes."""

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
    """What was reported so far within one `counting()`."""

    _amounts: dict[str, float | None] = field(default_factory=dict)
    _outer: Spending | None = None

    def cost(self) -> Cost:
        """The sums; None for a resource of which some amount was not known."""
        known: dict[str, Any] = {
            name: amount for name, amount in self._amounts.items() if amount is not None
        }
        return Cost(**known)

    def add(self, resource: str, amount: float | None) -> None:
        """Add an amount here and to the enclosing `counting()`."""
        so_far = self._amounts.get(resource, 0)
        self._amounts[resource] = None if so_far is None or amount is None else so_far + amount
        if self._outer is not None:
            self._outer.add(resource, amount)


_open: ContextVar[Spending | None] = ContextVar("spending", default=None)


def spend(resource: str, amount: float | None) -> None:
    """Report that the step that runs now used an amount of a resource.

    A report outside of `apply`, in another thread or in another process, is lost.

    `resource`: a field of Cost that is a cost of getting a model, such as "training_operations".
    `amount`: in the field's unit. None: an unknown amount; the resource is then unmeasured for the
        whole step.

    Raises ValueError for any other resource.
    """
    if resource not in GETTING:
        raise ValueError(
            f"{resource!r} is not what getting a model takes: name one of {', '.join(GETTING)}"
        )
    if (spending := _open.get()) is not None:
        spending.add(resource, amount)


def is_counting() -> bool:
    """Whether a `counting()` is open, so that `spend` has an effect."""
    return _open.get() is not None


@contextmanager
def counting() -> Iterator[Spending]:
    """Sum what `spend` reports within the context; an enclosing `counting()` gets it too."""
    spending = Spending(_outer=_open.get())
    token = _open.set(spending)
    try:
        yield spending
    finally:
        _open.reset(token)
