"""Devices and the wires between them, and a graph of layers on them as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shoestring.parallel.placement.layers import LayerGraph


@dataclass(frozen=True)
class Device:
    """A device that runs one layer at a time. How fast it is, is modelled.

    `name`: unique among the devices.
    `speed`: times as fast as the machine that layers were measured on, above 0: that machine is
        1.0, and each layer takes its milliseconds there divided by the speed.
    `memory`: bytes that it holds, above 0.

    Raises ValueError for a number out of range.
    """

    name: str
    speed: float = 1.0
    memory: float = math.inf

    def __post_init__(self) -> None:
        if not 0 < self.speed < math.inf:
            raise ValueError(f"the device {self.name!r} has a speed of {self.speed!r}: above 0")
        if not self.memory > 0:
            raise ValueError(f"the device {self.name!r} holds {self.memory!r} bytes: above 0")


@dataclass(frozen=True)
class Link:
    """A wire from one device to another. It carries one output at a time, while devices compute.

    `bytes_per_second`: above 0.
    `seconds`: from the end of sending until the output is there, 0 or more.

    Raises ValueError for a number out of range.
    """

    bytes_per_second: float
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.bytes_per_second > 0:
            raise ValueError(f"a link of {self.bytes_per_second!r} bytes per second: above 0")
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"a link that takes {self.seconds!r} seconds: 0 or more")


Links = Link | Mapping[tuple[str, str], Link]
"""The same link between all devices, or one for each pair of their names.

A link of ("a", "b") goes both ways, unless there is one of ("b", "a") too. Devices without a link
cannot hand on anything to each other.
"""


class PlacementProblem:
    """A graph of layers and devices, as arrays. L layers and D devices are numbered from 0.

    `graph`, `devices`: what was given.
    `work`: L, milliseconds of each layer at speed 1.
    `speeds`: D.
    `milliseconds`: L×D, of each layer on each device.
    `bytes`: L, of the weights and the output of each layer.
    `output_bytes`: L.
    `memory`: D, bytes.
    `per_byte`: D×D, milliseconds of sending a byte; 0 on the diagonal.
    `latency`: D×D, milliseconds until what was sent is there; 0 on the diagonal, and infinite
        where there is no link.
    `inputs`, `takers`: see `LayerGraph`.

    Raises ValueError for no device, for a name that two devices have, and for a link of a device
    that is not there.
    """

    def __init__(self, graph: LayerGraph, devices: Sequence[Device], links: Links) -> None:
        names = [device.name for device in devices]
        if not names:
            raise ValueError("layers are placed on no device: give one Device or more")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two devices are called {twice[0]!r}: give each its own name")
        self.graph, self.devices = graph, tuple(devices)
        self.inputs, self.takers = graph.inputs(), graph.takers()
        self.work = np.array([one.milliseconds for one in graph.layers], float)
        self.speeds = np.array([one.speed for one in devices], float)
        self.milliseconds = self.work[:, None] / self.speeds
        self.output_bytes = np.array([one.output_bytes for one in graph.layers], float)
        weights = np.array([one.weight_bytes for one in graph.layers], float)
        self.bytes = weights + self.output_bytes
        self.memory = np.array([one.memory for one in devices], float)
        self.per_byte, self.latency = _wires(names, links)


def _wires(names: list[str], links: Links) -> tuple[np.ndarray, np.ndarray]:
    """(`per_byte`, `latency`) of a problem."""
    count = len(names)
    per_byte, latency = np.zeros((count, count)), np.full((count, count), math.inf)
    if isinstance(links, Link):
        pairs = {(a, b): links for a in names for b in names}
    else:
        pairs = {(b, a): link for (a, b), link in links.items()} | dict(links)
    for (a, b), link in pairs.items():
        if unknown := [name for name in (a, b) if name not in names]:
            raise ValueError(
                f"there is a link between {a!r} and {b!r}, and no device {unknown[0]!r}: the "
                f"devices are {', '.join(names)}"
            )
        place = names.index(a), names.index(b)
        per_byte[place] = 1000 / link.bytes_per_second
        latency[place] = 1000 * link.seconds
    np.fill_diagonal(per_byte, 0.0)
    np.fill_diagonal(latency, 0.0)
    return per_byte, latency
