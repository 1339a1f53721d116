"""What is said where a ledger cannot be read or written: why, and what to do."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ELSEWHERE = "name another ledger (--ledger PATH)"


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Turn errors of SQLite into ValueError or OSError, whose messages say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explanation(path, error) from error
    except UnicodeDecodeError as error:  # of a name, or of a message of SQLite with such a name
        raise damaged(path, str(error)) from error


def _explanation(path: str | Path, error: sqlite3.Error) -> Exception:
    """The exception for an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return ValueError(
            f"{path} is not a ledger: it is a file of another kind, or its beginning is damaged; "
            f"name another path, or let `shoestring ledger {path} --recover` look for rows in it"
        )
    if code == sqlite3.SQLITE_CORRUPT or "decode to UTF-8" in str(error):
        return damaged(path, str(error))
    if code == sqlite3.SQLITE_CANTOPEN:
        folder = Path(path).absolute().parent
        why = no_folder(path) if not folder.is_dir() else read_only(path, folder)
        return OSError(errno.EACCES, why)
    if code == sqlite3.SQLITE_READONLY:
        return PermissionError(errno.EACCES, read_only(path, Path(path)))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return OSError(
            errno.EBUSY,
            f"another process kept the ledger {path} busy for a minute: run the command again, or "
            f"{ELSEWHERE}",
        )
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return OSError(
            errno.ENOSPC,
            f"cannot write the ledger {path} ({error}): the rows that it has are kept; make room "
            f"on its disk and run the command again, or {ELSEWHERE}",
        )
    return damaged(path, str(error))


def damaged(path: str | Path, how: str, what: str = "what can be read") -> ValueError:
    """The error for a damaged ledger.

    `how`: what is wrong with it.
    `what`: what recovery would write into a new file.
    """
    return ValueError(
        f"the ledger {path} is damaged ({' '.join(how.split())}): put a copy back, or "
        f"`shoestring ledger {path} --recover` writes {what} into a new file and leaves this one "
        "as it is"
    )


def no_folder(path: str | Path) -> str:
    """The message where the folder of a ledger does not exist."""
    folder = Path(path).absolute().parent
    return f"cannot open the ledger {path}: there is no folder {folder}; make it, or {ELSEWHERE}"


def read_only(path: str | Path, what: Path) -> str:
    """The message where a ledger, or its folder, cannot be written."""
    which = "its folder cannot be written" if what != Path(path).absolute() else "it is read-only"
    return (
        f"cannot open the ledger {path} to write: {which}; allow it (chmod u+w {what}), or "
        f"{ELSEWHERE}"
    )
