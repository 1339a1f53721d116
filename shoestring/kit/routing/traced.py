"""How networks that choose rows are run while their structure is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_whole: ContextVar[bool] = ContextVar("whole", default=False)


@contextmanager
def every_row() -> Iterator[None]:
    """Within, in evaluation mode, every part of a network is computed for every row.

    A mixture adds up all its experts, with a weight above 0 for each. A network with early exits
    gives what `at_each` gives: the logits of each exit and of the last layer, of all rows. So what
    depends on what is found on any example, also for an expert that gets none of its rows. The
    answers are those of no file: what runs a network here compares two such runs.
    """
    token = _whole.set(True)
    try:
        yield
    finally:
        _whole.reset(token)


def takes_every_row() -> bool:
    """Whether a network runs within `every_row`."""
    return _whole.get()
