"""Ending on Ctrl-C and on SIGTERM alike, and what is said then.

Which file is whole, and whether the same command goes on.
"""

from __future__ import annotations

import signal
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
"""Set once a signal asked the command to end.

What fails after that may have swallowed it (half an import, say).
"""
_told: list[Callable[[], str]] = []


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Within, SIGTERM ends a command as Ctrl-C does, and it is remembered that one of the two came."""

    def end(*_: Any) -> None:
        asked_to_end.set()
        raise KeyboardInterrupt

    _told.clear()
    asked_to_end.clear()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for one in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(one) is not signal.SIG_IGN:
                before[one] = signal.signal(one, end)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def if_interrupted(words: Callable[[], str]) -> None:
    """Have this said where the command is interrupted from here on."""
    _told[:] = [words]


def writing(*paths: Path | None, then: Callable[[], str] = lambda: BEGINS_AGAIN) -> None:
    """Have it said of these files what is there, where the command is interrupted from here on, and
    what the same command does then.
    """
    before = {path: _seen(path) for path in paths if path is not None}

    def words() -> str:
        told = []
        for path, seen in before.items():
            now = _seen(path)
            told.append(
                f"{path} is "
                f"{'not there' if now is None else 'as it was' if now == seen else 'whole'}"
            )
        return "; ".join([*told, then()])

    if_interrupted(words)


def interruption() -> str:
    """What is said of an interruption; "" where the command has said it."""
    words = _told[0]() if _told else f"nothing was written; {BEGINS_AGAIN}"
    return f"interrupted: {words}" if words else ""


def _seen(path: Path) -> tuple[int, int] | None:
    """What tells a file from one that is written later in its place; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
