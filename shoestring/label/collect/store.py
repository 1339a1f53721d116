"""The file of a labelling project: answers in SQLite, append-only, none lost and none twice."""

from __future__ import annotations

import errno
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, final

from shoestring.artifact.format.saving import check_file
from shoestring.label.collect.answer import KINDS, Answer, Kind, digest, labels_as_text, labels_of
from shoestring.label.example import Choice, Collection, Example

VERSION = 2
_SCHEMA = (
    "create table if not exists project (key text primary key, value text not null)",
    "create table if not exists classes (number integer primary key autoincrement, "
    "name text not null unique)",
    "create table if not exists answers (number integer primary key autoincrement, "
    "id text not null unique, example text not null, digest text not null, by text not null, "
    "labels text not null, complete integer not null, skipped integer not null, seconds real, "
    "at real, undoes text not null, decides integer not null default 0)",
    "create table if not exists curve (number integer primary key autoincrement, "
    "labels integer not null, score real not null, error real, at real not null)",
    "create table if not exists leases (example text primary key, session text not null, "
    "until real not null)",
    *(
        f"create trigger if not exists {table}_{what} before {what} on {table} "
        "begin select raise(abort, 'the answers are append-only'); end"
        for table in ("answers", "curve", "classes")
        for what in ("update", "delete")
    ),
)
_COLUMNS = "id, example, digest, by, labels, complete, skipped, seconds, at, undoes, decides"
_TO_VERSION_2 = "alter table answers add column decides integer not null default 0"


