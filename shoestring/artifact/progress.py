"""Progress with the time left, on standard error.

It is a bar in a terminal, plain lines elsewhere, and nothing for work of a few seconds. The lines
also go to the logger "shoestring" at INFO; they are not printed where that logger writes to the
console.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Any

LOG = logging.getLogger("shoestring")
LOG.addHandler(logging.NullHandler())  # silent, unless the calling program configures it
QUIET_SECONDS = 2.0
"""No line is printed before this time."""
LINE_SECONDS = 10.0
"""The time between two lines."""
_bar = None  # the bar that is displayed; nested work adds a line to it
Listener = Callable[[str, int, int, str], None]
"""Called after each step: (what runs, steps done, steps in all, a note)."""
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send all progress within the context to a listener, and print nothing.

    An exception of the listener ends the work.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def is_heard() -> bool:
    """Whether a listener is set, such as a planner's."""
    return _listener.get() is not None


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Yield a function to call after each of `total` steps, with a note ("" for none).

    `what`: names the work.
    """
    listener = _listener.get()
    if listener is not None:
        yield _notifier(listener, what, total)
        return
    is_bar = sys.stderr.isatty() and not logs_to_console()  # log lines would break the bar
    with _rich(what, total) if is_bar else _plain(what, total) as advance:
        yield advance


def tell(text: str) -> None:
    """Say what a technique did, in one line, where progress goes; a listener does not get it."""
    if is_heard():
        return
    LOG.info(text)
    if _bar is not None:
        _bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
    elif not logs_to_console():
        print(text, file=sys.stderr, flush=True)


def logs_to_console() -> bool:
    """Whether the logger writes INFO to standard output or standard error."""
    if not LOG.isEnabledFor(logging.INFO):
        return False
    logger: logging.Logger | None = LOG
    while logger is not None:
        for handler in logger.handlers:
            console = isinstance(handler, logging.StreamHandler) and handler.stream in _consoles()
            if console and handler.level <= logging.INFO:
                return True
        logger = logger.parent if logger.propagate else None
    return False


def _consoles() -> tuple[Any, ...]:
    return sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__


def lines_of(what: str, total: int) -> Callable[[str], str]:
    """A function to call after each step with a note; it returns a line, or "" for most steps.

    It returns one line in `LINE_SECONDS`, from `QUIET_SECONDS` on.
    """
    start = last = monotonic()
    done = 0

    def line(note: str) -> str:
        nonlocal done, last
        done += 1
        now = monotonic()
        if now - start <= QUIET_SECONDS or now - last <= LINE_SECONDS:
            return ""
        last = now
        left = (now - start) / done * (total - done)
        return f"{what}: {done} of {total}{', ' + note if note else ''}, {left:.0f} s left"

    return line


def _notifier(listener: Listener, what: str, total: int) -> Callable[[str], None]:
    """A function to call after each step, which calls the listener."""
    done = 0

    def advance(note: str) -> None:
        nonlocal done
        done += 1
        listener(what, done, total, note)

    return advance


@contextmanager
def _plain(what: str, total: int) -> Iterator[Callable[[str], None]]:
    line_of = lines_of(what, total)

    def advance(note: str) -> None:
        if line := line_of(note):
            LOG.info(line)
            if not logs_to_console():
                print(line, file=sys.stderr, flush=True)

    yield advance


@contextmanager
def _rich(what: str, total: int) -> Iterator[Callable[[str], None]]:
    global _bar
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    outer = _bar
    bar = outer or Progress(
        *columns, console=Console(stderr=True), transient=True, refresh_per_second=4
    )
    if outer is None:
        bar.start()
        _bar = bar
    line = bar.add_task(what, total=total, note="")
    line_of = lines_of(what, total)

    def advance(note: str) -> None:
        bar.update(line, advance=1, note=note)
        if text := line_of(note):
            LOG.info(text)

    try:
        yield advance
    finally:
        bar.remove_task(line)
        if outer is None:
            bar.stop()
            _bar = None
