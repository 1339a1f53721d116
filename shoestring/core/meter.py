"""Meter: reads part of a Cost off a model or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol

from shoestring.core.cost import Cost
from shoestring.core.task import Task


class Meter(Protocol):
    """Called with a module or the path of a `.shoe` file, and the task.

    Returns the part of the Cost that it measures.
    """

    def __call__(self, subject: Any | Path, task: Task) -> Cost: ...


class Gauge(Meter, Protocol):
    """A meter that says what it reads, so that a planner knows which limit it serves.

    All of `shoestring.meters` are.
    """

    measures: ClassVar[str]
    """The field of Cost that it reads."""

    def why_not(self) -> str | None:
        """Why nothing can be read on this machine; None where it can."""
        ...
