"""Ending a command on Ctrl-C and SIGTERM, and the message that is printed then.

The message says which files are complete, and whether the same command goes on.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

INTERRUPTED = 130
BEGINS_AGAIN = "the same command begins again"
GOES_ON = "the same command goes on from there"
asked_to_end = Event()
"""Set once a signal asked the command to end; a later error may come from the interruption."""
_message: list[Callable[[], str]] = []


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, and set `asked_to_end` when one of them comes."""

    def end(*_: Any) -> None:
        asked_to_end.set()
        raise KeyboardInterrupt

    _message.clear()
    asked_to_end.clear()
    before = {}
    if threading.current_thread() is threading.main_thread():
        # A terminal that is closed sends SIGHUP; Windows has no such signal.
        hangup = [signal.SIGHUP] if sys.platform != "win32" else []
        for number in (signal.SIGTERM, signal.SIGINT, *hangup):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def if_interrupted(words: Callable[[], str]) -> None:
    """Set the message for an interruption from here on."""
    _message[:] = [words]


def writing(*paths: Path | None, then: Callable[[], str] = lambda: BEGINS_AGAIN) -> None:
    """Set the message for an interruption while these files are written.

    It says whether each file is absent, as it was or complete.
    `then`: returns what the same command would do.
    """
    before = {path: _version(path) for path in paths if path is not None}

    def words() -> str:
        states = []
        for path, version in before.items():
            now = _version(path)
            state = "not there" if now is None else "as it was" if now == version else "whole"
            states.append(f"{path} is {state}")
        return "; ".join([*states, then()])

    if_interrupted(words)


def interruption() -> str:
    """The message for an interruption; "" where the command has printed it."""
    words = _message[0]() if _message else f"nothing was written; {BEGINS_AGAIN}"
    return f"interrupted: {words}" if words else ""


def _version(path: Path) -> tuple[int, int] | None:
    """What distinguishes a file from a later one of that path; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
