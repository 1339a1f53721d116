"""Study: the trials of a model, stored once, safe with several processes and after kills."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from time import time
from types import TracebackType

from shoestring.artifact.errors import install
from shoestring.artifact.format.names import DATABASE
from shoestring.artifact.locks import FileLock
from shoestring.kit.study.sqlite import SQLiteStorage
from shoestring.kit.study.trial import (
    SUFFIX,
    Key,
    Storage,
    StudyError,
    StudyHeld,
    StudyMismatch,
    Trial,
    explained_when_full,
)
from shoestring.kit.study.worker import (
    Heartbeat,
    Watch,
    Worker,
    clear,
    hire,
)

__all__ = ["Claim", "Study", "StudyError", "StudyHeld", "StudyMismatch", "Trial"]

_BEATS = 6  # how many heartbeats fit into the patience


class Claim:
    """The right to measure one chain, which one living process has at a time.

    As a context manager it gives the claim back at the end, unless it was finished.

    `technique`, `seed`, `fidelity`: what is to be measured.
    `deaths`: how many processes died with this claim. It shows a chain that kills its process.
    """

    def __init__(self, study: Study, key: Key, deaths: int) -> None:
        self.technique, self.seed, self.fidelity = key
        self.deaths = deaths
        self._study, self._key, self._ended = study, key, False

    def finish(self, trial: Trial, data: bytes | None = None) -> Trial:
        """Store the result and its file, and return the trial with the file's name and digest.

        The file is written first and the row after it, each completely or not at all: after a kill
        both count or neither. Where another process took the claim over (this one had no heartbeat
        for long) and finished first, its trial is stored and returned.

        `trial`: the result; its `sha256` says the digest of a file that is not kept.
        `data`: the bytes of the file; None: it is not kept.

        Raises ValueError for a trial of another chain and for a claim that has ended, and OSError
        where the disk is full: the claim then stays, and everything stored before is kept.
        """
        if self._ended:
            raise ValueError(f"the claim to {self.technique} has ended: claim it again")
        if trial.key != self._key:
            raise ValueError(
                f"the trial is of {tuple(trial.key)} and the claim to {tuple(self._key)}: finish "
                "the one that was claimed"
            )
        stored = self._study._finish(trial, data)
        self._end()
        return stored

    def give_back(self) -> None:
        """Release the claim for others; a second call, or one after `finish`, does nothing."""
        if not self._ended:
            self._study._give_back(self._key)
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._study._let_go(self._key)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.give_back()
            return
        with contextlib.suppress(OSError, StudyError):  # the first error is the one to report
            self.give_back()
        self._end()


class Study:
    """The trials of one model, in a folder that many processes and later runs share.

    `folder`: created where it does not exist.
    `model`: identifies what the trials belong to (a digest of the model's file, the task's name and
        everything else that decides). Trials of other models are kept and not seen.
    `storage`: None for a SQLite file in the folder, for the processes of one machine;
        "journal:PATH" for a file of Optuna in a folder that several machines share, with the files
        of trials beside it, in PATH.files; or the URL of a database, "postgresql://user@host/name",
        which also stores files of up to 64 MB. The last two need the extra `search`; PostgreSQL
        also needs the extra `postgres`.
    `patience`: in seconds, above 0. The claim of a process that died is free at once on its own
        machine, and on others after this time without a heartbeat.

    Raises StudyError for a storage that is not a study, is damaged or was made by a newer version.
    """

    def __init__(
        self, folder: str | Path, model: str, *, storage: str | None = None, patience: float = 60.0
    ) -> None:
        if patience <= 0:
            raise ValueError(f"patience is {patience}: give seconds, above 0")
        self.folder, self.model = Path(folder), model
        self._where, self._watch = storage, Watch(patience)
        self._began = time()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.RLock()
        self._seen: set[str] = set()
        self._start()

    def _start(self) -> None:
        """Set up what belongs to this process alone."""
        self._process = os.getpid()
        self._storage = self._opened()
        self._files = self._storage.files()
        self._mine: set[Key] = set()
        self._me: tuple[Worker, FileLock] | None = None
        self._heart = Heartbeat(self._beat, self._watch.patience / _BEATS)

    def _opened(self) -> Storage:
        if self._where is None:
            return SQLiteStorage(self.folder / DATABASE, self.model, self._watch)
        if not self._where.startswith("journal:") and "://" not in self._where:
            raise StudyError(
                f"the storage {self._where!r} is not known: leave it out for SQLite in the folder, "
                "or write journal:PATH or the URL of a database, as in postgresql://user@host/name"
            )
        try:
            from shoestring.kit.study.optuna_storage import open_optuna
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{error.name} is not installed: a study over several machines comes with the "
                f"extra `search` ({install('search')})",
                name=error.name,
            ) from None
        return open_optuna(self._where, self.folder, self.model, self._watch)

    def _here(self) -> Storage:
        """The storage, which is opened again in a process that was forked since."""
        if os.getpid() != self._process:
            self._start()
        return self._storage

    # -- reading

    def trials(self) -> list[Trial]:
        """The finished trials of all processes, in the order in which they were finished."""
        with self._thread:
            trials = self._here().load()
            self._seen |= {trial.file for trial in trials if trial.file}
            return trials

    def find(self, technique: str, seed: int = 0, fidelity: float | None = None) -> Trial | None:
        """The finished trial of a chain; None where there is none.

        `fidelity`: of the trial, 0 to 1; None for the greatest that there is.
        """
        trials = [one for one in self.trials() if (one.technique, one.seed) == (technique, seed)]
        if fidelity is not None:
            trials = [one for one in trials if one.fidelity == fidelity]
        return max(trials, key=lambda one: one.fidelity, default=None)

    def holds(self, trial: Trial) -> bool:
        """Whether the study still has the file of a trial."""
        with self._thread:
            self._here()
            return trial.file is not None and self._files.holds(trial.file)

    def read(self, trial: Trial) -> bytes:
        """The bytes of a trial's file.

        Raises StudyError for a file that is missing, was altered or was never kept.
        """
        if trial.file is None:
            raise StudyError(
                f"no file was kept of {trial.technique}: apply the chain again to have one"
            )
        with self._thread:
            self._here()
            data = self._files.read(trial.file)
        if data is None:
            raise StudyError(
                f"the file {trial.file} of {trial.technique} is no longer in the study: apply the "
                "chain again"
            )
        if hashlib.sha256(data).hexdigest() != trial.sha256:
            raise StudyError(
                f"the file {trial.file} of {trial.technique} was altered: delete it and apply the "
                "chain again"
            )
        return data

    def is_apart(self) -> bool:
        """Whether the storage has trials, all of them of other models."""
        with self._thread:
            storage = self._here()
            return not storage.load() and storage.has_others()

    def has_others(self) -> bool:
        """Whether the storage has trials of other models."""
        with self._thread:
            return self._here().has_others()

    def claimed(self) -> list[Key]:
        """What living processes measure now, of this model."""
        with self._thread:
            return self._here().claimed()

    def amend(self, trial: Trial) -> None:
        """Store what was measured after a trial was finished, such as its milliseconds.

        Storages of several machines ignore it, since other machines measure again.
        """
        with self._thread:
            self._here().amend(trial)

    # -- writing

    def claim(self, technique: str, seed: int = 0, fidelity: float = 1.0) -> Claim | None:
        """Claim a chain in order to measure it.

        Returns None where a living process has the claim, or where the chain is finished at this
        fidelity or above.
        `technique`: the repr of the chain.
        `fidelity`: the share of the full training, 0 to 1.

        Raises StudyMismatch where a living process of this study runs other code, or another
        version of torch or of the runtime.
        """
        if not 0 <= fidelity <= 1:
            raise ValueError(f"fidelity is {fidelity}: give the share of the full training, 0 to 1")
        key = Key(technique, seed, float(fidelity))
        with self._thread:
            storage = self._here()
            done = (
                one
                for one in storage.load()
                if one.key[:2] == key[:2] and one.fidelity >= key.fidelity
            )
            if key in self._mine or any(done):
                return None
            if self._me is None:
                with explained_when_full(f"a file in {self.folder}"):
                    self._me = hire(self.folder / "workers")
            deaths = storage.claim(self._me[0], key)
            if deaths is None:
                return None
            self._mine.add(key)
            self._heart.start()
            return Claim(self, key, deaths)

    def _finish(self, trial: Trial, data: bytes | None) -> Trial:
        trial = replace(trial, file=None)
        if data is not None:
            digest = hashlib.sha256(data).hexdigest()
            trial = replace(trial, file=f"{digest}{SUFFIX}", sha256=digest)
        with self._thread:
            storage = self._here()
            if self._me is None:
                raise StudyError(
                    "the study was closed, or this process was forked, since the claim was made: "
                    "claim it again"
                )
            if trial.file is not None and data is not None:
                self._files.write(trial.file, data)
            stored = storage.finish(self._me[0], trial)
            if trial.file is not None and data is not None:
                # another process may have swept it since, as the file of an older trial
                if stored.file == trial.file and not self._files.holds(trial.file):
                    self._files.write(trial.file, data)
                self._seen.add(trial.file)
        return stored

    def _give_back(self, key: Key) -> None:
        with self._thread:
            storage = self._here()
            if self._me is not None and key in self._mine:
                storage.give_back(self._me[0], key)

    def _let_go(self, key: Key) -> None:
        with self._thread:
            self._mine.discard(key)
            if not self._mine:
                self._heart.stop()

    def _beat(self) -> None:
        if self._me is not None and os.getpid() == self._process:
            self._storage.beat(self._me[0])

    def sweep(self, keep: Iterable[Trial]) -> int:
        """Delete files of trials, and return how many; their rows stay.

        Deleted are the files of trials that are not in `keep`, and files without a row that are
        older than this object. Kept are files that other processes finished since the last call of
        `trials` or `find`, and the files of other models.
        """
        wanted = {trial.file for trial in keep}
        with self._thread:
            storage, known = self._here(), self._seen.copy()
            oldest = self._began - self._watch.patience
            written = self._files.written()  # before the rows, which follow their files
            kept = storage.files_of_others() | wanted
            rows = {trial.file for trial in storage.load()}
            unwanted = [
                name
                for name, time_ in written.items()
                if name not in kept and (name in known if name in rows else time_ < oldest)
            ]
            for name in unwanted:
                self._files.remove(name)
            clear(self.folder / "workers", oldest)
        return len(unwanted)

    def close(self) -> None:
        """Give back all claims and close the connections; a later use opens the study again."""
        with self._thread:
            if os.getpid() != self._process:
                return
            self._heart.stop()
            if self._me is not None:
                worker, lock = self._me
                with contextlib.suppress(OSError, StudyError):
                    self._storage.leave(worker)
                lock.release()
                with contextlib.suppress(OSError):
                    lock.path.unlink()
            self._mine, self._me = set(), None
            self._storage.close()

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
