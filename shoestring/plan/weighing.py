"""Weighing: files of changed models, made by the graph of the original, and what is measured on
them beside the original's.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import nn

from shoestring.artifact import save
from shoestring.core import Cost, Meter, Task
from shoestring.core.ledger import machine
from shoestring.kit import ShortfallWarning, SkippedWarning, Trial, check_finite, export, pack
from shoestring.meters import Latency, RemoteError
from shoestring.meters.interleaved import SECONDS
from shoestring.plan.judge import Judge
from shoestring.plan.relative_latency import RelativeLatency, relative_latency
from shoestring.plan.same_graph import file_of, signature_of

_TIMED_BY, _UNIT = "timed by", "milliseconds of the original"
"""What a trial says of its milliseconds, beside the versions of what made it."""
NOT_REACHED = "not reached: "
"""Before a note of what a technique was asked for and did not reach.

All others are of what it left alone.
"""


@dataclass
class Weighing:
    """Makes files of changed models, and weighs them beside the file of `model`, which is written
    into `folder` (`reference`).

    `meters` are read; a Latency among them times each file beside the reference instead, for about
    `seconds`. Raises ValueError for a model that is not finite, ExportError for one that cannot be
    a file.
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

    def __post_init__(self) -> None:
        check_finite(self.model)
        self.latency = next((one for one in self.meters if isinstance(one, Latency)), None)
        self._exported, self._signature = export(self.model, self.task), signature_of(self.model)
        data = pack(self.model, self._exported, smallest=self.smallest)
        self.bytes, self.sha256 = len(data), hashlib.sha256(data).hexdigest()
        # By its digest: a folder may see several models, and none writes over another's.
        self.reference = self.folder / original_name(self.sha256)
        self.folder.mkdir(parents=True, exist_ok=True)
        save(self.reference, data)

    def file_of(self, changed: nn.Module) -> bytes:
        """The bytes of a changed model's file; raises ExportError where it cannot be one."""
        return file_of(changed, self.task, self._exported, self._signature, smallest=self.smallest)

    def original(self) -> Cost:
        """What the model as it was costs to have.

        Its file, its milliseconds, and what the other meters read.
        """
        cost = self._read(self.reference) | Cost(bytes=self.bytes)
        timed = self.beside(self.reference)
        return cost if timed is None else cost | Cost(milliseconds=timed.milliseconds)

    def beside(
        self, file: Path, other: Path | None = None, seconds: float | None = None
    ) -> RelativeLatency | None:
        """The pace of a file beside the reference, or another file; None without a latency meter."""
        if self.latency is None:
            return None
        return relative_latency(
            file, other or self.reference, self.task, self.latency, seconds=seconds or self.seconds
        )

    def measured(self, trial: Trial, file: Path, judge: Judge, milliseconds: float | None) -> Trial:
        """The trial with all that its file tells.

        Without a score, and with the reason, where that is no number.
        `milliseconds`: what the original takes a run, the unit of its time.
        """
        value, merits = judge(file)
        trial = replace(trial, cost=trial.cost | Cost(bytes=file.stat().st_size))
        if not math.isfinite(value):
            return replace(trial, note=f"the score is {value}")
        return self.read(replace(trial, score=value, error=judge.error(merits)), file, milliseconds)

    def read(self, trial: Trial, file: Path, milliseconds: float | None) -> Trial:
        """The trial with what the meters read off its file."""
        return self.timed(replace(trial, cost=trial.cost | self._read(file)), file, milliseconds)

    def timed(
        self, trial: Trial, file: Path, milliseconds: float | None, seconds: float | None = None
    ) -> Trial:
        """The trial with the milliseconds of its file, timed for so many seconds, and their
        interval.
        """
        timed = self.beside(file, seconds=seconds)
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
        """What times files: settings of the latency meter, and the machine.

        Milliseconds of another are not to be compared with.
        """
        return "" if self.latency is None else f"{self.latency!r} {machine()}"

    def _read(self, file: Path) -> Cost:
        cost = Cost()
        for meter in self.meters:
            if not isinstance(meter, Latency):
                cost |= meter(file, self.task)
        return cost


def in_time_of(trial: Trial, timer: str, milliseconds: float | None) -> Trial:
    """A trial, its milliseconds in units of what the original takes by a timer.

    Without them where another runtime, device or machine timed it, or with other settings.
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
    """What the file of the model that came in is called, by its digest."""
    return f"original-{sha256[:16]}.shoe"


@contextmanager
def file_with(data: bytes) -> Iterator[Path]:
    """The path of a file with these bytes, which is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="shoestring-") as folder:
        path = Path(folder) / "model.shoe"
        save(path, data)
        yield path


@contextmanager
def hearing(notes: list[str], *, shortfalls: bool = False) -> Iterator[None]:
    """Adds what techniques skip to the notes, each text once; other warnings are given as ever.

    `shortfalls`: so too what they were asked for and did not reach, behind NOT_REACHED; else it is
        dropped, for how far a trial came is measured.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    for one in said:
        if not issubclass(one.category, SkippedWarning):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            continue
        short = issubclass(one.category, ShortfallWarning)
        text = f"{NOT_REACHED}{one.message}" if short else str(one.message)
        if text not in notes and (shortfalls or not short):
            notes.append(text)


def fault_of(error: Exception) -> str:
    """What a technique's error says, for a note.

    One that is none of the technique's (a full disk, a device that is gone) is raised.
    """
    if isinstance(error, RemoteError) or (isinstance(error, OSError) and error.errno is not None):
        raise error
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
