"""Several processes that search together: each runs the same search on the same study, and claims what no other is at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import nn

from shoestring.core import Budget, Task
from shoestring.plan.compress import Job

WORKER = "--worker"


@contextmanager
def helpers(count: int) -> Iterator[None]:
    """So many more processes with this one's command line, which end when this one does."""
    command = [sys.executable, "-m", "shoestring.cli", *sys.argv[1:], WORKER]
    running = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
    finally:
        for one in running:
            one.terminate()
        for one in running:
            with suppress(subprocess.TimeoutExpired):
                one.wait(10)
            one.kill()


def join(build: Callable[[], tuple[nn.Module, Task]], budget: Budget, path: Path, **settings: Any) -> None:
    """Search in the study of a command that runs elsewhere, until the time is up; nothing is delivered."""
    model, task = build()
    Job.of(model, task, budget, path, **settings).search()
