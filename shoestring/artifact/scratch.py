"""Temporary folders that the next process deletes where one was killed."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from shoestring.artifact.locks import FileLock, left_behind

_PREFIX, _SUFFIX = "shoestring-", ".lock"
_OURS = re.compile(r"shoestring-[0-9a-f]{16}\.lock")


class Scratch:
    """A temporary folder, until `close`; the next process deletes it where this one is killed.

    A file beside it is locked as long as this process lives. Where the disk has no locks, the
    folder of a killed process stays.
    """

    def __init__(self) -> None:
        self._lock = None
        try:
            _clear(os.getpid())
            self.path, self._lock = _place()
            self.path.mkdir(mode=0o700)
        except OSError as error:
            if self._lock is not None:
                self._lock.delete()
            raise type(error)(
                error.errno or errno.ENOSPC,
                f"no temporary folder can be made ({error.strerror or error}): make room on that "
                "disk, or name a folder on another in the environment variable TMPDIR",
            ) from error

    def close(self) -> None:
        """Delete the folder; a second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.delete()


def _place() -> tuple[Path, FileLock | None]:
    """The path of a new folder and the lock beside it; None on a disk without locks, or full."""
    while True:
        path = Path(tempfile.gettempdir()) / f"{_PREFIX}{secrets.token_hex(8)}"
        try:
            return path, FileLock(path.with_name(f"{path.name}{_SUFFIX}"))
        except BlockingIOError:  # another takes it for one that was left: without the lock it is
            continue
        except OSError:  # where the disk is full, mkdir tells
            return path, None


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A context with the path of a temporary folder."""
    scratch = Scratch()
    try:
        yield scratch.path
    finally:
        scratch.close()


@cache
def _clear(process: int) -> None:
    """Delete the temporary folders of processes that were killed, once in a process."""
    with contextlib.suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        locks = [Path(entry.path) for entry in entries if _OURS.fullmatch(entry.name)]
        for lock in locks:
            _delete_left(lock)


def _delete_left(lock: Path) -> None:
    """Delete a temporary folder and its lock, where its process was killed."""
    with left_behind(lock) as is_left:
        if is_left:
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            with contextlib.suppress(OSError):  # Windows deletes no open file
                lock.unlink()
    if is_left and sys.platform == "win32":
        with contextlib.suppress(OSError):
            lock.unlink()
