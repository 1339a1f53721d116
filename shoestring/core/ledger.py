"""Ledger: an append-only record of runs, with their costs and scores."""

from __future__ import annotations

import errno
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from time import time
from typing import Any

from shoestring.artifact.format.saving import check_file
from shoestring.core.cost import Cost
from shoestring.core.ledger_errors import damaged, explained, no_folder, read_only

VERSION = 2
"""The schema version that this code writes, in SQLite's `user_version`; old ledgers have 0."""
_SCHEMA = (
    "create table if not exists ledger (\n"
    "    id integer primary key autoincrement, time real not null, kind text not null, "
    "technique text not null,\n"
    "    seed integer, score_before real, score_after real, cost_before text not null, "
    "cost_after text not null,\n"
    "    file text, sha256 text, machine text not null, versions text not null, "
    "note text not null default '')",
    "create trigger if not exists no_update before update on ledger\n"
    "    begin select raise(abort, 'the ledger is append-only'); end",
    "create trigger if not exists no_delete before delete on ledger\n"
    "    begin select raise(abort, 'the ledger is append-only'); end",
    "create trigger if not exists no_replace before insert on ledger "
    "when exists (select 1 from ledger where id = new.id)\n"
    "    begin select raise(abort, 'the ledger is append-only'); end",
)
_SCORES = ("scores_before", "scores_after")
_LATER = {
    "run": "text",
    "parent": "integer",
    "task": "text",
    "model": "text",
    **dict.fromkeys(_SCORES, "text"),
}
"""The columns that version 0 does not have; scores by name came with version 2."""
COLUMNS = [
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
_FIRST = {"id", *COLUMNS} - _LATER.keys()
_SAME = [
    name
    for name in COLUMNS
    if name not in ("time", "cost_before", "cost_after", "machine", "versions", "run", "parent")
]
"""The columns in which two rows of one step are equal."""


@cache
def _run_of(process: int) -> str:
    return secrets.token_hex(4)


def run_of_process() -> str:
    """The run id of this process: 8 hexadecimal digits, drawn once."""
    return _run_of(os.getpid())  # a forked process gets an id of its own


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a ledger: one step of a run.

    `kind`: "apply" (scores are of the validation split), "failed" or "interrupted" (the cost is
        what was spent until then), or "prove" (`score_after` is of the test split).
    `technique`: the repr of the technique; "" in rows of kind "prove".
    `seed`: of the step.
    `score_before`, `score_after`: the task's score; None where it was not measured.
    `cost_before`, `cost_after`: what was measured before and after; the latter has the cost of the
        step too.
    `file`, `sha256`: the path of the file that was written or proved, and its digest.
    `note`: free text, such as the error of a failed step.
    `machine`, `versions`: where the row was written, and with which versions.
    `time`: in seconds since 1970.
    `run`: the id of the command or call that wrote the row; by default that of this process.
    `parent`: the id of the row that this one continues.
    `task`: the task's name.
    `model`: the digest of the model's file before the step. This and the three before it are None
        in rows of older ledgers.
    `scores_before`, `scores_after`: the scores that the task has by name, of the split of the
        score; empty where it has none.
    `id`: the number of the row; None before it is written.
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
        """The row as plain JSON values; costs have only what was measured."""
        values = {name: getattr(self, name) for name in ("id", *COLUMNS)}
        return {
            **values,
            "cost_before": self.cost_before.measured(),
            "cost_after": self.cost_after.measured(),
        }


@dataclass(frozen=True)
class Ledger:
    """A ledger in a SQLite file, which is created with the first row.

    Any number of processes may write to it at one time. An older ledger is read as it is, and gets
    the columns that it lacks when the next row is appended. A row is written completely or not at
    all, also where the process is killed or the disk is full.

    `once`: for a run that goes on after an interruption and does again what it did before: a row
        that an earlier process wrote is not written again. Such rows are equal but for the time,
        the costs and the machine; rows of kind "interrupted" are not compared.

    Raises ValueError for a ledger that is damaged or of another schema and for a file of another
    kind, and OSError where the file cannot be opened or written. Each says what to do; nothing is
    changed then. `recover` reads what is left of a damaged ledger.
    """

    path: str | Path
    once: bool = False
    _met: dict[tuple[object, ...], int] = field(default_factory=dict, repr=False, compare=False)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        check_file(Path(self.path))
        with (
            explained(self.path),
            closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as connection,
        ):
            if (version := _version(connection)) > VERSION:
                raise ValueError(newer(self.path, version))
            tables = connection.execute("select name from sqlite_master where type = 'table'")
            if (names := {name for (name,) in tables}) and "ledger" not in names:
                raise ValueError(
                    f"{self.path} is not a ledger: it is a database of another program; name "
                    "another path"
                )
            if names and (lacking := _FIRST - set(_columns(connection))):
                raise ValueError(
                    f"{self.path} has a ledger of another schema, without {sorted(lacking)}: name "
                    "another path"
                )
            yield connection

    def check(self) -> None:
        """Raise what `append` and `rows` would raise; nothing is written."""
        self.rows()
        path = Path(self.path).absolute()
        for one in (path.parent, path):
            if one.exists() and not os.access(one, os.W_OK):
                raise PermissionError(errno.EACCES, read_only(self.path, one))
        if path.exists():
            with self._open() as connection:
                connection.execute("begin immediate")
                connection.execute("rollback")
        elif not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, no_folder(self.path))

    def append(self, row: Row) -> int:
        """Write one row and return its number."""
        values = _as_columns(row)
        sql = f"insert into ledger ({', '.join(COLUMNS)}) values ({', '.join('?' * len(COLUMNS))})"
        with self._open() as connection:
            _renew(connection)
            if self.once and (earlier := self._earlier(connection, values)) is not None:
                return earlier
            number = connection.execute(sql, [values[name] for name in COLUMNS]).lastrowid
        assert number is not None
        return number

    def _earlier(self, connection: sqlite3.Connection, values: dict[str, Any]) -> int | None:
        """The number of the row that an earlier process wrote in place of this one; None for none.

        Of several equal rows the first call gets the first, the second the second, and so on.
        """
        key = tuple(values[name] for name in _SAME)
        same = " and ".join(f"{name} is ?" for name in _SAME)
        rows = connection.execute(
            f"select id from ledger where {same} and kind != 'interrupted' and run is not ? "
            "order by id",
            (*key, values["run"]),
        ).fetchall()
        met = self._met[key] = self._met.get(key, 0) + 1
        return rows[met - 1][0] if met <= len(rows) else None

    def rows(self) -> list[Row]:
        """All rows, oldest first; empty where there is no ledger yet."""
        if not Path(self.path).exists():
            return []
        with self._open() as connection:
            if (state := connection.execute("pragma quick_check(1)").fetchone()[0]) != "ok":
                raise damaged(self.path, state)
            if not (columns := _columns(connection)):
                return []
            names = ["id", *(name for name in COLUMNS if name in columns)]
            rows = connection.execute(
                f"select {', '.join(names)} from ledger order by id"
            ).fetchall()
        return [self._read(dict(zip(names, values, strict=True))) for values in rows]

    def _read(self, values: dict[str, Any]) -> Row:
        """A row from the values of its columns."""
        try:
            return row_of(values)
        except (ValueError, TypeError) as error:
            raise damaged(
                self.path, f"its row {values['id']} cannot be read: {error}", "the other rows"
            ) from error

    def json_lines(self) -> Iterator[str]:
        """One line of JSON for each row."""
        return (json.dumps(row.as_dict()) for row in self.rows())


