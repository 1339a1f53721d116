"""Meter: measures part of the Cost of a model or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from shoestring.core.cost import Cost
from shoestring.core.task import Task


class Meter(Protocol):
    """A callable that takes a module or the path of a `.shoe` file, and the task.

    It returns a Cost with the fields that it measures.
    """

    def __call__(self, subject: Any | Path, task: Task) -> Cost: ...


class Gauge(Meter, Protocol):
    """A meter that declares what it measures, so that a planner knows which limit it serves.

    All meters in `shoestring.meters` do.
    """

    measures: ClassVar[str]
    """The field of Cost that it measures."""

    def why_not(self) -> str | None:
        """Why it cannot measure on this machine; None where it can."""
        ...
