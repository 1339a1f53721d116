"""How long the workers of a simulation take for a step, and who ends when."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

_LEAST = 0.05
"""The shortest step of a worker, as a share of its usual one."""


@dataclass(frozen=True)
class StepTimes:
    """Simulated times of workers: each step of a worker takes its own time, varied at random.

    `each`: the usual time of a step of each worker, above 0, in any unit: (1.0, 1.0, 3.0) has a
        third worker that is three times slower.
    `spread`: the standard deviation of a step's time, as a share of it, 0 or more.
    `seed`: of the random numbers.

    Raises ValueError for no worker, and for numbers out of range.
    """

    each: tuple[float, ...]
    spread: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "each", tuple(self.each))
        if not self.each:
            raise ValueError("the times of no worker: give one number for each")
        for number, time in enumerate(self.each):
            if not 0 < time < math.inf:
                raise ValueError(f"a step of worker {number} takes {time!r}: give a time above 0")
        if not 0 <= self.spread < math.inf:
            raise ValueError(f"a spread of {self.spread!r}: give a share, 0 or more")

    @staticmethod
    def equal(
        workers: int, *, slowest: float = 1.0, spread: float = 0.1, seed: int = 0
    ) -> StepTimes:
        """Workers whose steps take 1, but for the last one.

        `workers`: how many, 1 or more.
        `slowest`: the time of a step of the last one, above 0.
        """
        if not isinstance(workers, int) or workers < 1:
            raise ValueError(f"{workers!r} workers: give an integer, 1 or more")
        return StepTimes((1.0,) * (workers - 1) + (slowest,), spread, seed)

    def ends(self) -> Iterator[tuple[float, int]]:
        """When a worker ends a step, and which: without an end, in the order of time.

        A worker begins the next step when it has ended one.
        """
        draws = self._draws()
        heap = [(self._time(worker, draws[worker]), worker) for worker in range(len(self.each))]
        heapq.heapify(heap)
        while True:
            time, worker = heap[0]
            yield time, worker
            heapq.heapreplace(heap, (time + self._time(worker, draws[worker]), worker))

    def rounds(self) -> Iterator[tuple[float, ...]]:
        """The times of a step of all workers that begin together, without an end."""
        draws = self._draws()
        while True:
            yield tuple(self._time(worker, draw) for worker, draw in enumerate(draws))

    def _draws(self) -> list[random.Random]:
        """Random numbers of each worker: its times do not depend on how many others there are."""
        return [random.Random(f"{self.seed} {worker}") for worker in range(len(self.each))]

    def _time(self, worker: int, draw: random.Random) -> float:
        return self.each[worker] * max(_LEAST, draw.gauss(1.0, self.spread))
