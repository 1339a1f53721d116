"""Meters read what having a model costs off its file; `docs/meters.md` says what each one counts.

Nothing here imports torch until a module has to be written to a file.
"""

from shoestring.core import Budget, Gauge
from shoestring.core.resource import LIMITED
from shoestring.meters.energy import Energy
from shoestring.meters.interleaved import Ratio, Timing, in_turn, ratio
from shoestring.meters.latency import Latency, ThreadTime, alternate
from shoestring.meters.memory import Memory
from shoestring.meters.microcontroller import CORTEX_M3, Flash, Instructions, Ram
from shoestring.meters.operations import Operations, UnmeasuredWarning
from shoestring.meters.over_inputs import over_inputs
from shoestring.meters.platform import Platform, parse_runtime
from shoestring.meters.remote import Remote, RemoteError
from shoestring.meters.size import Size

__all__ = [
    "Energy",
    "Flash",
    "Instructions",
    "Latency",
    "Memory",
    "Operations",
    "Platform",
    "Ram",
    "Ratio",
    "Remote",
    "RemoteError",
    "Size",
    "ThreadTime",
    "Timing",
    "UnmeasuredWarning",
    "alternate",
    "default_meters",
    "in_turn",
    "over_inputs",
    "parse_runtime",
    "ratio",
]


def default_meters(budget: Budget, target: str = CORTEX_M3) -> list[Gauge]:
    """The meters, with default settings, for the resources that the budget limits.

    `target`: the microcontroller on which flash, RAM and instructions are measured.

    A limited resource that no meter reads (time, labels) gets none.
    """
    wanted = {
        limited.field for name, limited in LIMITED.items() if getattr(budget, name) is not None
    }
    meters: list[Gauge] = [Size(), Latency(), Operations(), Memory(), Energy()]
    boards = (Flash, Ram, Instructions)
    return [
        *(meter for meter in meters if meter.measures in wanted),
        *(kind(target=target) for kind in boards if kind.measures in wanted),
    ]
