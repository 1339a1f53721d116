"""Study: what was tried of a model, remembered once, safe among processes and kills."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from time import time
from types import TracebackType

from shoestring.artifact.errors import install
from shoestring.kit.study.sqlite import SQLiteStorage
from shoestring.kit.study.trial import (
    SUFFIX,
    Key,
    Storage,
    StudyError,
    StudyHeld,
    StudyMismatch,
    Trial,
    told_when_full,
)
from shoestring.kit.study.worker import (
    FileLock,
    Heartbeat,
    Watch,
    Worker,
    clear,
    command,
    hire,
    host,
)

__all__ = ["Claim", "Study", "StudyError", "StudyHeld", "StudyMismatch", "Trial"]

_BEATS = 6  # within the patience


class Claim:
    """The right to measure one chain, which one living process has at a time.

    A context manager that gives it back at the end unless it was finished.
    `deaths`: how many processes ended with this claim in their hands. A chain that kills its
        process is known by it.
    """

    def __init__(self, study: Study, key: Key, deaths: int) -> None:
        self.technique, self.seed, self.fidelity = key
        self.deaths = deaths
        self._study, self._key, self._ended = study, key, False

    def finish(self, trial: Trial, data: bytes | None = None) -> Trial:
        """Remember what came of it, with its file, and return the trial with the file's name and
        digest.

        Of a file that is not to be kept, leave out `data` and say `sha256` in the trial.
        The file is written first and the row after it, each whole or not at all: after a kill both
        count or neither. Where another process took the claim over (this one had no heartbeat for
        long) and was first, its trial is remembered and returned. Raises ValueError for a trial of
        another chain and for a claim that has ended, OSError where there is no room: then the claim
        stays, and what was finished before is kept.
        """
        if self._ended:
            raise ValueError(f"the claim to {self.technique} has ended: claim it again")
        if trial.key != self._key:
            raise ValueError(
                f"the trial is of {tuple(trial.key)} and the claim to {tuple(self._key)}: finish "
                "the one that was claimed"
            )
        found = self._study._finish(trial, data)
        self._end()
        return found

    def give_back(self) -> None:
        """Let others have it; a second time, or after `finish`, does nothing."""
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
        with contextlib.suppress(OSError, StudyError):  # what went wrong first is what to tell
            self.give_back()
        self._end()


class Study:
    """The trials of one model, in a folder that many processes and later runs share.

    `model` names what the trials belong to (a digest of the model's file, the task's name and what
    else decides); trials of other models stay where they are and are not seen.
    `storage`: None for a SQLite file in the folder, for the processes of one machine;
        "journal:PATH" for a file of Optuna's in a folder that several machines share (the trials'
        files lie beside it, in PATH.files); or the URL of a database,
        "postgresql://user@host/name", where the files are kept too, up to 64 MB each. The latter
        two need the extra `search`, PostgreSQL the extra `postgres`. A claim of a process that died
        is free at once on the machine where it died; on others after `patience` seconds without a
        heartbeat.

    Raises StudyError for a storage that is no study, is damaged, or was made by a newer version.
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
        """What belongs to this process alone."""
        self._process = os.getpid()
        self._storage = self._opened()
        self._files = self._storage.files()
        self._mine: set[Key] = set()
        self._me: tuple[Worker, FileLock] | None = None
        self._heart = Heartbeat(self._beat, self._watch.patience / _BEATS)

    def _opened(self) -> Storage:
        if self._where is None:
            return SQLiteStorage(self.folder / "study.sqlite", self.model, self._watch)
        if not self._where.startswith("journal:") and "://" not in self._where:
            raise StudyError(
                f"the storage {self._where!r} is not known: leave it out for SQLite in the "
                "folder, or write journal:PATH or the "
                "URL of a database, as in postgresql://user@host/name"
            )
        try:
            from shoestring.kit.study.optuna_storage import open_optuna
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{error.name} is not installed: a study over several machines comes with the "
                "extra `search` "
                f"({install('search')})",
                name=error.name,
            ) from None
        return open_optuna(self._where, self.folder, self.model, self._watch)

    def _here(self) -> Storage:
        """The storage, opened anew in a process that was forked since."""
        if os.getpid() != self._process:
            self._start()
        return self._storage

    # What is known
    # --------------------------------------------------------------------------------------------------------

    def trials(self) -> list[Trial]:
        """The trials that are finished, of all processes, in the order in which they were."""
        with self._thread:
            found = self._here().load()
            self._seen |= {one.file for one in found if one.file}
            return found

    def find(self, technique: str, seed: int = 0, fidelity: float | None = None) -> Trial | None:
        """The finished trial of a chain: of the greatest fidelity, or of the one that is named.

        None where there is none.
        """
        found = [one for one in self.trials() if (one.technique, one.seed) == (technique, seed)]
        if fidelity is not None:
            found = [one for one in found if one.fidelity == fidelity]
        return max(found, key=lambda one: one.fidelity, default=None)

    def holds(self, trial: Trial) -> bool:
        """Whether the file of a trial is still there."""
        with self._thread:
            self._here()
            return trial.file is not None and self._files.holds(trial.file)

    def read(self, trial: Trial) -> bytes:
        """The bytes of a trial's file.

        Raises StudyError where it is missing, was altered or was never kept.
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
        """Whether the storage has trials, and all of them are of other models."""
        with self._thread:
            storage = self._here()
            return not storage.load() and storage.has_others()

    def amend(self, trial: Trial) -> None:
        """Remember what was measured later of a trial that is finished (its milliseconds, say).

        Stores across machines do not, and measure it again.
        """
        with self._thread:
            self._here().amend(trial)

    # What is done
    # ---------------------------------------------------------------------------------------------------------

    def claim(self, technique: str, seed: int = 0, fidelity: float = 1.0) -> Claim | None:
        """Claim a chain, to measure it.

        None where a living process has it or where it is done, at this fidelity or above.
        Raises StudyMismatch where a living process of this study runs other code, or another torch
        or runtime.
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
                with told_when_full(f"a file in {self.folder}"):
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
            found = storage.finish(self._me[0], trial)
            if trial.file is not None and data is not None:
                if found.file == trial.file and not self._files.holds(
                    trial.file
                ):  # swept since, as an older trial's
                    self._files.write(trial.file, data)
                self._seen.add(trial.file)
        return found

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
        """Delete the files, not the rows, of trials that are not in `keep`, and files without a row
        that are older than this study object; returns how many.

        What other processes finished since this one last asked (`trials`, `find`) stays, and so do
        other models' files.
        """
        wanted = {one.file for one in keep}
        with self._thread:
            storage, known, oldest = (
                self._here(),
                self._seen.copy(),
                self._began - self._watch.patience,
            )
            found = self._files.written()  # before the rows, which come after their files
            others = storage.files_of_others() | wanted
            rows = {one.file for one in storage.load()}
            gone = [
                n
                for n, at in found.items()
                if n not in others and (n in known if n in rows else at < oldest)
            ]
            for name in gone:
                self._files.remove(name)
            clear(self.folder / "workers", oldest)
        return len(gone)

    def close(self) -> None:
        """Give back what is claimed and let go of connections.

        The study opens again where it is used again.
        """
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


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the one command that works on a study's folder and delivers from it.

    Processes that only claim need not be.
    Raises StudyHeld where another is, which says who. The kernel takes the lock back when the
    process ends, however it ends.
    """
    path = folder / "command.lock"
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    told = {"process": os.getpid(), "host": host().split()[0], "since": since, "command": command()}
    try:
        with told_when_full(f"a lock in {folder}"):
            lock = FileLock(path, json.dumps(told))
    except BlockingIOError:
        raise StudyHeld(
            f"{_holder(path)} works on the study in {folder}: wait until it ends, or name another "
            "folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _holder(path: Path) -> str:
    """Who has the lock, in words."""
    try:
        told = json.loads(path.read_text())
        return (
            f"process {told['process']} on {told['host']} ({told['command']}), since "
            f"{told['since']},"
        )
    except (OSError, ValueError, KeyError, TypeError):  # it is just being written
        return "another command"
