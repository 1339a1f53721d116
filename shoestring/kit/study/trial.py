"""Trials as a study remembers them, and what a store of them must be able to do."""

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
_OURS = re.compile(r"[0-9a-f]{64}\.shoe|\.shoe-.+")  # the latter of a write that was killed


class StudyError(ValueError):
    """A study that cannot be opened, read or gone on with; the message says why and what to do."""


class StudyHeld(StudyError):
    """Another command works on the study's folder; the message says which, and since when."""


class StudyMismatch(StudyError):
    """A living process of the same study runs other code or other versions; the message names both."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of a chain of techniques, measured on its file.

    `technique`: the repr of the chain. With the seed and the fidelity it names the trial within one
        model.
    `fidelity`: the share of the full training that it had, 0 (none) to 1.
    `cost`: of having the file (bytes, milliseconds, ...) and of getting it (seconds,
        processor_seconds).
    `score`: the validation score of the file; None where the trial failed, and then `note` says
        why.
    `error`: the standard error of the difference from the model as it came in; None where nobody
        knows it.
    `noise`: by field of the cost, the interval (low, high) of a measurement that is noisy.
    `file`: the name of the file in the study; None where it was not kept. `sha256` is the file's,
        kept or not.
    `scores`: validation scores that the task has by name.
    `note`: what was skipped.
    `when`: seconds since 1970.
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
        """What names the trial within one model."""
        return Key(self.technique, self.seed, self.fidelity)

    def to_json(self) -> str:
        """The trial as one line of JSON; `from_json` reads it."""
        told = {**asdict(self), "cost": self.cost.measured()}
        if not self.scores:
            del told["scores"]  # as trials were kept before there were any
        return json.dumps(told)

    @classmethod
    def from_json(cls, text: str) -> Trial:
        """The trial of a line of JSON."""
        kept = json.loads(text)
        noise = {name: (low, high) for name, (low, high) in kept["noise"].items()}
        return cls(**{**kept, "cost": Cost(**kept["cost"]), "noise": noise})


class Key(NamedTuple):
    """What names a trial within one model."""

    technique: str
    seed: int
    fidelity: float


class Files(ABC):
    """Where the files of trials are: each under the name of its contents, whole or not there."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Keep a file; raises OSError where there is no room and StudyError where it is too large."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is no such file."""

    @abstractmethod
    def holds(self, name: str) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def written(self) -> dict[str, float]:
        """When each file was written, in seconds since 1970, by name."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete a file; one that is not there is no error."""


class Storage(ABC):
    """Where a study remembers the trials and the claims of one model.

    Every change is made whole or not at all.
    """

    @abstractmethod
    def load(self) -> list[Trial]:
        """The trials that are finished, in the order in which they were."""

    @abstractmethod
    def claim(self, me: Worker, key: Key) -> int | None:
        """Claim a trial for a worker, which is registered thereby.

        Returns how often a process died with this claim; None where another living worker has it or
        where it is done, at this fidelity or above. Raises StudyMismatch, and then the worker is
        not registered.
        """

    @abstractmethod
    def finish(self, me: Worker, trial: Trial) -> Trial:
        """Remember a trial and end the claim.

        Returns the one that is remembered, which may be another worker's.
        """

    def amend(self, trial: Trial) -> None:
        """Put a trial that is finished in the place of what was remembered of it.

        A store that cannot leaves it as it is.
        """
        return

    @abstractmethod
    def give_back(self, me: Worker, key: Key) -> None:
        """End the claim, so that others can have it."""

    @abstractmethod
    def beat(self, me: Worker) -> None:
        """Write down that the worker lives."""

    @abstractmethod
    def leave(self, me: Worker) -> None:
        """Strike the worker off, with the claims that it still has."""

    @abstractmethod
    def has_others(self) -> bool:
        """Whether there are trials of other models."""

    @abstractmethod
    def files_of_others(self) -> set[str]:
        """The names of the files of other models' trials, where these lie in the same place."""

    @abstractmethod
    def files(self) -> Files:
        """Where the files are."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True)
class FolderFiles(Files):
    """Files in a folder."""

    folder: Path

    def write(self, name: str, data: bytes) -> None:
        with told_when_full(f"a file of {len(data):,} bytes in {self.folder}"):
            save(self.folder / name, data)

    def read(self, name: str) -> bytes | None:
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def holds(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def written(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for path in self.folder.iterdir():
            if not _OURS.fullmatch(path.name):
                continue
            try:
                found[path.name] = path.stat().st_mtime
            except FileNotFoundError:  # another process deleted it
                continue
        return found

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


@contextmanager
def told_when_full(what: str) -> Iterator[None]:
    """Says what is kept, and how to go on, where there is no room left on the disk."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise disk_full(what) from error


def disk_full(what: str) -> OSError:
    """The error of a full disk."""
    return OSError(
        errno.ENOSPC,
        f"there is no room on the disk for {what}; every trial that was finished before is kept "
        "and can be read: make room, or "
        "delete files that are not needed with Study.sweep, and run the same command again to go "
        "on",
    )
