"""Runs a function on items in several threads and gives the results in order, few at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`function(item)` for each item, in order.

    Items are taken when they are needed: no more than twice `workers` wait or run at a time, which
    bounds the memory. With one worker everything runs in the caller's thread.
    An exception of the function is raised where its result would be; the rest is not run.
    """
    if workers < 2:
        yield from map(function, items)
        return
    iterator = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        running: deque[Future[Result]] = deque(
            pool.submit(function, item) for item in islice(iterator, 2 * workers)
        )
        try:
            while running:
                result = running.popleft().result()
                running.extend(pool.submit(function, item) for item in islice(iterator, 1))
                yield result
        finally:
            for future in running:
                future.cancel()
