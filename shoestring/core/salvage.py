"""Salvage: what can still be read of a damaged ledger, in a new file beside it."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from shoestring.artifact.format.saving import check_file, save_first
from shoestring.core.ledger import COLUMNS, VERSION, Ledger, Row, database_of, newer, row_of
from shoestring.core.sqlite_pages import records

_Records = list[tuple[int, list[Any]]]
_FIRST = COLUMNS.index("note") + 1
"""How many columns every ledger has, besides `id`, and in this order."""


@dataclass(frozen=True, kw_only=True)
class Salvage:
    """What came of a salvage.

    `path`: of the new ledger; None where the old one is not damaged.
    `rows`: how many rows could be read.
    `lost`: the numbers of rows that could not be read, as far as they are known.
    """

    path: Path | None
    rows: int
    lost: tuple[int, ...] = ()


def salvage(path: str | Path) -> Salvage:
    """Write the rows of a damaged ledger that can be read into a new file beside it.

    The new file is NAME.recovered, with the rows under their old numbers; the old one is not
    changed. Where bytes within a row were altered, its text and numbers are those that the bytes
    say now; bytes that are no text become U+FFFD.

    Raises FileNotFoundError where there is no ledger, ValueError where no row can be read and for a
    ledger of a newer schema, and OSError where a file cannot be read or written.
    """
    path = Path(path)
    check_file(path)
    data = path.read_bytes()
    with tempfile.TemporaryDirectory(prefix="shoestring-") as folder:
        copy = Path(folder) / "copy"
        copy.write_bytes(data)
        journal = path.with_name(f"{path.name}-journal")
        if journal.exists():  # of a process that was killed: SQLite takes its half of a change back
            copy.with_name("copy-journal").write_bytes(journal.read_bytes())
        try:
            return Salvage(path=None, rows=len(Ledger(copy).rows()))
        except (ValueError, OSError):
            if (version := _newer(copy)) is not None:
                raise ValueError(newer(path, version)) from None
        data = copy.read_bytes()
    found = records(data)
    rows = _rows(found, most=len(data))  # a row has more than one byte
    last = min(_last(found), len(data))
    if not rows:
        raise ValueError(
            f"no row of a ledger can be read in {path}: put a copy back, or name another path"
        )
    target = _save_beside(path, database_of(rows[number] for number in sorted(rows)))
    lost = tuple(number for number in range(1, max(last, *rows) + 1) if number not in rows)
    return Salvage(path=target, rows=len(rows), lost=lost)


def _newer(path: Path) -> int | None:
    """The schema version of a ledger that is not damaged but newer; None for other files."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            version = connection.execute("pragma user_version").fetchone()[0]
            whole = connection.execute("pragma quick_check(1)").fetchone()[0] == "ok"
            connection.execute("select 1 from ledger limit 1")
            return version if whole and version > VERSION else None
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def _rows(found: _Records, most: int) -> dict[int, Row]:
    """The rows among records, by their numbers, of which none is above `most`."""
    names, rows = _names(found), dict[int, Row]()
    for number, values in found:
        if number in rows or len(values) <= _FIRST or values[0] is not None:
            continue
        if not 1 <= number <= most:
            continue
        for known in (names, ["id", *COLUMNS], ["id", *COLUMNS[:_FIRST]]):
            by_name = {**dict(zip(known, values, strict=False)), "id": number}
            if (row := _row(by_name)) is not None:
                rows[number] = row
                break
    return rows


def _row(values: dict[str, Any]) -> Row | None:
    """A row from values that may be of any kind; None where no row has such values."""
    texts = ("kind", "technique", "machine", "note")
    maybe = ("file", "sha256", "run", "task", "model")
    is_row = (
        isinstance(values.get("time"), int | float)
        and all(isinstance(values.get(name), str) for name in texts)
        and all(isinstance(values.get(name), str | None) for name in maybe)
        and all(isinstance(values.get(name), int | None) for name in ("seed", "parent"))
        and all(isinstance(values.get(f"score_{one}"), int | float | None) for one in _ENDS)
    )
    if not is_row:
        return None
    floats = {f"score_{one}": _float(values.get(f"score_{one}")) for one in _ENDS}
    try:  # SQLite keeps a whole number as an integer
        return row_of({**values, **floats, "time": float(values["time"])})
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


_ENDS = ("before", "after")


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _names(found: _Records) -> list[str]:
    """The names of the columns, in the order of this file; of a new ledger where it is lost."""
    for _, values in found:
        if len(values) == 5 and values[:2] == ["table", "ledger"] and isinstance(values[4], str):
            inside = values[4].partition("(")[2].rpartition(")")[0]
            return [part.split()[0] for part in inside.split(",") if part.strip()]
    return ["id", *COLUMNS]


def _last(found: _Records) -> int:
    """The number of the last row, as SQLite counted; 0 where the count is lost."""
    counts = [
        values[1]
        for _, values in found
        if len(values) == 2 and values[0] == "ledger" and isinstance(values[1], int)
    ]
    return max(counts, default=0)


def _save_beside(path: Path, data: bytes) -> Path:
    """Write a new file beside another, under a name that nothing has; returns its path."""
    names = (f"{path.name}.recovered{f'-{number}' * (number > 1)}" for number in count(1))
    return next(path.with_name(name) for name in names if save_first(path.with_name(name), data))
