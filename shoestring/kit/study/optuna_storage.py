"""A study in an Optuna storage: a journal or a database, for processes on several machines."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import time
from typing import Any, BinaryIO

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import (
    BaseJournalBackend,
    JournalFileBackend,
    JournalFileOpenLock,
    JournalFileSymlinkLock,
)
from optuna.trial import FrozenTrial, TrialState

from shoestring.kit.study.database import (
    DatabaseFiles,
    connected,
    explained,
    shown_url,
    with_driver,
)
from shoestring.kit.study.sqlite import mismatch
from shoestring.kit.study.trial import (
    Files,
    FolderFiles,
    Key,
    Storage,
    StudyError,
    StudyMismatch,
    Trial,
)
from shoestring.kit.study.worker import Watch, Worker, bury, differing

_DONE = (TrialState.COMPLETE, TrialState.PRUNED)
_OPEN_AND_DONE = (TrialState.RUNNING, *_DONE)


def open_optuna(storage: str, folder: Path, model: str, watch: Watch) -> OptunaStorage:
    """The storage at "journal:PATH" or at the URL of a database.

    Raises StudyError where it cannot be opened, and ModuleNotFoundError where a package is missing.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage.startswith("journal:"):
        path = storage.removeprefix("journal:")
        if not path:
            raise StudyError(
                "the storage 'journal:' names no file: write journal:PATH, a file in a folder that "
                "all machines share"
            )
        try:
            with explained(f"the journal {path}"):
                # beside the journal, so that all who share it share the files
                files = Path(path).absolute().with_name(f"{Path(path).name}.files")
                files.mkdir(parents=True, exist_ok=True)
                return OptunaStorage(
                    JournalStorage(Journal(path)), model, watch, f"the journal {path}", files
                )
        except (
            json.JSONDecodeError,
            UnicodeDecodeError,
            KeyError,
            AttributeError,
            TypeError,
        ) as error:
            raise StudyError(
                f"{path} is no journal of a study, or is damaged ({error}): name another, or put a "
                "copy back"
            ) from error
    shown = shown_url(storage)
    with explained(f"the database {shown}"):
        return OptunaStorage(
            connected(with_driver(storage)), model, watch, f"the database {shown}", None
        )


class Journal(BaseJournalBackend):
    """Optuna's journal file, which also cuts off an incomplete last line before it writes.

    Such a line remains of a failed write or a power cut; the next line would be lost with it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        # These locks work on network file systems too. The lock of a killed process ends after
        # 30 s.
        self._lock = (
            JournalFileOpenLock(path) if sys.platform == "win32" else JournalFileSymlinkLock(path)
        )
        self._file = JournalFileBackend(path, lock_obj=self._lock)

    def read_logs(self, log_number_from: int) -> Any:
        return self._file.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(one, separators=(",", ":")) + "\n" for one in logs)
        self._lock.acquire()
        try:
            with open(self._path, "rb+") as file:
                file.truncate(_end_of_lines(file))
                file.seek(0, os.SEEK_END)
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        finally:
            self._lock.release()


def _end_of_lines(file: BinaryIO) -> int:
    """The position at which the last complete line ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        file.seek(end - 1)
        if file.read(1) == b"\n":
            break
        end -= 1
    return end


