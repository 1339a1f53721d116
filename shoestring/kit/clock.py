"""The clock of a command: it counts the time left, and stops what runs when the time is up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

ENDING = 0.05
"""The least share of the time that is kept for the end: proving, timing and writing."""
OVER = 0.03
"""The share of the time by which a training may run over."""
MOST_ENDING = 0.3
"""The largest share of the time that is kept for the end."""


class TimeUpError(Exception):
    """The time of the command is up, and what was running was given up."""


@dataclass
class Clock:
    """Counts the seconds of a command, and listens to all progress (see `progress.listening`).

    `seconds`: that the command may take.
    `began`: when it began, by time.monotonic().
    `say`: gets a line that says what runs and how much time is left in all.
    `every`: seconds between two such lines, at least.
    """

    seconds: float
    began: float = field(default_factory=lambda: monotonic())
    say: Callable[[str], None] = lambda text: None
    asked: Callable[[], bool] = lambda: False
    """Whether somebody asked the search to end.

    It is asked besides KeyboardInterrupt, which a callback of a library may lose.
    """
    every: float = 15.0
    what: str = ""
    """What is being tried, for the lines."""
    _last_line: float = field(default_factory=lambda: monotonic())
    _thread: int = field(default_factory=threading.get_ident)

    @property
    def gone(self) -> float:
        """Seconds since the command began."""
        return monotonic() - self.began

    def __post_init__(self) -> None:
        self.ending = ENDING * self.seconds

    def reserve(self, seconds: float) -> None:
        """Keep so many seconds for the end, up to a share of `MOST_ENDING`."""
        self.ending = min(max(self.ending, seconds), MOST_ENDING * self.seconds)

    @property
    def left(self) -> float:
        """Seconds left for trials, without those that are kept for the end."""
        return self.seconds - self.ending - self.gone

    @property
    def is_up(self) -> bool:
        """Whether there is no time for another trial."""
        return self.left <= 0

    def heed(self) -> None:
        """Raise KeyboardInterrupt where somebody asked for the end."""
        if self.asked() and threading.get_ident() == self._thread:
            raise KeyboardInterrupt

    def __call__(self, what: str, done: int, total: int, note: str) -> None:
        """Take note of progress: step `done` of `total` of `what` was made.

        Raises TimeUpError where the time is up, in the thread that made the clock, and what `heed`
        raises.
        """
        self.heed()
        # To run a little over is better than to lose a long training. The time that is kept for the
        # end is not touched.
        if self.left < -OVER * self.seconds and threading.get_ident() == self._thread:
            raise TimeUpError(f"{what} was given up at step {done} of {total}: the time is up")
        now = monotonic()
        if now - self._last_line >= self.every:
            self._last_line = now
            self.say(
                f"    {self.what + ': ' if self.what else ''}{what}, {100 * done // max(total, 1)} "
                f"%, {duration(self.seconds - self.gone)} left in all"
            )

    def rest(self) -> None:
        """Start the count to the next line anew, since another line was just printed."""
        self._last_line = monotonic()


def duration(seconds: float) -> str:
    """Seconds as text, such as "42 s", "1.5 min" or "2.0 h"."""
    seconds = max(seconds, 0)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
