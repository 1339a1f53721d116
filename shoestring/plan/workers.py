"""Several processes that search together.

Each runs the same search on the same study, and claims what no other is at.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from shoestring.core import Budget, Task
from shoestring.plan.job import Job

WORKER = "--worker"


@contextmanager
def helpers(count: int) -> Iterator[None]:
    """So many more processes with this one's command line, which end when this one does, however it
    ends.
    """
    command = [sys.executable, "-m", "shoestring.cli", *sys.argv[1:], WORKER]
    running = [
        subprocess.Popen(
            [*command, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for place in range(1, count + 1)
    ]
    try:
        yield
    finally:
        if failed := [one.returncode for one in running if one.poll()]:
            warnings.warn(
                f"{len(failed)} of {count} more workers ended early, with status {failed[0]}",
                stacklevel=3,
            )
        for one in running:
            one.kill()
            one.wait()


def join(
    build: Callable[[], tuple[nn.Module, Task]], budget: Budget, path: Path, **settings: Any
) -> None:
    """Search in the study of a command that runs elsewhere, until the time is up or that ends.

    Nothing is delivered.
    """
    threading.Thread(target=_end_with_who_began, daemon=True).start()
    model, task = build()
    Job.of(model, task, budget, path, **settings).search()


def _end_with_who_began() -> None:
    """Wait for the end of standard input, which is the end of the process that holds the other
    side; then stop at once.
    """
    os.read(0, 1)
    os._exit(0)
