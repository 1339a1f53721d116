"""Meters: what having a model costs, read off its file. `docs/meters.md` says what each counts.

Nothing here imports torch until a module has to be written to a file.
"""

from shoestring.core import Budget, Gauge
from shoestring.core.resource import LIMITED
from shoestring.meters.energy import Energy
from shoestring.meters.interleaved import Ratio, Timing, in_turn, ratio
from shoestring.meters.latency import Latency, alternate
from shoestring.meters.memory import Memory
from shoestring.meters.operations import Operations, UnmeasuredWarning
from shoestring.meters.platform import Platform, parse_runtime
from shoestring.meters.remote import Remote, RemoteError
from shoestring.meters.size import Size

__all__ = [
    "Energy",
    "Latency",
    "Memory",
    "Operations",
    "Platform",
    "Ratio",
    "Remote",
    "RemoteError",
    "Size",
    "Timing",
    "UnmeasuredWarning",
    "alternate",
    "default_meters",
    "in_turn",
    "parse_runtime",
    "ratio",
]


def default_meters(budget: Budget) -> list[Gauge]:
    """The meters, with their defaults, of the resources that the budget limits.

    What no meter reads (time, labels) has none.
    """
    wanted = {one.field for name, one in LIMITED.items() if getattr(budget, name) is not None}
    known: list[Gauge] = [Size(), Latency(), Operations(), Memory(), Energy()]
    return [meter for meter in known if meter.measures in wanted]