@final
@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of the curve: a score on examples that were not trained on.

    `labels`: how many examples were labelled when the model was trained.
    `score`: 0 to 1. `error`: its standard error, or None.
    """

    labels: int
    score: float
    error: float | None = None


class Store:
    """The answers of a project, in a file that is made where there is none.

    What `add` returned from is on the disk: each transaction waits for it (synchronous=FULL), so
    that neither a killed process nor a power cut takes an answer back. Rows are never changed or
    deleted; undoing is a row too. Threads may share a store.

    `path`: of the file; beside it SQLite keeps `-wal` and `-shm` while it works.
    `kind`: of the labels; None to take what the file has.
    `names`: classes, which follow those that the file has.

    Raises ValueError for a file of another kind, of a newer schema or of other labels, and OSError
    where it cannot be opened or written.
    """

    def __init__(self, path: Path, kind: Kind | None = None, names: Iterable[str] = ()) -> None:
        check_file(path)
        if kind is None and (not path.exists() or path.stat().st_size == 0):
            raise FileNotFoundError(
                errno.ENOENT,
                f"there is no labelling project {path}: `shoestring label SOURCE` makes one",
            )
        self.path = path
        self._lock = RLock()
        with explained(path):
            if not path.exists():
                # Others on this machine must not read the token, nor what people said.
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False
            )
            try:
                self._open(kind, list(names))
            except BaseException:
                self._db.close()
                raise

    def _open(self, kind: Kind | None, names: list[str]) -> None:
        (version,) = self._db.execute("pragma user_version").fetchone()
        tables = {name for (name,) in self._db.execute("select name from sqlite_master")}
        if tables and "answers" not in tables:
            raise ValueError(
                f"{self.path} is no labelling project: it is a database of another program; name "
                "another file with --project"
            )
        if version > VERSION:
            raise ValueError(
                f"{self.path} has schema {version}, and this version of shoestring reads up to "
                f"{VERSION}: install the newer version that made it"
            )
        self._db.execute("pragma journal_mode = wal").fetchone()
        self._db.execute("pragma synchronous = full")
        if version < VERSION:
            self._make(kind)
            self._renew()
        for name in names:
            if name not in self.names():
                self.add_name(name)
        known = dict(self._db.execute("select key, value from project"))
        self.id, self.token = known["id"], known["token"]
        self.kind = KINDS[known["kind"]]
        if kind is not None and kind is not self.kind:
            raise ValueError(
                f"{self.path} has labels of the kind {known['kind']}, and now the kind is "
                f"{kind.__name__.lower()}: name another file with --project"
            )

    def _make(self, kind: Kind | None) -> None:
        """Make the tables; where another process made them at the same time, theirs stay."""
        drawn = {"id": secrets.token_hex(8), "token": secrets.token_urlsafe(24)}
        drawn["kind"] = (kind or Choice).__name__.lower()
        with self._writing():
            for statement in _SCHEMA:
                self._db.execute(statement)
            for key, value in drawn.items():
                self._db.execute("insert or ignore into project values (?, ?)", (key, value))

    def _renew(self) -> None:
        """Give a file of an older version the columns that it lacks."""
        with self._writing():
            columns = {row[1] for row in self._db.execute("pragma table_info(answers)")}
            if "decides" not in columns:
                self._db.execute(_TO_VERSION_2)
            self._db.execute(f"pragma user_version = {VERSION}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction: all of it is on the disk afterwards, or nothing."""
        with self._lock, explained(self.path):
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise

    def _read(self, sql: str, *values: Any) -> list[Any]:
        with self._lock, explained(self.path):
            return self._db.execute(sql, values).fetchall()

    def add(self, answers: Sequence[tuple[Answer, Example | None]]) -> set[str]:
        """Keep answers, each with the example it is of; returns the ids that are new.

        Where the example is None, the source has it no more as the person saw it: the answer keeps
        the digest that it has.

        An answer whose id is there already is not kept again. Raises OSError where the disk is
        full: none of them is kept then.
        """
        new = set[str]()
        with self._writing():
            for one, example in answers:
                cursor = self._db.execute(
                    f"insert or ignore into answers ({_COLUMNS}) values ({', '.join('?' * 11)})",
                    (
                        one.id,
                        one.example,
                        one.digest if example is None else digest(example),
                        one.by,
                        labels_as_text(one.labels),
                        one.complete,
                        one.skipped,
                        one.seconds,
                        one.at,
                        one.undoes,
                        one.decides,
                    ),
                )
                if cursor.rowcount:
                    new.add(one.id)
        return new

    def answers(self, collection: Collection | None = None) -> list[Answer]:
        """All rows, in the order in which they came.

        `collection`: leave out the rows of examples that it lacks, or whose text is another now.
        """
        now = None
        if collection is not None:
            now = {one.name: digest(one) for one in collection.examples}
        return [
            Answer(
                id=row[0],
                example=row[1],
                by=row[3],
                labels=labels_of(self.kind, json.loads(row[4])),
                complete=bool(row[5]),
                skipped=bool(row[6]),
                seconds=row[7],
                at=row[8],
                undoes=row[9],
                decides=bool(row[10]),
                digest=row[2],
            )
            for row in self._read(f"select {_COLUMNS} from answers order by number")
            if now is None or now.get(row[1]) == row[2]
        ]

    def count(self) -> int:
        """How many rows there are, undone ones and undoings too."""
        return self._read("select count(*) from answers")[0][0]

    def names(self) -> tuple[str, ...]:
        """The classes, in the order in which they came."""
        return tuple(name for (name,) in self._read("select name from classes order by number"))

    def add_name(self, name: str) -> None:
        """Add a class; one that is there stays as it is."""
        with self._writing():
            self._db.execute("insert or ignore into classes (name) values (?)", (name,))

    def leases(self) -> dict[str, tuple[str, float]]:
        """Who has which example until when: (session, seconds since 1970) by example."""
        rows = self._read("select example, session, until from leases")
        return {example: (session, until) for example, session, until in rows}

    def lease(self, examples: Mapping[str, tuple[str, float]]) -> None:
        """Write down who has these examples until when; what ended a day ago is forgotten."""
        with self._writing():
            self._db.execute("delete from leases where until < ?", (time.time() - 86_400,))
            self._db.executemany(
                "insert or replace into leases values (?, ?, ?)",
                [(example, *lease) for example, lease in examples.items()],
            )

    def curve(self) -> list[Point]:
        """The points of the curve, in the order in which they came."""
        rows = self._read("select labels, score, error from curve order by number")
        return [Point(labels=labels, score=score, error=error) for labels, score, error in rows]

    def add_point(self, point: Point) -> None:
        """Add a point to the curve."""
        with self._writing():
            self._db.execute(
                "insert into curve (labels, score, error, at) values (?, ?, ?, ?)",
                (point.labels, point.score, point.error, time.time()),
            )

    def setting(self, key: str) -> str | None:
        """A setting of the project, such as the port that its page had last."""
        rows = self._read("select value from project where key = ?", key)
        return rows[0][0] if rows else None

    def set(self, key: str, value: str) -> None:
        """Write a setting down."""
        with self._writing():
            self._db.execute("insert or replace into project values (?, ?)", (key, value))

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            self._db.close()


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into ValueError or OSError, whose messages say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise OSError(
                errno.ENOSPC,
                f"cannot write the labels to {path} ({error}): those that it has are kept; make "
                "room on its disk",
            ) from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise ValueError(
                f"{path} is no labelling project, or is damaged ({error}): put a copy back, or "
                "name another file with --project"
            ) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise OSError(
                errno.EBUSY, f"another process kept {path} busy for half a minute: try again"
            ) from error
        raise OSError(
            errno.EACCES,
            f"cannot open or write the labelling project {path} ({error}): is its folder there, "
            "and may you write to it?",
        ) from error
    except OSError as error:
        if error.filename is None:
            raise
        raise OSError(
            error.errno, f"cannot make the labelling project {path} ({error.strerror})"
        ) from error


def read(path: Path, collection: Collection) -> tuple[list[Answer], tuple[str, ...], list[Point]]:
    """The answers, the classes and the curve that a project has now.

    Another process may be writing to it.
    """
    with closing(Store(path)) as store:
        return store.answers(collection), store.names(), store.curve()
