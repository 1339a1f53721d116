"""Meters: what having a model costs, read off its file. `docs/meters.md` says what each counts.

Nothing here imports torch until a module has to be written to a file.
"""

from shoestring.meters.energy import Energy
from shoestring.meters.latency import Latency, alternate
from shoestring.meters.memory import Memory
from shoestring.meters.operations import Operations, UnmeasuredWarning
from shoestring.meters.platform import Platform, parse_runtime
from shoestring.meters.remote import Remote, RemoteError
from shoestring.meters.size import Size
from shoestring.meters.turns import Ratio, Timing, in_turn, ratio

__all__ = [
    "Energy", "Latency", "Memory", "Operations", "Platform", "Ratio", "Remote", "RemoteError", "Size", "Timing",
    "UnmeasuredWarning", "alternate", "in_turn", "parse_runtime", "ratio",
]  # fmt: skip
