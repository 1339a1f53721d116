"""Searches layer by layer: the next best device, dynamic programming, and the proven best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoestring.parallel.placement.devices import PlacementProblem
from shoestring.parallel.placement.frontier import Frontier, Growth
from shoestring.parallel.placement.method import PlacementMethod
from shoestring.parallel.placement.schedule import simulated_run


@dataclass(frozen=True, kw_only=True)
class EarliestEnd(PlacementMethod):
    """The greedy search: each layer on the device on which it ends first, one after the other.

    It never takes back a choice.

    Source: Topcuoglu et al. 2002 (HEFT), section 4, for the choice of a device.
    Differs: layers come in the order of the graph, not by rank, and devices have a memory.
    """

    def devices_of(self, problem: PlacementProblem) -> tuple[int, ...] | None:
        """As `PlacementMethod` says."""

        def earliest(growth: Growth, states: Frontier, bounds: np.ndarray) -> np.ndarray:
            ends = states.free[np.arange(len(states)), states.devices]
            return np.argsort(ends, kind="stable")[:1]

        return _searched(problem, earliest)


@dataclass(frozen=True, kw_only=True)
class DynamicProgramming(PlacementMethod):
    """Dynamic programming over the layers in their order, with a limited frontier.

    Of the placements of the first layers, those are dropped that another one is no worse than in
    anything that later layers feel: when devices, wires and outputs are free, where outputs are,
    and the memory taken. What is left is the frontier. Of a chain it stays small, and the answer is
    the best there is. Where the frontier becomes wider than `width`, those with the least lower
    bound of the whole time are kept, and the answer may not be the best.

    Source: Held & Karp 1962 for the idea; Jia et al. 2018 and Tarnawski et al. 2020 apply it to the
    layers of networks.
    Differs: a limited frontier in place of a limited kind of graph.

    `width`: placements that are kept after each layer, 1 or more. The time is in proportion: 100
        layers on 4 devices take some 4 seconds, so give fewer for thousands of layers.

    Raises ValueError for no width.
    """

    width: int = 4096

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width={self.width!r}: keep 1 placement or more")

    def devices_of(self, problem: PlacementProblem) -> tuple[int, ...] | None:
        """As `PlacementMethod` says."""
        return _searched(
            problem, lambda growth, states, bounds: growth.best(states, bounds)[: self.width]
        )


@dataclass(frozen=True, kw_only=True)
class BranchAndBound(PlacementMethod):
    """The exact optimum of a small graph.

    The placements of all layers are a tree, with a device for one more layer at each branch. It is
    walked layer by layer, all branches at once. A branch is cut in three cases. Its lower bound is
    no less than the time of a placement that is known: dynamic programming finds one first. Or it
    is dominated: another branch is no worse in anything that later layers feel. Or it does not fit.
    None of them can hold a placement that is better than the best that is left, so what is left at
    the end, or the known placement where nothing is, is the optimum. None means a proof that no
    placement is possible.

    `most`: branches after a layer, 1 or more.

    Raises ValueError for no branch; `devices_of` raises it for a graph that needs more.
    """

    most: int = 300_000

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"most={self.most!r}: allow 1 branch or more")

    def devices_of(self, problem: PlacementProblem) -> tuple[int, ...] | None:
        """As `PlacementMethod` says."""
        known = DynamicProgramming().devices_of(problem)
        least = np.inf if known is None else simulated_run(problem, known).milliseconds

        def cut(growth: Growth, states: Frontier, bounds: np.ndarray) -> np.ndarray:
            kept = growth.best(states, bounds)
            kept = kept[bounds[kept] < least * (1 - 1e-9)]
            if len(kept) > self.most:
                raise ValueError(
                    f"the optimum of {len(problem.inputs)} layers on {len(problem.devices)} "
                    f"devices takes more than {self.most:,} branches: take DynamicProgramming(), "
                    "fewer layers, or a larger most="
                )
            return kept

        return _searched(problem, cut) or known


_Kept = Callable[[Growth, Frontier, np.ndarray], np.ndarray]
"""Which states go on, by their numbers; of states that can end in a placement, by their bounds."""


def _searched(problem: PlacementProblem, kept: _Kept) -> tuple[int, ...] | None:
    """The best placement among those that go on until the last layer; None where none does."""
    growth, states = Growth(problem), Frontier.start(len(problem.devices))
    past: list[tuple[np.ndarray, np.ndarray]] = []
    for layer in range(len(problem.inputs)):
        states = growth.grown(states, layer)
        bounds = growth.bounds(states, layer + 1)
        states, bounds = states.chosen(bounds < np.inf), bounds[bounds < np.inf]
        if not len(states):
            return None
        states = states.chosen(kept(growth, states, bounds))
        if not len(states):
            return None
        past.append((states.before, states.devices))
    state, devices = int(states.free.max(1).argmin()), list[int]()
    for before, device in reversed(past):
        devices.append(int(device[state]))
        state = int(before[state])
    return tuple(reversed(devices))
