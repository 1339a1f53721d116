"""Placements of the first layers, many at once, which grow layer by layer.

A state is a placement of the first layers. All that later layers can feel of it is in few numbers:
where the outputs are that are still taken and since when, when devices and wires are free, and how
much memory is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoestring.parallel.placement.devices import PlacementProblem
from shoestring.parallel.placement.room import Room

_ROUNDING = 1e-9
_COMPARED = 32  # states before a state, in their order, that it is compared with


@dataclass
class Frontier:
    """S states of the first layers, with V outputs that later layers take, on D devices.

    `free`: S×D, when each device is free.
    `held`: S×D, bytes.
    `wires`: S×D×D, when each wire is free.
    `homes`: S×V, the device that made each output.
    `there`: S×V×D, when each output is on each device; infinite before it is sent there.
    `before`, `devices`: S, from which state of the last frontier each state comes, and by which
        device for the last layer.
    """

    free: np.ndarray
    held: np.ndarray
    wires: np.ndarray
    homes: np.ndarray
    there: np.ndarray
    before: np.ndarray
    devices: np.ndarray

    @staticmethod
    def start(devices: int) -> Frontier:
        """The state in which no layer is placed."""
        return Frontier(
            np.zeros((1, devices)),
            np.zeros((1, devices)),
            np.zeros((1, devices, devices)),
            np.zeros((1, 0), np.int64),
            np.zeros((1, 0, devices)),
            np.zeros(1, np.int64),
            np.zeros(1, np.int64),
        )

    def __len__(self) -> int:
        return len(self.free)

    def chosen(self, which: np.ndarray) -> Frontier:
        """Some of the states."""
        return Frontier(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def joined(self, *others: Frontier) -> Frontier:
        """These states and others."""
        return Frontier(
            *(
                np.concatenate([getattr(one, name) for one in (self, *others)])
                for name in self.__dataclass_fields__
            )
        )


class Growth:
    """How frontiers grow in a problem.

    `problem`: the layers and the devices.
    """

    def __init__(self, problem: PlacementProblem) -> None:
        self.problem, self.room = problem, Room(problem)
        last = [max(takers, default=-1) for takers in problem.takers]
        self.alive: list[list[int]] = [[]]  # the outputs that are still taken before each layer
        for layer in range(len(problem.inputs)):
            self.alive.append([one for one in (*self.alive[-1], layer) if last[one] > layer])
        most = problem.bytes.sum() + problem.output_bytes.sum()
        self.is_tight = problem.memory < most  # memory of the others is never full

    def grown(self, states: Frontier, layer: int) -> Frontier:
        """The states with the next layer on each device, without those that are not possible."""
        every = np.arange(len(states))
        first, *others = (
            self._on(states.chosen(every), layer, device)
            for device in range(len(self.problem.devices))
        )
        return first.joined(*others)

    def _on(self, states: Frontier, layer: int, device: int) -> Frontier:
        """The states, which are changed, with a layer on a device. As in `simulated_run`."""
        problem, every, alive = self.problem, np.arange(len(states)), self.alive[layer]
        begin = states.free[:, device]
        for source in problem.inputs[layer]:
            slot, size = alive.index(source), problem.output_bytes[source]
            home, there = states.homes[:, slot], states.there[:, slot, device]
            sends = np.isinf(there)
            wire = states.wires[every, home, device]
            begun = np.maximum(states.there[every, slot, home], wire)
            sent = begun + size * problem.per_byte[home, device]
            states.wires[every, home, device] = np.where(sends, sent, wire)
            there = np.where(sends, sent + problem.latency[home, device], there)
            states.there[:, slot, device] = there
            states.held[:, device] += sends * size
            begin = np.maximum(begin, there)
        end = begin + problem.milliseconds[layer, device]
        states.free[:, device] = end
        states.held[:, device] += problem.bytes[layer]
        fits = states.held[:, device] <= problem.memory[device] * (1 + _ROUNDING)
        made = np.full((len(states), 1, len(problem.devices)), np.inf)
        made[:, 0, device] = end
        slots = [
            slot for slot, source in enumerate([*alive, layer]) if source in self.alive[layer + 1]
        ]
        homes = np.concatenate([states.homes, np.full((len(states), 1), device)], 1)
        states.homes = homes[:, slots]
        states.there = np.concatenate([states.there, made], 1)[:, slots]
        states.before, states.devices = every, np.full(len(states), device)
        return states.chosen(fits & np.isfinite(end))

    def bounds(self, states: Frontier, layer: int) -> np.ndarray:
        """S, milliseconds that no placement of the other layers, from `layer` on, ends before.

        Infinite where they do not fit into the memory that is left.
        """
        left = np.maximum(self.problem.memory - states.held, 0.0)
        bound = self.room.bound(layer, states.free, left)
        every = np.arange(len(states))
        for slot, source in enumerate(self.alive[layer]):
            ends = states.there[every, slot, states.homes[:, slot]]
            bound = np.maximum(bound, ends + self.room.way(source, layer, left))
        return bound

    def best(self, states: Frontier, bounds: np.ndarray) -> np.ndarray:
        """The states that are no worse than another in everything, by their bounds.

        A state is dropped where another has all outputs at the same homes, and everything as soon
        and no more memory taken: whatever comes later ends no later from that one. The proof is
        that each time and each number of bytes in `simulated_run` is a sum or a maximum of earlier
        ones. An output that was already sent is no loss: the wire has been free since at least as
        early as in a state that sends it later. Not all pairs are compared, so that some are kept
        that could be dropped.
        """
        held = states.held[:, self.is_tight]
        flat = (one.reshape(len(states), -1) for one in (states.free, held, states.wires))
        numbers = np.concatenate([*flat, states.there.reshape(len(states), -1)], 1)
        order = np.lexsort((numbers.sum(1), bounds, *states.homes.T))
        numbers, homes = numbers[order], states.homes[order]
        keeps = np.ones(len(order), bool)
        for back in range(1, min(_COMPARED, len(order) - 1) + 1):
            worse = (numbers[:-back] <= numbers[back:]).all(1)
            worse &= (homes[:-back] == homes[back:]).all(1)
            keeps[back:] &= ~worse
        kept = order[keeps]
        return kept[np.argsort(bounds[kept], kind="stable")]
