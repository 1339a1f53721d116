"""The lock of the one command that works in a folder and delivers from it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from time import sleep

from shoestring.artifact.format.names import LOCK
from shoestring.artifact.locks import FileLock, is_held
from shoestring.kit.study.trial import StudyHeld, explained_when_full
from shoestring.kit.study.worker import command, host

_LOOKS = 20  # at a lock that is being written


@contextmanager
def alone(folder: Path, instead: str = "name another folder") -> Iterator[None]:
    """Hold the lock of the command that works on a study's folder and delivers from it.

    Processes that only claim need no lock. The kernel releases it when the process ends in any way.

    `instead`: what else the user of a second command can do.

    Raises StudyHeld where another command has it; the message says which. Raises OSError where the
    folder cannot be written.
    """
    path = folder / LOCK
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    holder = {
        "process": os.getpid(),
        "host": host().split()[0],
        "since": since,
        "command": command(),
    }
    try:
        with explained_when_full(f"a lock in {folder}"):
            lock = FileLock(path, json.dumps(holder))
    except BlockingIOError:
        raise _held(folder, instead) from None
    except PermissionError as error:
        raise type(error)(
            error.errno, f"{folder} cannot be written ({error.strerror}): allow it, or {instead}"
        ) from error
    try:
        yield
    finally:
        lock.delete()


def check_free(folder: Path, instead: str) -> None:
    """Raise StudyHeld where a command works on a folder; it may end or begin right after.

    It tells a second command before it loads anything; `alone` decides.
    """
    if is_held(folder / LOCK):
        raise _held(folder, instead)


def _held(folder: Path, instead: str) -> StudyHeld:
    return StudyHeld(
        f"{_holder(folder / LOCK)} works in {folder}: wait until it ends, or {instead}"
    )


def _holder(path: Path) -> str:
    """The holder of the lock, in words."""
    for _ in range(_LOOKS):
        try:
            holder = json.loads(path.read_text())
            return (
                f"process {holder['process']} on {holder['host']} ({holder['command']}), since "
                f"{holder['since']},"
            )
        except (OSError, ValueError, KeyError, TypeError):  # the file is being written
            sleep(0.01)
    return "another command"
