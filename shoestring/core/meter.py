"""Meter: reads part of a Cost off a model or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from shoestring.core.cost import Cost
from shoestring.core.task import Task


class Meter(Protocol):
    """Called with a module or the path of a `.shoe` file, and the task; returns the part of the Cost that it measures.

    The classes of `shoestring.meters` name that part, a field of Cost, as `measures`.
    """

    def __call__(self, subject: Any | Path, task: Task) -> Cost: ...