class OptunaStorage(Storage):
    """Trials and claims of one model in an Optuna study.

    Optuna numbers the trials of a study in the order of their creation, and creates each completely
    or not at all. A claim is a running trial; the one with the lowest number counts, and the others
    are given up. A finished trial is a complete one (a pruned one, where it failed), created with
    all of its data; again the first counts.
    """

    def __init__(
        self, storage: BaseStorage, model: str, watch: Watch, what: str, folder: Path | None
    ) -> None:
        self._storage, self._watch, self._what, self._folder = storage, watch, what, folder
        self._name = f"shoestring {model}"
        self._study = self._open(self._name)
        self._known: dict[int, Trial] = {}
        self._claims: dict[Key, int] = {}  # the numbers of our claims

    def _open(self, name: str) -> optuna.Study:
        sampler = optuna.samplers.RandomSampler()  # never used
        return optuna.create_study(
            storage=self._storage,
            study_name=name,
            load_if_exists=True,
            direction="maximize",
            sampler=sampler,
        )

    def load(self) -> list[Trial]:
        with explained(self._what):
            first: dict[Key, Trial] = {}
            for one in self._study.get_trials(deepcopy=False, states=_DONE):
                if one.number not in self._known:
                    self._known[one.number] = Trial.from_json(one.user_attrs["trial"])
                first.setdefault(self._known[one.number].key, self._known[one.number])
            return list(first.values())

    def claim(self, me: Worker, key: Key) -> int | None:
        with explained(self._what):
            self._register(me)
            living = self._living(me)
            if self._taken(me, key, living, before=None):
                return None
            token = uuid.uuid4().hex
            attributes = {**key._asdict(), "worker": me.id, "token": token}
            self._study.add_trial(
                optuna.create_trial(state=TrialState.RUNNING, user_attrs=attributes)
            )
            mine = next(
                one.number
                for one in reversed(self._trials())
                if one.user_attrs.get("token") == token
            )
            if self._taken(me, key, self._living(me), before=mine):
                self._end(mine)
                return None
            self._claims[key] = mine
            return int(self._study.user_attrs.get(_deaths(key), 0))

    def _trials(self) -> Sequence[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=_OPEN_AND_DONE)

    def _taken(self, me: Worker, key: Key, living: set[str], *, before: int | None) -> bool:
        """Whether a trial is finished, or claimed by a living worker; claims of the dead are ended.

        `before`: only claims with a lower number count; None for all.
        """
        for one in self._trials():
            kept = one.user_attrs
            if (kept["technique"], kept["seed"]) != key[:2]:
                continue
            if one.state in _DONE:
                if kept["fidelity"] >= key.fidelity:
                    return True
            elif kept["fidelity"] == key.fidelity and (before is None or one.number < before):
                if kept["worker"] in living:
                    return True
                if self._end(one.number) and kept["worker"] != me.id:
                    self._study.set_user_attr(
                        _deaths(key), int(self._study.user_attrs.get(_deaths(key), 0)) + 1
                    )
        return False

    def _end(self, number: int) -> bool:
        """End a claim; False where it had ended."""
        try:
            self._study.tell(number, state=TrialState.FAIL)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):  # it had ended
            return False
        return True

    def _register(self, me: Worker) -> None:
        if self._study.user_attrs.get(f"worker {me.id}") is None:
            self._study.set_user_attr(f"worker {me.id}", me.as_dict())
        self._study.set_user_attr(f"beat {me.id}", time())

    def _living(self, me: Worker) -> set[str]:
        """The ids of the other living workers; the dead are removed.

        Raises StudyMismatch where one runs other versions.
        """
        living = set[str]()
        for other, beat in self._workers():
            if other.id == me.id:
                continue
            if not self._watch.lives(other, beat):
                self._study.set_user_attr(f"worker {other.id}", None)
                bury(other)
            elif differ := differing(me, other):
                self._study.set_user_attr(f"worker {me.id}", None)
                raise StudyMismatch(mismatch(other, differ))
            else:
                living.add(other.id)
        return living

    def _workers(self) -> Iterator[tuple[Worker, float]]:
        """The registered workers, each with the time at which it last said that it lives."""
        attributes = self._study.user_attrs
        for name, kept in attributes.items():
            if name.startswith("worker ") and kept is not None:
                yield Worker(**kept), attributes.get(f"beat {kept['id']}", 0.0)

    def finish(self, me: Worker, trial: Trial) -> Trial:
        with explained(self._what):
            if (stored := self._first(trial.key)) is None:
                scored = trial.score is not None
                state = TrialState.COMPLETE if scored else TrialState.PRUNED
                attributes = {**trial.key._asdict(), "trial": trial.to_json()}
                made = optuna.create_trial(state=state, value=trial.score, user_attrs=attributes)
                self._study.add_trial(made)
                stored = self._first(trial.key)
            if (number := self._claims.pop(trial.key, None)) is not None:
                self._end(number)
        assert stored is not None
        return stored

    def _first(self, key: Key) -> Trial | None:
        return next((one for one in self.load() if one.key == key), None)

    def give_back(self, me: Worker, key: Key) -> None:
        with explained(self._what):
            if (number := self._claims.pop(key, None)) is not None:
                self._end(number)

    def beat(self, me: Worker) -> None:
        self._study.set_user_attr(f"beat {me.id}", time())
        self._storage.remove_session()  # of the thread that beats

    def leave(self, me: Worker) -> None:
        with explained(self._what):
            for key in list(self._claims):
                self.give_back(me, key)
            if self._study.user_attrs.get(f"worker {me.id}") is not None:
                self._study.set_user_attr(f"worker {me.id}", None)

    def has_others(self) -> bool:
        with explained(self._what):
            return any(self._of_others())

    def claimed(self) -> list[Key]:
        with explained(self._what):
            living = {one.id for one, beat in self._workers() if self._watch.lives(one, beat)}
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            kept = [one.user_attrs for one in running if one.user_attrs.get("worker") in living]
            keys = [Key(one["technique"], one["seed"], one["fidelity"]) for one in kept]
            return list(dict.fromkeys(keys))

    def _of_others(self) -> Iterator[Sequence[FrozenTrial]]:
        """The finished trials of each other model."""
        for name in optuna.get_all_study_names(self._storage):
            if name != self._name:
                yield optuna.load_study(study_name=name, storage=self._storage).get_trials(
                    deepcopy=False, states=_DONE
                )

    def files_of_others(self) -> set[str]:
        if self._folder is None:  # in a database each model has its own files
            return set()
        files: set[str] = set()
        for trials in self._of_others():
            kept = [json.loads(one.user_attrs["trial"]) for one in trials]
            files |= {one["file"] for one in kept if one["file"]}
        return files

    def files(self) -> Files:
        return (
            DatabaseFiles(self._storage, self._name, self._what)
            if self._folder is None
            else FolderFiles(self._folder)
        )

    def close(self) -> None:
        self._storage.remove_session()
        if isinstance(self._storage, RDBStorage):
            self._storage.engine.dispose()


def _deaths(key: Key) -> str:
    """The attribute that counts the deaths with a claim."""
    return f"deaths {uuid.uuid5(uuid.NAMESPACE_OID, repr(tuple(key))).hex}"
