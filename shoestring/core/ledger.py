"""Ledger: an append-only record of what was done, what it cost and what it brought."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from time import time

from shoestring.core.cost import Cost

VERSION = 2
"""The schema version that this code writes, in SQLite's `user_version`. Ledgers of before it say 0.
"""
_SCHEMA = (
    """create table if not exists ledger (
    id integer primary key autoincrement, time real not null, kind text not null, technique text not null,
    seed integer, score_before real, score_after real, cost_before text not null, cost_after text not null,
    file text, sha256 text, machine text not null, versions text not null, note text not null default '')""",
    """create trigger if not exists no_update before update on ledger
    begin select raise(abort, 'the ledger is append-only'); end""",
    """create trigger if not exists no_delete before delete on ledger
    begin select raise(abort, 'the ledger is append-only'); end""",
    """create trigger if not exists no_replace before insert on ledger when exists (select 1 from ledger where id = new.id)
    begin select raise(abort, 'the ledger is append-only'); end""",
)
_SCORES = ("scores_before", "scores_after")
_LATER = {
    "run": "text",
    "parent": "integer",
    "task": "text",
    "model": "text",
    **dict.fromkeys(_SCORES, "text"),
}
"""Columns that version 0 has not; scores by name came with version 2."""
_COLUMNS = [
    "time",
    "kind",
    "technique",
    "seed",
    "score_before",
    "score_after",
    "cost_before",
    "cost_after",
    "file",
    "sha256",
    "machine",
    "versions",
    "note",
    *_LATER,
]


@cache
def _run_of(process: int) -> str:
    return secrets.token_hex(4)


def run_of_process() -> str:
    """The id of this process's run: 8 hexadecimal digits, drawn once."""
    return _run_of(os.getpid())  # a process that was forked is another


@dataclass(frozen=True, kw_only=True)
class Row:
    """One step.

    `kind` is "apply" (scores are of the validation split), "failed" (with what was spent until
    then) or "prove" (score_after is of the test split).
    `run`: the id of the command or call that wrote the row, this process's unless given.
    `parent`: the id of the row that it continues.
    `task`: the task's name.
    `model`: the sha256 of the model's file before the step; `sha256` is that of `file`. None where
        nobody said so, as in rows of older ledgers.
    `scores_before`, `scores_after`: the scores that the task has by name, of the same split as the
        score; empty where it has none.
    """

    kind: str
    technique: str
    seed: int | None = None
    score_before: float | None = None
    score_after: float | None = None
    cost_before: Cost = Cost()
    cost_after: Cost = Cost()
    file: str | None = None
    sha256: str | None = None
    note: str = ""
    machine: str = field(default_factory=lambda: machine())
    versions: dict[str, str] = field(default_factory=lambda: versions())
    time: float = field(default_factory=time)
    run: str | None = field(default_factory=run_of_process)
    parent: int | None = None
    task: str | None = None
    model: str | None = None
    scores_before: Mapping[str, float] = field(default_factory=dict)
    scores_after: Mapping[str, float] = field(default_factory=dict)
    id: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The row as plain JSON values; of the costs, only what was measured."""
        named = {name: getattr(self, name) for name in ("id", *_COLUMNS)}
        return {
            **named,
            "cost_before": self.cost_before.measured(),
            "cost_after": self.cost_after.measured(),
        }


@dataclass(frozen=True)
class Ledger:
    """A ledger in a SQLite file, made at the first row.

    Any number of processes may write to it at a time.
    An older ledger is read as it is, and gets the columns that it lacks at the first row that is
    appended to it. Raises ValueError for a ledger of a newer schema and for a file of another kind,
    OSError where there can be none.
    """

    path: str | Path

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(self.path, timeout=60, isolation_level=None)
            ) as connection:
                if (version := _version(connection)) > VERSION:
                    raise ValueError(
                        f"the ledger {self.path} has schema version {version}, and this "
                        f"Shoestring knows {VERSION} and older: install "
                        "the newer Shoestring that wrote it, or name another path"
                    )
                yield connection
        except sqlite3.OperationalError as error:
            if "unable to open" in str(error):
                folder = Path(self.path).absolute().parent
                why = (
                    "its folder cannot be written"
                    if folder.is_dir()
                    else f"there is no folder {folder}"
                )
                raise OSError(f"cannot open the ledger {self.path}: {why}") from None
            raise
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error):
                raise ValueError(
                    f"{self.path} is not a ledger: it is a file of another kind; name another path"
                ) from None
            raise

    def append(self, row: Row) -> int:
        """Write one row and return its number."""
        values = row.as_dict()
        for name in ("cost_before", "cost_after", "versions", *_SCORES):
            values[name] = json.dumps(values[name])
        sql = (
            f"insert into ledger ({', '.join(_COLUMNS)}) values ({', '.join('?' * len(_COLUMNS))})"
        )
        with self._open() as connection:
            _renew(connection)
            number = connection.execute(sql, [values[name] for name in _COLUMNS]).lastrowid
        assert number is not None
        return number

    def rows(self) -> list[Row]:
        """All rows, oldest first; none where there is no ledger yet."""
        if not Path(self.path).exists():
            return []
        with self._open() as connection:
            if not (there := _columns(connection)):
                return []
            names = ["id", *(name for name in _COLUMNS if name in there)]
            found = connection.execute(
                f"select {', '.join(names)} from ledger order by id"
            ).fetchall()
        return [
            _row({**dict.fromkeys(_LATER), **dict(zip(names, values, strict=True))})
            for values in found
        ]

    def json_lines(self) -> Iterator[str]:
        """A line of JSON per row."""
        return (json.dumps(row.as_dict()) for row in self.rows())


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("pragma user_version").fetchall()[0][0]


def _columns(connection: sqlite3.Connection) -> list[str]:
    """The names of the columns that the ledger in a file has; none where there is no ledger in it."""
    return [name for _, name, *_ in connection.execute("pragma table_info(ledger)").fetchall()]


def _renew(connection: sqlite3.Connection) -> None:
    """Bring a ledger, or an empty file, to this schema version.

    One process does it, the others wait.
    """
    if _version(connection) == VERSION:
        return
    connection.execute("begin immediate")
    try:
        for statement in _SCHEMA:
            connection.execute(statement)
        for name in _LATER.keys() - set(_columns(connection)):
            connection.execute(f"alter table ledger add column {name} {_LATER[name]}")
        connection.execute(f"pragma user_version = {VERSION}")
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise


def _row(values: dict) -> Row:
    costs = {name: Cost(**json.loads(values[name])) for name in ("cost_before", "cost_after")}
    scores = {name: json.loads(values[name] or "{}") for name in _SCORES}
    return Row(**{**values, **costs, **scores, "versions": json.loads(values["versions"])})


def machine() -> str:
    """The machine in words: processor, cores, system."""
    import platform

    name = platform.processor() or platform.machine()
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
        name = next(
            (
                line.split(":", 1)[1].strip()
                for line in cpuinfo.splitlines()
                if line.startswith("model name")
            ),
            name,
        )
    except OSError:
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def versions() -> dict[str, str]:
    """The versions of what decides the numbers."""
    import platform

    found = {"python": platform.python_version()}
    for name in ("shoestring", "torch", "onnxruntime", "numpy", "constriction"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
