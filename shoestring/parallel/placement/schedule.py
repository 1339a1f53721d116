"""What a placement takes: who runs what from when to when, by a simulation of one example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoestring.parallel.placement.devices import PlacementProblem

_ROUNDING = 1e-9  # as a share of a device's memory


@dataclass(frozen=True)
class Schedule:
    """When each layer runs, and what each device holds.

    `devices`: of each layer the number of its device.
    `begins`, `ends`: of each layer, milliseconds from the start; infinite where an output cannot
        get to the layer, since there is no link.
    `bytes`: that each device holds.
    `missing`: bytes that each device would need beyond its memory, 0 where it has enough.
    """

    devices: tuple[int, ...]
    begins: tuple[float, ...]
    ends: tuple[float, ...]
    bytes: tuple[float, ...]
    missing: tuple[float, ...]

    @property
    def milliseconds(self) -> float:
        """When the last layer ends."""
        return max(self.ends)

    @property
    def is_possible(self) -> bool:
        """Whether all outputs get where they are taken, and all devices have enough memory."""
        return self.milliseconds < np.inf and not any(self.missing)


def simulated_run(problem: PlacementProblem, devices: Sequence[int]) -> Schedule:
    """The schedule of one example with a device for each layer.

    A device runs its layers in the order of the graph, as a program would, each as soon as the one
    before has ended and its inputs are there. An output is sent once to each device that takes it,
    as soon as it is made, and a wire carries outputs in the order of the layers that take them,
    while devices compute. What the model is given is on every device. A device holds the weights of
    its layers, their outputs, and the outputs that it was sent; nothing is freed.

    `devices`: of each layer the number of its device.
    """
    count = len(problem.devices)
    free, held = [0.0] * count, [0.0] * count
    wires: dict[tuple[int, int], float] = {}
    there: dict[tuple[int, int], float] = {}  # when an output is on a device
    begins, ends = list[float](), list[float]()
    for layer, device in enumerate(devices):
        begin = free[device]
        for source in problem.inputs[layer]:
            if (source, device) not in there:
                home, size = devices[source], problem.output_bytes[source]
                wire = max(ends[source], wires.get((home, device), 0.0))
                wires[home, device] = sent = wire + size * problem.per_byte[home, device]
                there[source, device] = sent + problem.latency[home, device]
                held[device] += size
            begin = max(begin, there[source, device])
        free[device] = there[layer, device] = begin + problem.milliseconds[layer, device]
        held[device] += problem.bytes[layer]
        begins.append(float(begin))
        ends.append(float(free[device]))
    missing = (
        float(has - memory) if has > memory * (1 + _ROUNDING) else 0.0
        for has, memory in zip(held, problem.memory, strict=True)
    )
    return Schedule(
        tuple(devices), tuple(begins), tuple(ends), tuple(map(float, held)), tuple(missing)
    )
