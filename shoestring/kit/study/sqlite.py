"""A study in a SQLite file, the storage for the processes of one machine."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import time

from shoestring.kit.study.trial import (
    Files,
    FolderFiles,
    Key,
    Storage,
    StudyError,
    StudyMismatch,
    Trial,
    disk_full,
)
from shoestring.kit.study.worker import Watch, Worker, bury, differing

_APPLICATION, _VERSION = 0x53686F65, 1  # "Shoe"
_SCHEMA = (
    "\ncreate table workers (id text primary key, model text not null, beat real not null, "
    "worker text not null)",
    "\ncreate table claims (\n"
    "    model text not null, technique text not null, seed integer not null, "
    "fidelity real not null,\n"
    "    worker text, deaths integer not null default 0, "
    "primary key (model, technique, seed, fidelity))",
    "\ncreate table trials (\n"
    "    id integer primary key autoincrement, model text not null, technique text not null, "
    "seed integer not null,\n"
    "    fidelity real not null, file text, trial text not null, "
    "unique (model, technique, seed, fidelity))",
)
_SECONDS = 60.0  # how long to wait for other processes
_THIS_KEY = "model = ? and technique = ? and seed = ? and fidelity = ?"


class SQLiteStorage(Storage):
    """Trials and claims of one model in a SQLite file; the files of trials are beside it.

    It uses the rollback journal and not the write-ahead log. Both survive a kill, but the rollback
    journal also survives a power cut, leaves one file when nobody writes, and works on file systems
    without shared memory.

    Raises StudyError for a file that is not a study, is damaged or was made by a newer version, and
    OSError where it cannot be opened.
    """

    def __init__(self, path: Path, model: str, watch: Watch) -> None:
        self._path, self._model, self._watch = path, model, watch
        self._known: list[Trial] = []
        self._last = 0
        with self._open() as connection:
            # one transaction, since another process may be creating the tables
            connection.execute("begin")
            is_ready = self._ready(connection)
            connection.execute("commit")
            if not is_ready:
                connection.execute("begin immediate")
                if not self._ready(connection):  # no other process was first
                    for statement in _SCHEMA:
                        connection.execute(statement)
                    connection.execute(f"pragma application_id = {_APPLICATION}")
                    connection.execute(f"pragma user_version = {_VERSION}")
                connection.execute("commit")
            elif (result := connection.execute("pragma quick_check(1)").fetchone()[0]) != "ok":
                raise self._damaged(result)

    def _ready(self, connection: sqlite3.Connection) -> bool:
        """Whether the tables exist; raises StudyError for a database of another program."""
        (application,), (version,) = (
            connection.execute(f"pragma {name}").fetchone()
            for name in ("application_id", "user_version")
        )
        tables = connection.execute("select count(*) from sqlite_master").fetchone()[0]
        if tables and application != _APPLICATION:
            raise StudyError(
                f"{self._path} is not a study: it is a database of another program; name another "
                "folder"
            )
        if version > _VERSION:
            raise StudyError(
                f"{self._path} was made by a newer version of shoestring (its schema is {version}, "
                f"and this version reads {_VERSION}): update shoestring, or name another folder"
            )
        return bool(tables)

    def _damaged(self, how: str) -> StudyError:
        return StudyError(
            f"{self._path} is damaged ({how}): put a copy back, or delete it to measure everything "
            "again"
        )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A new connection for each use, so that a forked process never shares one."""
        try:
            with closing(
                sqlite3.connect(self._path, timeout=_SECONDS, isolation_level=None)
            ) as connection:
                connection.execute("pragma synchronous = full")
                yield connection
        except sqlite3.DatabaseError as error:
            raise self._explained(error) from error
        except UnicodeDecodeError as error:
            raise self._damaged(str(error)) from error

    def _explained(self, error: sqlite3.DatabaseError) -> Exception:
        """The exception, with an explanation, for an error of SQLite."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):  # the latter for a limit of a file
            return disk_full(f"a row in {self._path}")
        if code == sqlite3.SQLITE_NOTADB:
            return StudyError(
                f"{self._path} is not a study: it is a file of another kind; name another folder"
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):  # the latter: a lacking table
            return self._damaged(str(error))
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StudyError(
                f"other processes kept {self._path} busy for {_SECONDS:.0f} seconds: run the "
                "command again"
            )
        return OSError(
            f"cannot use the study {self._path} ({error}): it needs a folder that exists and may "
            "be written"
        )

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of its changes are made, or none."""
        with self._open() as connection:
            connection.execute("begin immediate")
            yield connection
            connection.execute("commit")  # closing the connection before it rolls back

    def load(self) -> list[Trial]:
        with self._open() as connection:
            sql = "select id, trial from trials where model = ? and id > ? order by id"
            for number, trial in connection.execute(sql, (self._model, self._last)).fetchall():
                self._known.append(self._read(number, trial))
                self._last = number
        return list(self._known)

    def _read(self, number: int, trial: str) -> Trial:
        try:
            return Trial.from_json(trial)
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(f"its trial {number} cannot be read: {error}") from error

    def claim(self, me: Worker, key: Key) -> int | None:
        with self._changing() as connection:
            dead = self._remove_dead(connection, me)
            self._register(connection, me)
            deaths = self._take(connection, me, key)
        # After the commit: a worker without a lock file would count as one on another machine.
        for worker in dead:
            bury(worker)
        return deaths

    def _take(self, connection: sqlite3.Connection, me: Worker, key: Key) -> int | None:
        done = (
            "select 1 from trials where model = ? and technique = ? and seed = ? and fidelity >= ?"
        )
        if connection.execute(done, (self._model, *key)).fetchone():
            return None
        held = connection.execute(
            f"select worker, deaths from claims where {_THIS_KEY}", (self._model, *key)
        ).fetchone()
        if held is not None and held[0] not in (None, me.id):
            return None
        deaths = 0 if held is None else held[1]
        connection.execute(
            "insert or replace into claims values (?, ?, ?, ?, ?, ?)",
            (self._model, *key, me.id, deaths),
        )
        return deaths

    def _remove_dead(self, connection: sqlite3.Connection, me: Worker) -> list[Worker]:
        """Remove the dead workers, free their claims, and return them.

        Raises StudyMismatch where a living worker runs other versions.
        """
        sql, dead = "select worker, beat from workers where model = ? and id != ?", list[Worker]()
        for kept, beat in connection.execute(sql, (self._model, me.id)).fetchall():
            other = Worker(**json.loads(kept))
            if not self._watch.lives(other, beat):
                connection.execute(
                    "update claims set worker = null, deaths = deaths + 1 where worker = ?",
                    (other.id,),
                )
                connection.execute("delete from workers where id = ?", (other.id,))
                dead.append(other)
            elif differ := differing(me, other):
                raise StudyMismatch(mismatch(other, differ))
        return dead

    def _register(self, connection: sqlite3.Connection, me: Worker) -> None:
        row = me.id, self._model, time(), json.dumps(me.as_dict())
        connection.execute("insert or replace into workers values (?, ?, ?, ?)", row)

    def finish(self, me: Worker, trial: Trial) -> Trial:
        with self._changing() as connection:
            row = self._model, *trial.key, trial.file, trial.to_json()
            sql = (
                "insert or ignore into trials (model, technique, seed, fidelity, file, trial) "
                "values (?, ?, ?, ?, ?, ?)"
            )
            connection.execute(sql, row)
            mine = f"delete from claims where {_THIS_KEY} and (worker is null or worker = ?)"
            connection.execute(mine, (self._model, *trial.key, me.id))
            stored = connection.execute(
                f"select trial from trials where {_THIS_KEY}", (self._model, *trial.key)
            ).fetchone()
        return Trial.from_json(stored[0])

    def amend(self, trial: Trial) -> None:
        with self._changing() as connection:
            connection.execute(
                f"update trials set trial = ? where {_THIS_KEY}",
                (trial.to_json(), self._model, *trial.key),
            )
        self._known = [trial if one.key == trial.key else one for one in self._known]

    def give_back(self, me: Worker, key: Key) -> None:
        with self._changing() as connection:
            sql = f"update claims set worker = null where {_THIS_KEY} and worker = ?"
            connection.execute(sql, (self._model, *key, me.id))

    def beat(self, me: Worker) -> None:
        with self._changing() as connection:
            self._register(connection, me)

    def leave(self, me: Worker) -> None:
        with self._changing() as connection:
            connection.execute("update claims set worker = null where worker = ?", (me.id,))
            connection.execute("delete from workers where id = ?", (me.id,))

    def has_others(self) -> bool:
        with self._open() as connection:
            return (
                connection.execute(
                    "select 1 from trials where model != ? limit 1", (self._model,)
                ).fetchone()
                is not None
            )

    def claimed(self) -> list[Key]:
        sql = (
            "select technique, seed, fidelity, workers.worker, beat from claims "
            "join workers on claims.worker = workers.id where claims.model = ?"
        )
        with self._open() as connection:
            rows = connection.execute(sql, (self._model,)).fetchall()
        return [
            Key(technique, seed, fidelity)
            for technique, seed, fidelity, kept, beat in rows
            if self._watch.lives(Worker(**json.loads(kept)), beat)
        ]

    def files_of_others(self) -> set[str]:
        with self._open() as connection:
            sql = "select distinct file from trials where file is not null and model != ?"
            return {name for (name,) in connection.execute(sql, (self._model,))}

    def files(self) -> Files:
        return FolderFiles(self._path.parent)

    def close(self) -> None:
        """Nothing: no connection stays open."""


def mismatch(other: Worker, differ: str) -> str:
    """The message of a StudyMismatch.

    `differ`: the versions in which the workers differ, in words.
    """
    return (
        f"{other} works on this study with other code: {differ}; figures of both would be mixed: "
        "wait until it ends, or install the same versions in both places"
    )