def newer(path: str | Path, version: int) -> str:
    """The message for a ledger of a newer schema version."""
    return (
        f"the ledger {path} has schema version {version}, and this Shoestring knows {VERSION} and "
        "older: install the newer Shoestring that wrote it, or name another path"
    )


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("pragma user_version").fetchall()[0][0]


def _columns(connection: sqlite3.Connection) -> list[str]:
    """The names of a ledger's columns; empty where the file has no ledger."""
    return [name for _, name, *_ in connection.execute("pragma table_info(ledger)").fetchall()]


def _renew(connection: sqlite3.Connection) -> None:
    """Bring a ledger, or an empty file, to this schema version; one process does it at a time."""
    if _version(connection) == VERSION:
        return
    connection.execute("begin immediate")
    try:
        for statement in _SCHEMA:
            connection.execute(statement)
        there = set(_columns(connection))
        for name in [name for name in _LATER if name not in there]:
            connection.execute(f"alter table ledger add column {name} {_LATER[name]}")
        connection.execute(f"pragma user_version = {VERSION}")
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:  # SQLite rolls some errors back itself
            connection.execute("rollback")
        raise


def _as_columns(row: Row) -> dict[str, Any]:
    """The row as values of its columns."""
    values: dict[str, Any] = row.as_dict()
    for name in ("cost_before", "cost_after", "versions", *_SCORES):
        values[name] = json.dumps(values[name])
    return values


def row_of(values: dict[str, Any]) -> Row:
    """A row from the values of its columns; later columns may be absent.

    Raises ValueError or TypeError for values that no row has.
    """
    values = {**dict.fromkeys(_LATER), **values}
    costs = {name: Cost(**json.loads(values[name])) for name in ("cost_before", "cost_after")}
    scores = {name: dict(json.loads(values[name] or "{}")) for name in _SCORES}
    versions = dict(json.loads(values["versions"]))
    return Row(**{**values, **costs, **scores, "versions": versions})


def database_of(rows: Iterable[Row]) -> bytes:
    """The bytes of a ledger file with these rows, which keep their numbers."""
    columns = ["id", *COLUMNS]
    sql = f"insert into ledger ({', '.join(columns)}) values ({', '.join('?' * len(columns))})"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        _renew(connection)
        for row in rows:
            values = _as_columns(row)
            connection.execute(sql, [values[name] for name in columns])
        return connection.serialize()


def machine() -> str:
    """The machine in words: processor, number of cores, operating system."""
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
    """The versions of Python and of the packages that decide the results."""
    import platform

    by_name = {"python": platform.python_version()}
    for name in ("shoestring", "torch", "onnxruntime", "numpy", "constriction"):
        try:
            by_name[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return by_name
