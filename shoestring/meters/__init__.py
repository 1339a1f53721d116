"""Meters: what having a model costs, read off its file. `docs/meters.md` says what each counts.

Nothing here imports torch until a module has to be written to a file.
"""

from shoestring.meters.energy import Energy
from shoestring.meters.latency import Latency, alternate
from shoestring.meters.memory import Memory
from shoestring.meters.operations import Operations, UnmeasuredWarning
from shoestring.meters.size import Size
from shoestring.meters.turns import Ratio, Timing, in_turn, ratio

__all__ = [
    "Energy", "Latency", "Memory", "Operations", "Ratio", "Size", "Timing", "UnmeasuredWarning", "alternate", "in_turn",
    "ratio",
]  # fmt: skip
