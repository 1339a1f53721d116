"""What no placement can be faster than: the room on the fastest device, and the work for all."""

from __future__ import annotations

import numpy as np

from shoestring.parallel.placement.devices import PlacementProblem


class Room:
    """Lower bounds of the time that layers take which are not placed yet.

    The fastest device may hold only some of the layers. The most work that it can hold is bounded
    by what it could hold if layers could be cut: those with the most work for a byte, until it is
    full.
    """

    def __init__(self, problem: PlacementProblem) -> None:
        self.problem = problem
        order = np.argsort(-problem.speeds, kind="stable")
        self.fast, self.others = order[0], order[1:]
        self.best = problem.speeds[self.fast]
        self.second = problem.speeds[self.others[0]] if len(order) > 1 else self.best
        count, work = len(problem.inputs), problem.work
        self.rests = [_filled(problem, list(range(one, count))) for one in range(count + 1)]
        self.bytes = np.array([problem.bytes[one:].sum() for one in range(count + 1)])
        self.longest = work.copy()  # the work on the way from each layer that has most
        ways: list[list[int]] = [[] for _ in work]
        for layer in reversed(range(count)):
            takers = problem.takers[layer]
            if takers:
                longest = max(takers, key=lambda one: self.longest[one])
                self.longest[layer] += self.longest[longest]
                ways[layer] = ways[longest]
            ways[layer] = [layer, *ways[layer]]
        self.ways = [_filled(problem, way) for way in ways]

    def bound(self, layer: int, free: np.ndarray, left: np.ndarray) -> np.ndarray:
        """S, when the layers from `layer` on have ended at the earliest; infinite: they do not fit.

        All devices share the work, and the work that the fastest has no room for, the others do.
        `free`: S×D, when devices are free.
        `left`: S×D, bytes that are left on devices.
        """
        speeds, others = self.problem.speeds, self.others
        work = self.problem.work[layer:].sum()
        bound = np.maximum(free.max(1), (work + free @ speeds) / speeds.sum())
        if len(others):
            outside = work - np.interp(left[:, self.fast], *self.rests[layer])
            shared = (outside + free[:, others] @ speeds[others]) / speeds[others].sum()
            bound = np.where(outside > 1e-9 * work, np.maximum(bound, shared), bound)
        return np.where(self.bytes[layer] <= left.sum(1) * (1 + 1e-9), bound, np.inf)

    def way(self, source: int, layer: int, left: np.ndarray) -> np.ndarray:
        """S, the least milliseconds from the end of a layer to the end of all.

        It is that of the longest way through layers from `layer` on, which take its output.
        """
        takers = [one for one in self.problem.takers[source] if one >= layer]
        longest = max(takers, key=lambda one: self.longest[one])
        inside = np.interp(left[:, self.fast], *self.ways[longest])
        return inside / self.best + (self.longest[longest] - inside) / self.second


def _filled(problem: PlacementProblem, layers: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(bytes, the most work of layers that may be cut and hold so many bytes), from 0 on."""
    work, size = problem.work[layers], problem.bytes[layers]
    order = np.argsort(-work / np.maximum(size, 1e-9), kind="stable")
    start = np.zeros(1)
    return (
        np.concatenate([start, np.cumsum(size[order])]),
        np.concatenate([start, np.cumsum(work[order])]),
    )
