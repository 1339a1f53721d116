"""Weighing: files of changed models, and their costs beside those of the original's file."""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import nn

from shoestring.artifact import save
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Cost, Gauge, Meter, Task
from shoestring.core.ledger import machine
from shoestring.kit import ShortfallWarning, SkippedWarning, Trial, check_finite, export, pack
from shoestring.meters import Latency, RemoteError, UnmeasuredWarning
from shoestring.meters.interleaved import SECONDS
from shoestring.plan.judge import Judge
from shoestring.plan.relative_latency import RelativeLatency, relative_latency
from shoestring.plan.same_graph import file_of, signature_of

_TIMED_BY, _UNIT = "timed by", "milliseconds of the original"
"""Keys among the versions of a trial: how its milliseconds were measured, and their unit."""
_READ_BY = "read by: "
"""The start of a key among the versions of a trial, before a field of its cost: which meter."""
NOT_REACHED = "not reached: "
"""The start of a note of what a technique was asked for and did not reach.

Notes without it are of what a technique left alone.
"""


@dataclass
class Weighing:
    """Makes files of changed models, and measures them beside the file of the original.

    `model`: the original. Its file is `reference`, with so many `bytes` and this `sha256`.
    `folder`: where that file is written.
    `meters`: are read for each file. A Latency among them times it against the reference.
    `smallest`: as in `kit.save`.
    `seconds`: about how long a file is timed.

    Raises ValueError for a model that is not finite, ExportError for one that cannot be a file.
    """

    model: nn.Module
    task: Task
    folder: Path
    meters: Sequence[Meter] = ()
    smallest: bool = False
    seconds: float = SECONDS
    bytes: int = field(init=False)
    sha256: str = field(init=False)
    reference: Path = field(init=False)
    unmeasured: list[str] = field(init=False, default_factory=list)
    """Why meters did not measure the original."""

    def __post_init__(self) -> None:
        check_finite(self.model)
        self.latency = next((one for one in self.meters if isinstance(one, Latency)), None)
        self._exported, self._signature = export(self.model, self.task), signature_of(self.model)
        data = pack(self.model, self._exported, smallest=self.smallest)
        self.bytes, self.sha256 = len(data), hashlib.sha256(data).hexdigest()
        # Named by its digest, since several models may share a folder.
        self.reference = self.folder / original_name(self.sha256)
        self.folder.mkdir(parents=True, exist_ok=True)
        save(self.reference, data)

    def file_of(self, changed: nn.Module) -> bytes:
        """The bytes of a changed model's file; raises ExportError where it cannot be a file."""
        return file_of(changed, self.task, self._exported, self._signature, smallest=self.smallest)

    def original(self) -> Cost:
        """The cost of having the original: its bytes, its milliseconds and other readings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cost = Cost()
            for _, reading in self._readings(self.reference):
                cost |= reading
            cost |= Cost(bytes=self.bytes)
        for one in caught:
            if issubclass(one.category, UnmeasuredWarning):
                self.unmeasured.append(str(one.message))
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        timed = self.relative_latency(self.reference)
        return cost if timed is None else cost | Cost(milliseconds=timed.milliseconds)

    def relative_latency(
        self, file: Path, other: Path | None = None, seconds: float | None = None
    ) -> RelativeLatency | None:
        """The latency of a file relative to another, or to the reference.

        None without a latency meter. `seconds`: about how long it takes; None for the usual.
        """
        if self.latency is None:
            return None
        return relative_latency(
            file, other or self.reference, self.task, self.latency, seconds=seconds or self.seconds
        )

    def measured(self, trial: Trial, file: Path, judge: Judge, milliseconds: float | None) -> Trial:
        """The trial with the score and the cost of its file.

        Where the score is no number, the trial has none, and its note says so. `milliseconds`: of a
        run of the original, the unit of the trial's milliseconds; None where nothing is timed.
        """
        value, merits, scores = judge(file)
        trial = replace(trial, cost=trial.cost | Cost(bytes=file.stat().st_size), scores=scores)
        if not math.isfinite(value):
            return replace(trial, note=f"the score is {value}")
        return self.read(replace(trial, score=value, error=judge.error(merits)), file, milliseconds)

    def read(self, trial: Trial, file: Path, milliseconds: float | None) -> Trial:
        """The trial with the readings of the meters."""
        cost, versions = trial.cost, dict(trial.versions)
        for meter, reading in self._readings(file):
            cost |= reading
            versions |= {_READ_BY + name: repr(meter) for name in reading.measured()}
        return self.timed(replace(trial, cost=cost, versions=versions), file, milliseconds)

    def timed(
        self, trial: Trial, file: Path, milliseconds: float | None, seconds: float | None = None
    ) -> Trial:
        """The trial with the milliseconds of its file and their interval."""
        timed = self.relative_latency(file, seconds=seconds)
        if timed is None or milliseconds is None:
            return trial
        noise = {
            **trial.noise,
            "milliseconds": (timed.low * milliseconds, timed.high * milliseconds),
        }
        versions = {**trial.versions, _TIMED_BY: self.timer, _UNIT: repr(milliseconds)}
        return replace(
            trial,
            cost=trial.cost | Cost(milliseconds=timed.ratio * milliseconds),
            noise=noise,
            versions=versions,
        )

    @property
    def timer(self) -> str:
        """The latency meter with its settings, and the machine.

        Milliseconds of different timers must not be compared.
        """
        return "" if self.latency is None else f"{self.latency!r} {machine()}"

    def _readings(self, file: Path) -> Iterator[tuple[Meter, Cost]]:
        """The meters, without the latency meter, with their readings."""
        for meter in self.meters:
            if not isinstance(meter, Latency):
                yield meter, meter(file, self.task)


def read_by(trial: Trial, meters: Sequence[Gauge]) -> Trial:
    """A trial without the readings of meters with other settings, such as another target."""
    others = [
        one.measures
        for one in meters
        if trial.versions.get(_READ_BY + one.measures, repr(one)) != repr(one)
    ]
    return replace(trial, cost=replace(trial.cost, **dict.fromkeys(others))) if others else trial


def in_time_of(trial: Trial, timer: str, milliseconds: float | None) -> Trial:
    """A trial whose milliseconds are scaled to another timing of the original by the same timer.

    They are left out where another runtime, device, machine or setting timed the trial.

    `timer`: as `Weighing.timer`.
    `milliseconds`: that the original takes now.
    """
    measured = trial.cost.milliseconds
    if measured is None:
        return trial
    if not timer or milliseconds is None or trial.versions.get(_TIMED_BY) != timer:
        noise = {name: interval for name, interval in trial.noise.items() if name != "milliseconds"}
        return replace(trial, cost=replace(trial.cost, milliseconds=None), noise=noise)
    scale = milliseconds / float(trial.versions[_UNIT])
    low, high = trial.noise["milliseconds"]
    noise = {**trial.noise, "milliseconds": (low * scale, high * scale)}
    versions = {**trial.versions, _UNIT: repr(milliseconds)}
    return replace(
        trial, cost=trial.cost | Cost(milliseconds=measured * scale), noise=noise, versions=versions
    )


def original_name(sha256: str) -> str:
    """The name of the file of the model that came in, by its digest."""
    return f"original-{sha256[:16]}.shoe"


@contextmanager
def file_with(data: bytes) -> Iterator[Path]:
    """A context with the path of a file with these bytes, which is deleted afterwards."""
    with scratch_folder() as folder:
        path = folder / "model.shoe"
        save(path, data)
        yield path


@contextmanager
def hearing(notes: list[str], *, shortfalls: bool = False) -> Iterator[None]:
    """A context that adds each SkippedWarning to the notes once, and passes other warnings on.

    `shortfalls`: whether a ShortfallWarning is added too, after NOT_REACHED. Else it is dropped,
        since it is measured how far a trial came.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if not issubclass(warning.category, SkippedWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
            continue
        short = issubclass(warning.category, ShortfallWarning)
        text = f"{NOT_REACHED}{warning.message}" if short else str(warning.message)
        if text not in notes and (shortfalls or not short):
            notes.append(text)


def fault_of(error: Exception) -> str:
    """The text of a technique's error, for a note.

    An error that is not the technique's fault (a full disk, a device that is gone) is raised again.
    """
    if isinstance(error, RemoteError) or (isinstance(error, OSError) and error.errno is not None):
        raise error
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
