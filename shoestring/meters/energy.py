"""Energy: joules per run, where the machine tells."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

from shoestring.artifact import read_model
from shoestring.core import Cost, Task
from shoestring.meters.inputs import as_file, feeds, positive, runner, whole


@dataclass(frozen=True, kw_only=True)
class Energy:
    """`joules`: of one run of the file (of each of its entries), by Linux's RAPL counters.

    Those of the processor packages, added up.
    A package's counter knows no processes: what else runs, and what the processor takes when idle,
    is counted as well, so measure on a quiet machine. Memory and graphics outside the package are
    not counted.

    root: the folder of the counters.
    seconds: for which the file is run, again and again; the counters move about once a millisecond.
    threads: that a run may use; None for all cores.
    batch: examples a run.

    Unmeasured where there are no counters or they may not be read; `why_not` says which. Raises
    ValueError for bad settings, FileNotFoundError, ShoeError for a damaged file.
    """

    measures: ClassVar[str] = "joules"

    root: str | Path = "/sys/class/powercap"
    seconds: float = 1.0
    threads: int | None = 1
    batch: int = 1

    def __post_init__(self) -> None:
        positive("seconds", self.seconds)
        whole("threads", self.threads, 1, "all cores")
        whole("batch", self.batch, 1)

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        with as_file(subject, task) as path:
            content = read_model(path)
        inputs = feeds(content, task, self.batch)
        if self.why_not():
            return Cost()
        run = runner(content, inputs, self.threads)
        run()
        zones = packages(Path(self.root))
        ranges = {zone: _number(zone / "max_energy_range_uj") for zone in zones}
        runs, before, start = 0, _counters(zones), perf_counter()
        while not runs or perf_counter() - start < self.seconds:
            run()
            runs += 1
        return Cost(joules=joules(before, _counters(zones), ranges) / runs)

    def why_not(self) -> str | None:
        """Why energy stays unmeasured on this machine; None where it can be measured."""
        root = Path(self.root)
        try:
            zones = packages(root)
            _counters(zones)
            for zone in zones:
                _number(zone / "max_energy_range_uj")
        except (OSError, ValueError) as error:
            return (
                f"the energy counters under {root} cannot be read ({error}): let this user "
                "read energy_uj"
            )
        return (
            None
            if zones
            else f"there are no energy counters of a processor package (RAPL) under {root}"
        )


def packages(root: Path) -> list[Path]:
    """The folders of the packages' counters.

    Zones within a package, and of the whole platform, would count twice.
    """
    zones = [
        zone
        for zone in sorted(root.glob("intel-rapl:*"))
        if re.fullmatch(r"intel-rapl:\d+", zone.name)
    ]
    return [zone for zone in zones if (zone / "name").read_text().startswith("package")]


def joules(
    before: Mapping[Path, int], after: Mapping[Path, int], ranges: Mapping[Path, int]
) -> float:
    """The energy between two readings of counters in microjoules, each of which starts again at 0
    past its range.
    """
    used = 0
    for zone, start in before.items():
        used += after[zone] - start + (ranges[zone] if after[zone] < start else 0)
    return used * 1e-6


def _counters(zones: list[Path]) -> dict[Path, int]:
    return {zone: _number(zone / "energy_uj") for zone in zones}


def _number(path: Path) -> int:
    return int(path.read_text())
