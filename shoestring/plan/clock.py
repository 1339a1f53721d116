"""The time of a whole command: what is left of it, and who says so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

ENDING = 0.05
"""The share of the time that is kept for the end at least: proving, timing, writing."""
OVER = 0.03
"""The share of the time that a training may go on for when the time for it is up."""
MOST_ENDING = 0.3
"""The share that is kept for it at most."""


class TimeUpError(Exception):
    """What was running was given up, since the time of the command is up."""


@dataclass
class Clock:
    """Counts from `began` (of time.monotonic()) to `seconds` later.

    It listens to all progress: see `kit.progress.listening`.
    `say` is told now and then, in words, what runs and how much time is left in all; every `every`
    seconds at most.
    """

    seconds: float
    began: float = field(default_factory=lambda: monotonic())
    say: Callable[[str], None] = lambda text: None
    asked: Callable[[], bool] = lambda: False
    """Whether somebody asked the search to end.

    A KeyboardInterrupt may be lost, in a callback of a library's.
    """
    every: float = 15.0
    what: str = ""
    """What is being tried, in words."""
    _said: float = field(default_factory=lambda: monotonic())
    _thread: int = field(default_factory=threading.get_ident)

    @property
    def gone(self) -> float:
        """Seconds since the command began."""
        return monotonic() - self.began

    def __post_init__(self) -> None:
        self.ending = ENDING * self.seconds

    def reserve(self, seconds: float) -> None:
        """Keep so many seconds for the end, as far as that leaves enough for the search."""
        self.ending = min(max(self.ending, seconds), MOST_ENDING * self.seconds)

    @property
    def left(self) -> float:
        """Seconds for trials: without those that the end takes."""
        return self.seconds - self.ending - self.gone

    @property
    def is_up(self) -> bool:
        """Whether there is no time for another trial."""
        return self.left <= 0

    def heed(self) -> None:
        """Raises KeyboardInterrupt where somebody asked for the end."""
        if self.asked() and threading.get_ident() == self._thread:
            raise KeyboardInterrupt

    def __call__(self, what: str, done: int, total: int, note: str) -> None:
        """A step of whatever runs was done.

        Raises TimeUpError where the time is up, in the thread that made the clock.
        """
        self.heed()
        # A little over is better than nothing to show for a long training; what the end takes is
        # kept for it all the same.
        if self.left < -OVER * self.seconds and threading.get_ident() == self._thread:
            raise TimeUpError(f"{what} was given up at step {done} of {total}: the time is up")
        now = monotonic()
        if now - self._said >= self.every:
            self._said = now
            self.say(
                f"    {self.what + ': ' if self.what else ''}{what}, "
                f"{100 * done // max(total, 1)} %, {told(self.seconds - self.gone)} left in all"
            )

    def rest(self) -> None:
        """Start the count to the next word anew: something else was just said."""
        self._said = monotonic()


def told(seconds: float) -> str:
    """Seconds in words."""
    seconds = max(seconds, 0)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
