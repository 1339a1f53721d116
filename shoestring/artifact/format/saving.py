"""Writes files completely or not at all, and checks paths before they are read or written."""

from __future__ import annotations

import contextlib
import errno
import math
import mmap
import os
import re
import stat
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import BinaryIO

from shoestring.artifact.locks import is_at, left_behind, take_soon

_PREFIX = ".shoe-partial-"
_LEFT = re.compile(r"\.shoe-partial-[a-z0-9_]{8}")
_MINUTE, _DAY = 60.0, 86400.0

_KINDS = (
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def save(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file completely or not at all; the arguments and errors are those of `replacing`."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(
    path: str | Path, check: Callable[[], None] = lambda: None
) -> Generator[BinaryIO, None, None]:
    """A temporary file beside `path`, which replaces it when the context ends without an error.

    If `path` is a symbolic link, its target is written. An existing file keeps its permissions.
    Temporary files of killed processes in the same folder are deleted.
    `check`: called before the file is replaced; what it raises keeps the old one.
    Raises OSError, whose message says what to do.
    """
    path = Path(path)
    check_place(path)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    temporary = None
    try:
        clear_leftovers(target.parent)
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
        fd, temporary = _temporary(target.parent)
        with os.fdopen(fd, "w+b") as file:
            yield file  # pyright: ignore[reportReturnType]
            file.flush()
            os.fsync(file.fileno())
            check()
            temporary.chmod(mode)
            if sys.platform != "win32":  # which renames no open file
                os.replace(temporary, target)
        if sys.platform == "win32":
            os.replace(temporary, target)
    except OSError as error:
        if isinstance(error, FileExistsError) or error.filename not in (None, str(temporary)):
            raise  # of another file, which it names
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def save_first(path: Path, data: bytes) -> bool:
    """Write a file completely, where there is none; of several processes the first one does.

    Returns whether this one did. Temporary files of killed processes in the same folder are
    deleted. Raises OSError where the file cannot be written.
    """
    if os.path.lexists(path):
        return False
    temporary = None
    try:
        clear_leftovers(path.parent)
        fd, temporary = _temporary(path.parent)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(0o666 & ~_umask())
            if sys.platform != "win32":  # which renames no open file
                return _put_first(temporary, path)
        return _put_first(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _put_first(temporary: Path, path: Path) -> bool:
    """Give a file its name, where no file has that name; returns whether it got it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if os.path.lexists(path):
            return False
        os.replace(temporary, path)
    return True


def _cannot_write(path: Path, error: OSError) -> OSError:
    return type(error)(
        error.errno,
        f"cannot write {path}: {error.strerror or error}; name a path in a folder that exists, "
        "may be written and has room",
    )


def _temporary(folder: Path) -> tuple[int, Path]:
    """A new file in a folder, open and locked until it is closed, so that no other deletes it."""
    while True:
        fd, name = tempfile.mkstemp(dir=folder, prefix=_PREFIX)
        try:
            try:
                taken = take_soon(fd)
            except OSError:  # a file system without locks
                taken = True
            if taken and is_at(fd, Path(name)):  # not deleted between its creation and the lock
                return fd, Path(name)
        except BaseException:
            os.close(fd)
            Path(name).unlink(missing_ok=True)
            raise
        os.close(fd)
        with contextlib.suppress(OSError):  # deleted, or on Windows held open by another process
            Path(name).unlink()


def clear_leftovers(folder: Path) -> None:
    """Delete the temporary files that killed processes left in a folder.

    They are known by their names, and by a lock that nobody holds. Where locks cannot tell, those
    are deleted that are older than a day.
    """
    with os.scandir(folder) as entries:
        ours = [entry for entry in entries if _LEFT.fullmatch(entry.name)]
    for entry in ours:
        with contextlib.suppress(OSError):
            if entry.is_file(follow_symlinks=False):
                _delete_left(Path(entry.path))


def _delete_left(path: Path) -> None:
    """Delete a temporary file that a killed process left."""
    with left_behind(path) as is_left:
        patience = _DAY if is_left is None else _MINUTE if sys.platform == "win32" else -math.inf
        old = is_left is not False and time() - path.stat().st_mtime > patience
        if old and sys.platform != "win32":
            path.unlink()
    if old and sys.platform == "win32":  # which deletes no open file
        path.unlink()


def check_place(path: Path) -> None:
    """Raises OSError where no file can be written at `path`.

    The errors are IsADirectoryError for a folder, FileExistsError for a device, pipe or socket, and
    FileNotFoundError where the folder of `path` does not exist.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"{path} is a folder: name a file in it")
    if kind := _special(path):
        raise FileExistsError(
            errno.EEXIST,
            f"{path} is {kind}, and would be replaced by a file: name a path for a file",
        )
    if not (folder := Path(os.path.realpath(path)).parent).is_dir():
        raise FileNotFoundError(
            errno.ENOENT,
            f"there is no folder {folder if path.is_symlink() else path.parent}: name a path in a "
            "folder that exists",
        )


def check_file(path: Path) -> None:
    """Raises OSError where `path` is a folder, or a device, pipe or socket, which may never end."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"{path} is a folder: name a file in it")
    if kind := _special(path):
        raise OSError(errno.EINVAL, f"{path} is {kind}: write what comes from it into a file first")


def _special(path: Path) -> str:
    """In words, the device, pipe or socket at a path; "" for anything else and for nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return next((words for is_kind, words in _KINDS if is_kind(mode)), "")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def mapped(path: Path) -> mmap.mmap | None:
    """The memory map of a file, to read; None for an empty one. Raises OSError."""
    check_file(path)
    with path.open("rb") as opened:
        size = path.stat().st_size
        return mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) if size else None
