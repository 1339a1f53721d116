"""Rows of results: what was measured, with which seed, on which machine, with which versions."""

from __future__ import annotations

import os
from typing import TypedDict

from shoestring.core.ledger import machine, versions


class Row(TypedDict):
    """A measured number, a JSON line of results. `seed` is None for what no seed decides."""

    benchmark: str
    subject: str
    metric: str
    value: float
    unit: str
    seed: int | None
    conditions: str


def conditions(*, quick: bool = False) -> str:
    """On what, and with which versions, figures are measured."""
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    smaller = ", quick: smaller than the real one" if quick else ""
    return f"{machine()}, OMP_NUM_THREADS={threads}, {known}{smaller}"
