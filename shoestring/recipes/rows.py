"""Rows of results: measured numbers with their seed, machine and versions."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NotRequired, TypedDict

from shoestring.core.ledger import machine, versions


class Row(TypedDict):
    """A measured number, as one JSON line of results.

    `seed`: None where no seed decides the number.
    `processor`: of a timing, and of what a search against the clock found; other rows have none.
    """

    benchmark: str
    subject: str
    metric: str
    value: float
    unit: str
    seed: int | None
    conditions: str
    processor: NotRequired[str]


_EXTENSIONS = {
    "amx_int8": "AMX",
    "avx512_vnni": "AVX-512",
    "avx512f": "AVX-512 without VNNI",
    "avx_vnni": "AVX2 with VNNI",
    "avx2": "AVX2",
    "i8mm": "NEON with I8MM",
    "asimddp": "NEON with dot products",
    "asimd": "NEON",
}
"""The flags that decide how fast integers are, the fastest first, and what they are called."""


def processor(cpuinfo: str | None = None) -> str:
    """The family of the processor and what it has for integers: "AMD EPYC, AVX-512".

    Timings of processors with one name stand in one column of a table.

    `cpuinfo`: as in /proc/cpuinfo; None for this machine's.
    """
    if cpuinfo is None:
        try:
            cpuinfo = Path("/proc/cpuinfo").read_text()
        except OSError:
            cpuinfo = ""
    known: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        known.setdefault(name.strip().lower(), value.strip())
    model = known.get("model name") or machine().split(",")[0]
    words = re.sub(r"\((r|tm)\)", "", model, flags=re.IGNORECASE).split()
    flags = set((known.get("flags") or known.get("features") or "").split())
    extension = next((title for flag, title in _EXTENSIONS.items() if flag in flags), "")
    return ", ".join(part for part in (" ".join(words[:2]), extension) if part)


def conditions(*, quick: bool = False) -> str:
    """The machine, threads and versions of a measurement, in words.

    `quick`: says that the run is smaller than the real one.
    """
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    smaller = ", quick: smaller than the real one" if quick else ""
    return f"{machine()}, OMP_NUM_THREADS={threads}, {known}{smaller}"
