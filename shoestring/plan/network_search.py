"""The search of a job for a network: its limits, its meters, and milliseconds from a table."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

from shoestring.core import Budget, Cost, Gauge, Share, Task
from shoestring.core.limits import NAMED
from shoestring.core.resource import LIMITED
from shoestring.kit.clock import Clock, duration
from shoestring.meters import Latency
from shoestring.plan.checks import checked_meters
from shoestring.search import (
    ESTIMATES,
    Found,
    Method,
    OperationTable,
    Space,
    TabledMilliseconds,
    UnknownOperatorError,
    find,
)

FITTED, FIT_FROM = 8, 300
"""Networks that are drawn to fit the table of milliseconds, and the seconds from which it is."""
LOOKING = 0.1
"""The share of the time for measuring operations, beside the fit of a table that has them."""
FAR = 2.0
"""A network is not measured that is guessed to take so many times the milliseconds allowed."""


@dataclass(frozen=True)
class NetworkSearch:
    """The search of a job, which several processes can share.

    `limits`: of the job, in numbers. Only those on having a network count here.
    `folder`: where everything that is measured is kept.
    """

    task: Task
    space: Space
    limits: Budget
    meters: Sequence[Gauge] | None
    folder: Path
    seed: int

    def run(
        self,
        minutes: float,
        method: Method,
        clock: Clock,
        worker: int = 0,
        tell: Callable[[dict[str, Any]], None] = lambda event: None,
    ) -> Found:
        """Search for so many minutes of a clock.

        `tell`: gets each network, and the table of milliseconds, as dictionaries.
        """
        on_files = meters_of_files(self.limits, self.meters)
        timed = next((one for one in on_files if isinstance(one, Latency)), None)
        estimates = list(ESTIMATES)
        limit = self.limits.latency
        assert not isinstance(limit, Share)
        if timed is not None and timed.batch == 1:
            table = OperationTable(
                meter=replace(timed, repeats=7), folder=self.folder / "milliseconds"
            )
            estimates.append(_Milliseconds(self.space, self.seed, table, limit, clock, tell))
        return find(
            self.task,
            self.space,
            of_networks(self.limits),
            self.folder,
            method=method,
            estimates=estimates,
            meters=on_files,
            minutes=minutes,
            seed=self.seed,
            worker=worker,
            asked=clock.asked,
            began=clock.began,
            say=clock.say,
            tell=tell,
        )


@dataclass
class _Milliseconds:
    """`milliseconds`: from a table of operations, which is fitted where there is time for that.

    It is measured when the first network is estimated, by when a search has found out whether the
    space fits the task. Where it has no rule for an operation, nothing is estimated.
    """

    space: Space
    seed: int
    table: OperationTable
    limit: float | None
    clock: Clock
    tell: Callable[[dict[str, Any]], None]
    _estimates: list[Gauge] | None = field(default=None, init=False)

    measures: ClassVar[str] = "milliseconds"

    def why_not(self) -> str | None:
        """None: the table measures with its own meter."""
        return None

    def __call__(self, subject: Any, task: Task) -> Cost:
        if self._estimates is None:
            self._estimates = self._begun(task)
        cost = Cost()
        for one in self._estimates:
            cost |= one(subject, task)
        return cost

    def _begun(self, task: Task) -> list[Gauge]:
        """The estimate by the table; none where the networks cannot be estimated."""
        table, draw, began = self.table, random.Random(self.seed), monotonic()
        networks = [self.space.made(self.space.drawn(draw)).network() for _ in range(FITTED)]
        time = LOOKING * self.clock.seconds
        try:
            learnt = networks if self.clock.seconds >= FIT_FROM else networks[:1]
            known = [table.learn(one, task, time - (monotonic() - began)) for one in learnt]
            took = monotonic() - began
            if fits := len(known) == FITTED and all(known):
                table = table.fitted(networks, task)
        except UnknownOperatorError as error:
            self.clock.say(f"  {error}: milliseconds are decided on files alone")
            self.tell({"event": "table", "measurements": 0, "why": str(error)})
            return []
        seconds = monotonic() - began
        self.clock.say(
            f"  a table of {table.measurements} measurements foretells milliseconds "
            f"({duration(seconds)}){'' if fits else ', not fitted: there was no time for that'}"
        )
        event = {"event": "table", "measurements": table.measurements, "seconds": seconds}
        self.tell({**event, "factor": table.fit.factor, "each": table.fit.each})
        far = math.inf if self.limit is None else FAR * self.limit
        left = max(time - took, 0.0)
        return [TabledMilliseconds(table=table, known_above=far, seconds=left)]


def of_networks(limits: Budget) -> Budget:
    """The limits that a network has before it is compressed."""
    names = [name for name in limits.limits() if name not in LIMITED or LIMITED[name].getting]
    own = {name: None for name in names if NAMED.fullmatch(name) is None}
    return replace(limits, named={}, **own)  # type: ignore[arg-type]


def meters_of_files(limits: Budget, meters: Sequence[Gauge] | None) -> list[Gauge]:
    """The meters of networks' files, without that of bytes, which are counted anyway."""
    return [one for one in checked_meters(of_networks(limits), meters) if one.measures != "bytes"]


def latency_of(limits: Budget, meters: Sequence[Gauge] | None) -> Latency:
    """How files are timed: as the meters say, else with the default runtime and one thread."""
    found = meters_of_files(limits, None) if meters is None else meters
    return next((one for one in found if isinstance(one, Latency)), Latency())
