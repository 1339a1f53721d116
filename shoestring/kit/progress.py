"""Progress with the time left, on standard error.

A bar in a terminal, plain lines elsewhere, nothing for what is quick.
The lines also go to the logger "shoestring", at INFO; where that writes them to the console, they
are not printed besides.
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
LOG.addHandler(logging.NullHandler())  # silent, unless the program that uses us asks for it
QUIET_SECONDS = 2.0
LINE_SECONDS = 10.0
_bar = None  # the bar on show: what runs within it adds a line to it
Listener = Callable[[str, int, int, str], None]
"""What is told of each step of whatever runs.

What it is, how many steps are done, of how many, and a word about how it goes.
"""
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within, all progress is told to the listener and nothing is printed.

    What the listener raises ends what runs.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def is_heard() -> bool:
    """Whether a listener is told of what runs: a planner, who has looked at the model before."""
    return _listener.get() is not None


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Yields a function to call after each of `total` steps, with a word about how it goes ("" for
    none).
    """
    listener = _listener.get()
    if listener is not None:
        yield _told(listener, what, total)
        return
    is_bar = sys.stderr.isatty() and not logs_to_console()  # whose lines would break through a bar
    with _rich(what, total) if is_bar else _plain(what, total) as advance:
        yield advance


def logs_to_console() -> bool:
    """Whether what is logged at INFO is written to standard output or standard error."""
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
    """What makes a line of a word after each step, "" for most.

    One in `LINE_SECONDS`, from `QUIET_SECONDS` on.
    """
    start = said = monotonic()
    done = 0

    def line(note: str) -> str:
        nonlocal done, said
        done += 1
        now = monotonic()
        if now - start <= QUIET_SECONDS or now - said <= LINE_SECONDS:
            return ""
        said = now
        left = (now - start) / done * (total - done)
        return f"{what}: {done} of {total}{', ' + note if note else ''}, {left:.0f} s left"

    return line


def _told(listener: Listener, what: str, total: int) -> Callable[[str], None]:
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
