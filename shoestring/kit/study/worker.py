"""Workers of a study: which process it is, whether it lives, and a lock that the kernel takes back
when a process ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
import threading
import uuid
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from time import monotonic, time
from typing import Any

from shoestring.core.ledger import versions

DECIDING = ("shoestring", "code", "torch", "onnxruntime")
"""The versions that must be the same in all processes that work on a study at one time."""
_HOUR = 3600.0
_FAR = (
    1 << 30
)  # Windows forbids others to read the bytes that are locked: lock one that no file has

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int, shared: bool) -> bool:
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

    def _lock(fd: int, shared: bool) -> bool:
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """An exclusive lock on a file, with a text inside; of the process, not of those that it forks.

    The kernel takes it back when the process ends, however it ends, so that it is never stale.
    Raises BlockingIOError where another has it, OSError where the file system has no locks.
    """

    def __init__(self, path: Path, text: str = "") -> None:
        self.path = path
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _lock(fd, shared=False):
                raise BlockingIOError(f"{path} is locked by another process")
            os.ftruncate(fd, 0)
            os.write(fd, text.encode())
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._end = weakref.finalize(self, os.close, fd)
        _locks.add(self)

    def release(self) -> None:
        """Let others have it; a second time does nothing."""
        self._end()

    def _forget(self) -> None:
        """In a process that was forked: the lock stays with the one that forked it."""
        if self._end.detach():
            os.close(self._fd)


def _forked() -> None:
    for lock in list(_locks):
        lock._forget()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)


def is_held(path: Path) -> bool | None:
    """Whether a process has the lock on a file.

    None where the file is not there or nobody can tell.
    """
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        return not _lock(
            fd, shared=True
        )  # shared: two that ask at one time must not take each other for the holder
    except OSError:
        return None
    finally:
        os.close(fd)


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that works on a study.

    `lock` is the path of a file that it has locked as long as it lives.
    """

    id: str
    host: str
    pid: int
    command: str
    lock: str
    versions: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The worker as plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.split()[0]} ({self.command})"


def hire(folder: Path) -> tuple[Worker, FileLock]:
    """This process as a new worker, and the lock that tells that it lives, in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    path = (folder / f"{name}.lock").absolute()
    lock = FileLock(path)
    deciding = {**versions(), "code": code_digest()}
    found = {one: deciding[one] for one in DECIDING if one in deciding}
    return Worker(
        id=name, host=host(), pid=os.getpid(), command=command(), lock=str(path), versions=found
    ), lock


@cache
def host() -> str:
    """The name of this machine, and a number that tells machines of one name apart."""
    try:
        number = Path("/etc/machine-id").read_text().strip()
    except OSError:
        number = f"{uuid.getnode():012x}"
    return f"{platform.node() or 'localhost'} {number}"


def command() -> str:
    """The command line of this process."""
    return " ".join([Path(sys.executable or "python").name, *sys.argv])[:300]


@cache
def code_digest() -> str:
    """A digest of the source of this package, which tells two states of the code apart that have
    one version.
    """
    package, digest = Path(__file__).parents[2], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def differing(me: Worker, other: Worker) -> str:
    """In words, what both have in other versions; "" where that is nothing."""
    names = [name for name in DECIDING if me.versions.get(name) != other.versions.get(name)]
    return ", ".join(
        f"{name} {other.versions.get(name, 'none')} there and {me.versions.get(name, 'none')} here"
        for name in names
    )


class Watch:
    """Tells which workers live.

    One of this machine lives as long as its lock is held, which needs no waiting. Of another
    machine, what counts is whether its heartbeat changed within `patience` seconds as seen from
    here, since clocks differ; and one that is older than an hour by our clock is no life.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._seen: dict[str, tuple[float, float]] = {}

    def lives(self, worker: Worker, beat: float) -> bool:
        """Whether a worker lives whose last heartbeat was at `beat`, by its clock."""
        if worker.host == host() and (held := is_held(Path(worker.lock))) is not None:
            return held
        if time() - beat > _HOUR + self.patience:
            return False
        if self._seen.get(worker.id, (None, 0.0))[0] != beat:
            self._seen[worker.id] = beat, monotonic()
        return monotonic() - self._seen[worker.id][1] <= self.patience


def bury(worker: Worker) -> None:
    """Delete the lock of a worker of this machine that is dead."""
    path = Path(worker.lock)
    if worker.host == host() and is_held(path) is False:
        with contextlib.suppress(OSError):
            path.unlink()


def clear(folder: Path, before: float) -> None:
    """Delete the locks of dead workers that were made before a time, in seconds since 1970."""
    for path in folder.glob("*.lock"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before and is_held(path) is False:
                path.unlink()


class Heartbeat:
    """Calls `beat` every so many seconds, in a thread, between `start` and `stop`."""

    def __init__(self, beat: Callable[[], None], seconds: float) -> None:
        self._beat, self._seconds = beat, seconds
        self._stop: threading.Event | None = None

    def start(self) -> None:
        """Begin to beat; where it beats already, nothing changes."""
        if self._stop is None:
            self._stop = threading.Event()
            threading.Thread(
                target=self._run, args=(self._stop,), name="study heartbeat", daemon=True
            ).start()

    def stop(self) -> None:
        """Beat no more."""
        if self._stop is not None:
            self._stop.set()
            self._stop = None

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._seconds):
            with contextlib.suppress(Exception):  # a beat that fails is made good by the next
                self._beat()
