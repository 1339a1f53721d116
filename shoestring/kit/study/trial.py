"""Trials as a study stores them, and the interface of a storage."""

from __future__ import annotations

import errno
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import time
from typing import NamedTuple

from shoestring.artifact import save
from shoestring.core.cost import Cost
from shoestring.core.ledger import machine, versions
from shoestring.kit.study.worker import Worker

SUFFIX = ".shoe"
_OURS = re.compile(r"[0-9a-f]{64}\.shoe|\.shoe-.+")  # the second is of a killed write


class StudyError(ValueError):
    """A study cannot be opened, read or continued; the message says why and what to do."""


class StudyHeld(StudyError):
    """Another command works on the study's folder; the message says which, and since when."""


class StudyMismatch(StudyError):
    """A living process of the study runs other code or versions; the message names both."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The result of a chain of techniques, measured on its file.

    `technique`: the repr of the chain. Together with the seed and the fidelity it identifies the
        trial of a model.
    `fidelity`: the share of the full training, 0 (none) to 1.
    `seed`: of the chain.
    `cost`: of having the file (bytes, milliseconds and more) and of getting it (seconds,
        processor_seconds).
    `score`: the validation score of the file; None where the trial failed and `note` says why.
    `error`: the standard error of the difference of scores from the model that came in; None where
        it is not known.
    `noise`: the interval (low, high) of each noisy measurement, by field of the cost.
    `file`: the name of the file in the study; None where it was not kept.
    `sha256`: the digest of the file, kept or not.
    `note`: what was skipped, or why the trial failed.
    `scores`: the validation scores that the task has by name.
    `machine`, `versions`: where it was measured, and with which versions.
    `when`: in seconds since 1970.
    """

    technique: str
    fidelity: float = 1.0
    seed: int = 0
    cost: Cost = Cost()
    score: float | None = None
    error: float | None = None
    noise: dict[str, tuple[float, float]] = field(default_factory=dict)
    file: str | None = None
    sha256: str | None = None
    note: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    machine: str = field(default_factory=lambda: machine())
    versions: dict[str, str] = field(default_factory=lambda: versions())
    when: float = field(default_factory=time)

    @property
    def key(self) -> Key:
        """What identifies the trial of a model."""
        return Key(self.technique, self.seed, self.fidelity)

    def to_json(self) -> str:
        """The trial as one line of JSON, which `from_json` reads."""
        values = {**asdict(self), "cost": self.cost.measured()}
        if not self.scores:
            del values["scores"]  # older versions have no such field
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Trial:
        """The trial of a line of JSON."""
        values = json.loads(text)
        noise = {name: (low, high) for name, (low, high) in values["noise"].items()}
        return cls(**{**values, "cost": Cost(**values["cost"]), "noise": noise})


class Key(NamedTuple):
    """What identifies a trial of a model."""

    technique: str
    seed: int
    fidelity: float


class Files(ABC):
    """Storage for the files of trials, each named by its digest and either complete or absent."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Store a file; raises OSError for a full disk and StudyError for a file too large."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where it does not exist."""

    @abstractmethod
    def holds(self, name: str) -> bool:
        """Whether a file exists."""

    @abstractmethod
    def written(self) -> dict[str, float]:
        """The time at which each file was written, in seconds since 1970, by name."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete a file; a file that does not exist is no error."""


class Storage(ABC):
    """Storage for the trials and claims of one model; each change is complete or not made."""

    @abstractmethod
    def load(self) -> list[Trial]:
        """The finished trials, in the order in which they were finished."""

    @abstractmethod
    def claim(self, me: Worker, key: Key) -> int | None:
        """Claim a trial for a worker, and register the worker.

        Returns how often a process died with this claim; None where another living worker has the
        claim, or where the trial is finished at this fidelity or above. Raises StudyMismatch, and
        does not register the worker, where a living worker runs other versions.
        """

    @abstractmethod
    def finish(self, me: Worker, trial: Trial) -> Trial:
        """Store a trial and end the claim; returns the stored trial, perhaps of another worker."""

    def amend(self, trial: Trial) -> None:
        """Replace a stored trial; a storage that cannot do that ignores the call."""
        return

    @abstractmethod
    def give_back(self, me: Worker, key: Key) -> None:
        """End a claim, so that others can have it."""

    @abstractmethod
    def beat(self, me: Worker) -> None:
        """Store a heartbeat of the worker."""

    @abstractmethod
    def leave(self, me: Worker) -> None:
        """Remove the worker and its claims."""

    @abstractmethod
    def has_others(self) -> bool:
        """Whether there are trials of other models."""

    @abstractmethod
    def claimed(self) -> list[Key]:
        """What living processes measure now; nothing is changed."""

    @abstractmethod
    def files_of_others(self) -> set[str]:
        """The names of the files of other models' trials that share the storage of the files."""

    @abstractmethod
    def files(self) -> Files:
        """The storage of the files."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True)
class FolderFiles(Files):
    """Files in a folder."""

    folder: Path

    def write(self, name: str, data: bytes) -> None:
        with explained_when_full(f"a file of {len(data):,} bytes in {self.folder}"):
            save(self.folder / name, data)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def holds(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def written(self) -> dict[str, float]:
        times: dict[str, float] = {}
        for path in self.folder.iterdir():
            if not _OURS.fullmatch(path.name):
                continue
            try:
                times[path.name] = path.stat().st_mtime
            except FileNotFoundError:  # another process deleted it
                continue
        return times

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


@contextmanager
def explained_when_full(what: str) -> Iterator[None]:
    """Turn the error of a full disk into one that says what is kept and how to go on.

    `what`: what was to be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise disk_full(what) from error


def disk_full(what: str) -> OSError:
    """The error of a full disk, where `what` was to be written."""
    return OSError(
        errno.ENOSPC,
        f"there is no room on the disk for {what}; every trial that was finished before is kept "
        "and can be read: make room, or delete files that are not needed with Study.sweep, and run "
        "the same command again to go on",
    )
