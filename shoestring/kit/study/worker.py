"""Workers of a study: their identity, and whether they live, which a file lock shows."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from time import monotonic, time
from typing import Any

from shoestring.artifact.locks import FileLock, is_held
from shoestring.core.ledger import versions

DECIDING = ("shoestring", "code", "torch", "onnxruntime")
"""The versions that must be equal in all processes that work on a study at one time."""
_HOUR = 3600.0


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A process that works on a study.

    `id`: unique for each worker.
    `host`, `pid`, `command`: the machine, the process and its command line.
    `lock`: the path of a file that the process keeps locked as long as it lives.
    `versions`: those of `DECIDING`.
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
    """Make this process a new worker; returns it and its lock, whose file is in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    path = (folder / f"{name}.lock").absolute()
    lock = FileLock(path)
    by_name = {**versions(), "code": code_digest()}
    deciding = {name: by_name[name] for name in DECIDING if name in by_name}
    return Worker(
        id=name, host=host(), pid=os.getpid(), command=command(), lock=str(path), versions=deciding
    ), lock


@cache
def host() -> str:
    """The name of this machine, and a number that distinguishes machines of one name."""
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
    """A digest of the source of this package: two states of the code may have one version."""
    package, digest = Path(__file__).parents[2], hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def differing(me: Worker, other: Worker) -> str:
    """The versions in which two workers differ, in words; "" where they do not differ."""
    names = [name for name in DECIDING if me.versions.get(name) != other.versions.get(name)]
    return ", ".join(
        f"{name} {other.versions.get(name, 'none')} there and {me.versions.get(name, 'none')} here"
        for name in names
    )


class Watch:
    """Decides which workers live.

    A worker on this machine lives as long as its lock is held. A worker on another machine lives as
    long as its heartbeat changes within `patience` seconds of our clock, since clocks differ; a
    heartbeat that is more than an hour older than our time shows a dead worker.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._seen: dict[str, tuple[float, float]] = {}

    def lives(self, worker: Worker, beat: float) -> bool:
        """Whether a worker lives.

        `beat`: its last heartbeat, in seconds since 1970 by its own clock.
        """
        if worker.host == host() and (held := is_held(Path(worker.lock))) is not None:
            return held
        if time() - beat > _HOUR + self.patience:
            return False
        if self._seen.get(worker.id, (None, 0.0))[0] != beat:
            self._seen[worker.id] = beat, monotonic()
        return monotonic() - self._seen[worker.id][1] <= self.patience


def bury(worker: Worker) -> None:
    """Delete the lock file of a dead worker on this machine."""
    path = Path(worker.lock)
    if worker.host == host() and is_held(path) is False:
        with contextlib.suppress(OSError):
            path.unlink()


def clear(folder: Path, before: float) -> None:
    """Delete the lock files of dead workers from before a time, in seconds since 1970."""
    for path in folder.glob("*.lock"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before and is_held(path) is False:
                path.unlink()


class Heartbeat:
    """Calls `beat` in a thread, once in `seconds`, between `start` and `stop`."""

    def __init__(self, beat: Callable[[], None], seconds: float) -> None:
        self._beat, self._seconds = beat, seconds
        self._stop: threading.Event | None = None

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._stop is None:
            self._stop = threading.Event()
            threading.Thread(
                target=self._run, args=(self._stop,), name="study heartbeat", daemon=True
            ).start()

    def stop(self) -> None:
        """Stop the thread."""
        if self._stop is not None:
            self._stop.set()
            self._stop = None

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._seconds):
            with contextlib.suppress(Exception):  # the next beat makes up for one that fails
                self._beat()
