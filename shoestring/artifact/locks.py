"""Locks on files, which the kernel releases when their process ends in any way."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep

# Windows forbids others to read locked bytes: lock one beyond the end of the file
_FAR = 1 << 30
_TRIES, _PAUSE_SECONDS = 30, 0.01
_REWRITES = 180  # each of up to a third of a second
_NO_LOCKS = {
    getattr(errno, name, -1) for name in ("ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL")
}

if sys.platform == "win32":
    import msvcrt

    def take(fd: int, shared: bool) -> bool:
        """Lock an open file; False where another process has the lock."""
        os.lseek(fd, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(fd, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def take(fd: int, shared: bool) -> bool:
        """Lock an open file; False where another process has the lock."""
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def take_soon(fd: int) -> bool:
    """Lock an open file exclusively; False where another process keeps the lock.

    It tries for a third of a second, since those who only ask for the holder, or delete what a
    killed process left, have the lock for a moment.
    """
    for _ in range(_TRIES):
        if take(fd, shared=False):
            return True
        sleep(_PAUSE_SECONDS)
    return take(fd, shared=False)


_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """An exclusive lock on a file, which belongs to this process and not to its forks.

    The kernel releases it when the process ends in any way, so that it is never stale.

    `path`: of the file, which is created.
    `text`: written into the file.

    Raises BlockingIOError where another process has it, and OSError where the file cannot be
    written, or its file system has no locks.
    """

    def __init__(self, path: Path, text: str = "") -> None:
        self.path = path
        fd = self._opened()
        while not is_at(fd, path):  # its holder deleted it between our opening and our locking
            os.close(fd)
            fd = self._opened()
        try:
            os.ftruncate(fd, 0)
            os.write(fd, text.encode())
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._end = weakref.finalize(self, os.close, fd)
        _locks.add(self)

    def _opened(self) -> int:
        """The file, opened and locked."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not take_soon(fd):
                raise BlockingIOError(f"{self.path} is locked by another process")
        except BaseException as error:
            os.close(fd)
            if isinstance(error, OSError) and error.errno in _NO_LOCKS:
                raise OSError(
                    error.errno,
                    f"{self.path} cannot be locked ({error.strerror}): its file system has no "
                    "locks, so that two commands would not see each other; use a folder on another "
                    "disk",
                ) from error
            raise
        return fd

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        self._end()

    def delete(self) -> None:
        """Delete the file and release the lock."""
        if self._end.alive:
            with contextlib.suppress(OSError):  # Windows deletes no file that is open
                self.path.unlink()
        self.release()
        if sys.platform == "win32":
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _forget(self) -> None:
        """Drop the lock in a forked process; it stays with the parent."""
        if self._end.detach():
            os.close(self._fd)


def is_at(fd: int, path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except OSError:
        return False


def _forked() -> None:
    for lock in list(_locks):
        lock._forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)


def is_held(path: Path) -> bool | None:
    """Whether a process holds the lock on a file; None where that cannot be known."""
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        # shared, so that two processes that ask at one time do not see each other as the holder
        return not take(fd, shared=True)
    except OSError:
        return None
    finally:
        os.close(fd)


@contextmanager
def rewriting(path: Path) -> Iterator[None]:
    """A context in which no other process that asks for the same rewrites a file.

    What is read within it is what others left, also where these put a new file in its place. It
    waits for them, a minute at most. Windows, which puts no file in the place of one that is open,
    and file systems without locks rewrite without it.

    Raises BlockingIOError where another process keeps the file, and OSError where there is none.
    """
    if sys.platform == "win32":
        yield
        return
    for _ in range(_REWRITES):
        fd = os.open(path, os.O_RDONLY)
        try:
            if _taken_or_without_locks(fd) and is_at(fd, path):
                yield
                return
        finally:
            os.close(fd)
    raise BlockingIOError(
        errno.EAGAIN, f"{path} is being rewritten by another process: try again when that ended"
    )


def _taken_or_without_locks(fd: int) -> bool:
    try:
        return take_soon(fd)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return True
        raise


@contextmanager
def left_behind(path: Path) -> Iterator[bool | None]:
    """A context that tells whether a file is one that a killed process left, and keeps it so.

    True where nobody holds its lock: the context holds it, so that nobody takes the file up while
    the context deletes it. None where that cannot be known.
    """
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        yield None
        return
    try:
        try:
            taken = take(fd, shared=False)
        except OSError:
            taken = None
        yield taken and is_at(fd, path)
    finally:
        os.close(fd)
