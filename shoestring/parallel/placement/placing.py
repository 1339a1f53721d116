"""Layers placed on devices: what it takes, beside the plain ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from torch import Tensor, nn

from shoestring.parallel.placement.devices import Device, Links, PlacementProblem
from shoestring.parallel.placement.layers import LayerGraph, spanned
from shoestring.parallel.placement.method import (
    BalancedParts,
    OneDevice,
    PlacementMethod,
    RandomPlacements,
)
from shoestring.parallel.placement.parts import PlacedPart, parts_of
from shoestring.parallel.placement.schedule import Schedule, simulated_run
from shoestring.parallel.placement.searches import DynamicProgramming, EarliestEnd

BESIDE: dict[str, PlacementMethod] = {
    "all on one device": OneDevice(),
    "parts that take as long": BalancedParts(),
    "the best of 100 at random": RandomPlacements(samples=100),
    "each layer where it ends first": EarliestEnd(),
}
"""The plain ways that stand beside each placement."""


class DoesNotFitError(ValueError):
    """No placement was found that is possible.

    `nearest`: the one that lacks least; see `Placement.schedule` for where.
    """

    def __init__(self, message: str, nearest: Placement) -> None:
        super().__init__(message)
        self.nearest = nearest


@dataclass(frozen=True)
class Placement:
    """A device for each layer, and what an example then takes. Times are modelled.

    `graph`, `devices`: what was placed, and where.
    `method`: what found it.
    `schedule`: the device of each layer by its number, and when each layer runs.
    `beside`: milliseconds of the plain ways, by their names; None for what does not fit.
    """

    graph: LayerGraph
    devices: tuple[Device, ...]
    method: PlacementMethod
    schedule: Schedule
    beside: dict[str, float | None] = field(default_factory=dict)

    @property
    def milliseconds(self) -> float:
        """What an example takes, modelled."""
        return self.schedule.milliseconds

    @property
    def device_of(self) -> dict[str, str]:
        """The name of the device of each layer, by the layer's name."""
        return {
            layer.name: self.devices[device].name
            for layer, device in zip(self.graph.layers, self.schedule.devices, strict=True)
        }

    def split(self, model: nn.Module, example: Tensor | tuple[Any, ...]) -> tuple[PlacedPart, ...]:
        """The model in parts, one for each run of layers in a row on one device.

        A chain on D devices has D parts at most; where layers go back to a device, it has several.
        The first part takes the tensors that the model does, each other one as its arguments what
        the part before gives, in a tuple, and the last gives what the model gives. The parts are in
        evaluation mode, have copies of the weights, and are for inputs as large as the example.

        `example`: what the model is called on, as `layer_costs` takes it.

        Raises ValueError where the graph was not made of such a model by `layer_costs`.
        """
        arguments = example if isinstance(example, tuple) else (example,)
        return parts_of(model, arguments, self.graph, self.schedule.devices, self.devices)

    def __str__(self) -> str:
        run, lines = self.schedule, ["layers | device | from ms | to ms | weights, bytes"]
        for number, group in groupby(range(len(self.graph)), lambda one: run.devices[one]):
            layers = list(group)
            name = spanned(self.graph.layers[layers[0]], self.graph.layers[layers[-1]])
            size = sum(self.graph.layers[one].weight_bytes for one in layers)
            lines.append(
                f"{name} | {self.devices[number].name} | "
                f"{run.begins[layers[0]]:.3f} | {run.ends[layers[-1]]:.3f} | {size:,.0f}"
            )
        lines += ["", "device | busy ms | holds, bytes | of"]
        for number, device in enumerate(self.devices):
            busy = sum(
                end - begin
                for begin, end, where in zip(run.begins, run.ends, run.devices, strict=True)
                if where == number
            )
            memory = "any" if device.memory == math.inf else f"{device.memory:,.0f}"
            lines.append(f"{device.name} | {busy:.3f} | {run.bytes[number]:,.0f} | {memory}")
        lines += ["", "way | ms of an example, modelled", f"{self.method} | {run.milliseconds:.3f}"]
        for name, milliseconds in self.beside.items():
            told = "does not fit" if milliseconds is None else f"{milliseconds:.3f}"
            lines.append(f"{name} | {told}")
        return _aligned(lines)


def place(
    graph: LayerGraph,
    devices: Sequence[Device],
    links: Links,
    method: PlacementMethod = DynamicProgramming(),  # noqa: B008
) -> Placement:
    """Layers on devices so that one example takes least, by a method.

    `graph`: the layers, such as `layer_costs` gives.
    `devices`: 1 or more; their speeds are relative to the machine of the measurement.
    `links`: between all of them, or one for each pair.

    Raises DoesNotFitError where the method finds no placement that is possible, and ValueError for
    devices and links that contradict each other.
    """
    problem = PlacementProblem(graph, devices, links)
    if (found := method.devices_of(problem)) is None:
        raise _misfit(problem, method)
    beside: dict[str, float | None] = {}
    for name, plain in BESIDE.items():
        other = plain.devices_of(problem)
        beside[name] = None if other is None else simulated_run(problem, other).milliseconds
    return Placement(graph, problem.devices, method, simulated_run(problem, found), beside)


def _misfit(problem: PlacementProblem, method: PlacementMethod) -> DoesNotFitError:
    """The error that says what lacks in the nearest placement."""
    count = len(problem.inputs)
    tried = [(device,) * count for device in range(len(problem.devices))] + [_packed(problem)]
    runs = [simulated_run(problem, devices) for devices in tried]
    nearest = min(runs, key=lambda run: (run.milliseconds == np.inf, sum(run.missing)))
    placement = Placement(problem.graph, problem.devices, method, nearest)
    lacks = " and ".join(
        f"{missing:,.0f} bytes on {device.name!r}"
        for missing, device in zip(nearest.missing, problem.devices, strict=True)
        if missing
    )
    told = (
        f"the nearest lacks {lacks}"
        if lacks
        else f"one that is possible takes {nearest.milliseconds:.3f} ms (see error.nearest)"
    )
    return DoesNotFitError(
        f"{method} found no placement of {count} layers, which hold {problem.bytes.sum():,.0f} "
        f"bytes with their outputs, on devices of {problem.memory.sum():,.0f} bytes: {told}. Give "
        "more memory, more devices or links, or another method",
        placement,
    )


def _packed(problem: PlacementProblem) -> tuple[int, ...]:
    """The largest layers first, each where most memory is left."""
    left, devices = problem.memory.copy(), [0] * len(problem.inputs)
    for layer in np.argsort(-problem.bytes, kind="stable"):
        devices[layer] = int(left.argmax())
        left[devices[layer]] -= problem.bytes[layer]
    return tuple(devices)


def _aligned(lines: list[str]) -> str:
    """The cells of rows in columns, for each table of its own."""
    made: list[str] = []
    for is_table, group in groupby(lines, lambda line: bool(line)):
        rows = [line.split(" | ") for line in group]
        if not is_table:
            made.append("")
            continue
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            first, *others = (
                cell.rjust(width) if index else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            made.append("  ".join([first, *others]).rstrip())
    return "\n".join(made)
