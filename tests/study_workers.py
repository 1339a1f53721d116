"""What the processes of the tests of Study do; each is really a process, and is really killed."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

from processes import CONTEXT

from shoestring.kit import Study, Trial
from shoestring.kit.study import alone


def start(target: Callable[..., None], *arguments: object) -> multiprocessing.process.BaseProcess:
    """A process that runs a function of this module."""
    process = CONTEXT.Process(target=target, args=arguments, daemon=False)
    process.start()
    return process


def say(path: Path, line: str) -> None:
    """Append a line to a file, whole even where the process is killed."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(fd, f"{line}\n".encode())
    os.close(fd)


def contents(number: int) -> bytes:
    """The file of a trial."""
    return bytes([number % 256]) * (1000 + number)


def measure(folder: Path, storage: str | None, count: int, said: Path) -> None:
    """Claim and finish trials until all are done.

    A line where one begins and one where it is finished.
    """
    with Study(folder, "model", storage=storage) as study:
        while len(study.trials()) < count:
            for number in range(count):
                if (claim := study.claim(f"T({number})", number % 3)) is None:
                    continue
                say(said, f"begins {number}")
                data = contents(number) if number % 5 == 0 else None
                claim.finish(
                    Trial(technique=f"T({number})", seed=number % 3, score=number / count), data
                )
                say(said, f"finished {number}")


def hold(folder: Path, storage: str | None, said: Path) -> None:
    """Claim a trial and never finish it."""
    study = Study(folder, "model", storage=storage)
    assert study.claim("T(0)", 0) is not None
    say(said, "claimed")
    time.sleep(600)


def hold_lock(folder: Path, said: Path) -> None:
    """Lock the folder, and fork a process that lives on; never let go."""
    with alone(folder):
        child = os.fork()
        if child:
            say(said, str(child))
        time.sleep(600)


def wait_for(said: Path, process: multiprocessing.process.BaseProcess) -> str:
    """The first line that a process says; raises AssertionError where it ends before."""
    for _ in range(90_000):
        if said.exists() and (text := said.read_text()).endswith("\n"):
            return text.splitlines()[0]
        assert process.is_alive(), f"the process ended with {process.exitcode}"
        time.sleep(0.01)
    raise AssertionError("the process said nothing within a quarter of an hour")
