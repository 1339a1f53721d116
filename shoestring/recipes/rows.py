"""Rows of results: measured numbers with their seed, machine and versions."""

from __future__ import annotations

import os
from typing import TypedDict

from shoestring.core.ledger import machine, versions


class Row(TypedDict):
    """A measured number, as one JSON line of results; `seed` is None where no seed decides it."""

    benchmark: str
    subject: str
    metric: str
    value: float
    unit: str
    seed: int | None
    conditions: str


def conditions(*, quick: bool = False) -> str:
    """The machine, threads and versions of a measurement, in words.

    `quick`: says that the run is smaller than the real one.
    """
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    smaller = ", quick: smaller than the real one" if quick else ""
    return f"{machine()}, OMP_NUM_THREADS={threads}, {known}{smaller}"
