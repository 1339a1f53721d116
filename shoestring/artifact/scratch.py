"""Temporary folders that the next process deletes where one was killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import time

from shoestring.artifact.locks import FileLock, is_held

_PREFIX = "shoestring-"
_OURS = re.compile(r"shoestring-[a-z0-9_]{8}")
_LOCK = "process.lock"
_MINUTE = 60.0
"""Seconds in which a process locks the folder that it made."""


class Scratch:
    """A temporary folder, until `close`; also deleted where this process is killed."""

    def __init__(self) -> None:
        _clear(os.getpid())
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            self._lock = FileLock(self.path / _LOCK)
        except OSError:  # the disk is full, or has no locks: it works without
            self._lock = None

    def close(self) -> None:
        """Delete the folder; a second call does nothing."""
        if self._lock is not None:
            self._lock.delete()
        shutil.rmtree(self.path, ignore_errors=True)


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
        folders = [Path(entry.path) for entry in entries if _OURS.fullmatch(entry.name)]
        for folder in folders:
            with contextlib.suppress(OSError):
                old = time() - folder.stat().st_mtime > _MINUTE
                if old and is_held(folder / _LOCK) is False:
                    shutil.rmtree(folder, ignore_errors=True)
