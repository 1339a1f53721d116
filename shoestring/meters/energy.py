"""Energy: joules per run, where the machine has counters for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar

from shoestring.artifact import read_model
from shoestring.core import Cost, Task
from shoestring.meters.inputs import as_file, check_integer, check_positive, feeds, runner


@dataclass(frozen=True, kw_only=True)
class Energy:
    """`joules`: the energy of one run of each entry of the file, over all processor packages.

    Linux's RAPL counters measure it for the whole package. They also count other programs and what
    an idle processor takes, so measure on a quiet machine. They do not count memory or graphics
    outside the package.

    `root`: the folder of the counters.
    `seconds`: how long the file is run over and over, above 0. The counters are updated about every
        millisecond.
    `threads`: threads of a run, 1 or more; None for all cores.
    `batch`: examples per run, 1 or more.

    Without counters, or where they may not be read, the cost stays unmeasured; `why_not` gives the
    reason. Raises ValueError for bad settings, FileNotFoundError for a path without a file and
    ShoeError for a damaged file.
    """

    measures: ClassVar[str] = "joules"

    root: str | Path = "/sys/class/powercap"
    seconds: float = 1.0
    threads: int | None = 1
    batch: int = 1

    def __post_init__(self) -> None:
        check_positive("seconds", self.seconds)
        check_integer("threads", self.threads, 1, "all cores")
        check_integer("batch", self.batch, 1)

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
                f"the energy counters under {root} cannot be read ({error}): let this user read "
                "energy_uj"
            )
        return (
            None
            if zones
            else f"there are no energy counters of a processor package (RAPL) under {root}"
        )


def packages(root: Path) -> list[Path]:
    """The folders of the packages' counters.

    Zones inside a package, and the zone of the whole platform, would count energy twice.
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
    """The joules between two readings of counters in microjoules.

    A counter that passes the end of its range starts again at 0.
    """
    used = 0
    for zone, start in before.items():
        used += after[zone] - start + (ranges[zone] if after[zone] < start else 0)
    return used * 1e-6


def _counters(zones: list[Path]) -> dict[Path, int]:
    return {zone: _number(zone / "energy_uj") for zone in zones}


def _number(path: Path) -> int:
    return int(path.read_text())
