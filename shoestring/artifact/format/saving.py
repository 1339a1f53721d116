"""Writes files completely or not at all, and checks paths before they are read or written."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def save(path: str | Path, data: bytes) -> None:
    """Write a file completely or not at all: to a temporary file beside it, which then replaces it.

    If `path` is a symbolic link, its target is written. An existing file keeps its permissions.
    Raises OSError, whose message says what to do.
    """
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(
    path: str | Path, check: Callable[[], None] = lambda: None
) -> Generator[BinaryIO, None, None]:
    """A temporary file to write to, which replaces the one at `path` if the block ends well.

    Otherwise as `save`.
    `check`: called before the file is replaced; what it raises keeps the old file.
    """
    path = Path(path)
    check_place(path)
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    temporary = None
    try:
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".shoe-", delete=False) as file:
            temporary = Path(file.name)
            yield file  # pyright: ignore[reportReturnType]
            file.flush()
            os.fsync(file.fileno())
        check()
        temporary.chmod(mode)
        os.replace(temporary, target)
    except OSError as error:
        if isinstance(error, FileExistsError) or error.filename not in (None, str(temporary)):
            raise
        why = (
            f"cannot write {path}: {error.strerror or error}; name a path in a folder that exists, "
            "may be written and has room"
        )
        raise type(error)(error.errno, why) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


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
