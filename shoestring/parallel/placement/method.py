"""What finds a placement, and the plain ways that others must beat."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from shoestring.parallel.placement.devices import PlacementProblem
from shoestring.parallel.placement.schedule import simulated_run


class PlacementMethod(ABC):
    """Chooses a device for each layer."""

    @abstractmethod
    def devices_of(self, problem: PlacementProblem) -> tuple[int, ...] | None:
        """Of each layer the number of its device; None where no placement was found that is
        possible."""


@dataclass(frozen=True, kw_only=True)
class OneDevice(PlacementMethod):
    """All layers on one device: the fastest that has enough memory."""

    def devices_of(self, problem: PlacementProblem) -> tuple[int, ...] | None:
        """As `PlacementMethod` says."""
        for device in np.argsort(-problem.speeds, kind="stable"):
            devices = (int(device),) * len(problem.graph)
            if simulated_run(problem, devices).is_possible:
                return devices
        return None


@dataclass(frozen=True, kw_only=True)
class BalancedParts(PlacementMethod):
    """As many parts in a row as there are devices, cut so that all take as long, or nearly so.

    The fastest device begins. A part ends early where its device is full. What it costs to send
    outputs is not looked at.
    """

    def devices_of(self, problem: PlacementProblem) -> tuple[int, ...] | None:
        """As `PlacementMethod` says."""
        order = [int(device) for device in np.argsort(-problem.speeds, kind="stable")]
        until = np.cumsum(problem.speeds[order]) / problem.speeds.sum() * problem.work.sum()
        done = np.cumsum(problem.work) - problem.work / 2
        devices, part, held = list[int](), 0, 0.0
        for layer, size in enumerate(problem.bytes):
            while part < len(order) - 1 and (
                done[layer] > until[part] or held + size > problem.memory[order[part]]
            ):
                part, held = part + 1, 0.0
            devices.append(order[part])
            held += size
        return tuple(devices) if simulated_run(problem, devices).is_possible else None


@dataclass(frozen=True, kw_only=True)
class RandomPlacements(PlacementMethod):
    """The best of placements that draw a device for each layer.

    `samples`: how many are drawn, 1 or more.
    `seed`: of the random numbers.

    Raises ValueError for no sample.
    """

    samples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples={self.samples!r}: draw 1 or more")

    def devices_of(self, problem: PlacementProblem) -> tuple[int, ...] | None:
        """As `PlacementMethod` says."""
        draw, count = random.Random(self.seed), len(problem.devices)
        best, least = None, np.inf
        for _ in range(self.samples):
            devices = tuple(draw.randrange(count) for _ in problem.inputs)
            run = simulated_run(problem, devices)
            if run.is_possible and run.milliseconds < least:
                best, least = devices, run.milliseconds
        return best
