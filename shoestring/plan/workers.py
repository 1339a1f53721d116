"""Several processes that search together, each on trials that no other is making."""

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
from shoestring.plan.before import data_first
from shoestring.plan.job import Job

_ENDING_SECONDS = 5.0
"""The time that a process has to end by itself before it is killed."""
WORKER = "--worker"
"""The option that makes a process a worker of another."""


@contextmanager
def helpers(count: int) -> Iterator[None]:
    """A context in which so many more processes run with the command line of this one.

    They end when this process ends, however it ends. Warns where some ended before the context.
    """
    command = [sys.executable, "-m", "shoestring.cli", *sys.argv[1:], WORKER]
    running = [
        subprocess.Popen(
            [*command, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(1, count + 1)
    ]
    try:
        yield
    finally:
        if failed := [process.returncode for process in running if process.poll()]:
            warnings.warn(
                f"{len(failed)} of {count} more workers ended early, with status {failed[0]}",
                stacklevel=3,
            )
        for process in running:  # so that each gives back what it was about to measure
            process.terminate()
        for process in running:
            try:
                process.wait(_ENDING_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def join(
    build: Callable[[], tuple[nn.Module, Task]], budget: Budget, path: Path, **settings: Any
) -> None:
    """Search in the study of another process, until the time is up or that process ends.

    No file is delivered. The arguments are those of `compress`.
    """
    end_with_parent()
    model, task = build()
    model, task, found = data_first(model, task, budget, path, **settings)
    Job.of(model, task, budget, path, **{**settings, **found}).search()


def end_with_parent() -> None:
    """Stop this process, from now on, once the process that holds standard input's end is gone."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    os.read(0, 1)
    os._exit(0)
