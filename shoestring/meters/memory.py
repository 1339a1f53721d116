"""Memory: the peak bytes that loading and running a file adds to a process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from shoestring.artifact import Content, Loaded, load, read_model
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.core import Cost, Task
from shoestring.meters.inputs import as_file, feeds, positive, whole

_RUNS = 3  # the first lays out the runtime's arena, the others use it
_CHILD = "import sys; from shoestring.meters.memory import child; child(*sys.argv[1:])"


@dataclass(frozen=True, kw_only=True)
class Memory:
    """`memory_bytes`: by how much loading a file and running it raises the peak resident memory of
    a process of its own.

    That process imports what running needs, runs a trivial graph and holds the inputs before it
    starts to count, so that the price of Python and ONNX Runtime is not the file's. Reading and
    unpacking are: the file's bytes, its tensors and the runtime's copy of them exist at the same
    time; each of several entries has a copy of what it reads. The smallest file takes about a
    megabyte.

    threads: that a run may use; None for all cores.
    batch: examples a run.
    seconds: after which the process is stopped.

    Unmeasured where the system does not tell (Windows); `why_not` says so. Raises ValueError for
    bad settings, FileNotFoundError, ShoeError for a damaged file, TimeoutError, RuntimeError where
    the process dies.
    """

    measures: ClassVar[str] = "memory_bytes"

    threads: int | None = 1
    batch: int = 1
    seconds: float = 120.0

    def __post_init__(self) -> None:
        whole("threads", self.threads, 1, "all cores")
        whole("batch", self.batch, 1)
        positive("seconds", self.seconds)

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        with as_file(subject, task) as path:
            inputs = feeds(read_model(path), task, self.batch)
            return Cost() if self.why_not() else Cost(memory_bytes=self._measure(path, inputs))

    def why_not(self) -> str | None:
        """Why memory stays unmeasured on this machine; None where it can be measured."""
        if find_spec("resource") is None:
            return (
                f"{sys.platform} does not tell a process its peak memory (no module "
                "`resource`): use Linux or macOS"
            )
        return None

    def _measure(self, path: Path, inputs: dict[str, np.ndarray]) -> int:
        with tempfile.TemporaryDirectory(prefix="shoestring-") as folder:
            arrays = Path(folder) / "inputs.npz"
            np.savez(arrays, **{str(place): value for place, value in enumerate(inputs.values())})  # type: ignore[arg-type]
            # The process finds what this one finds, wherever it was started.
            paths = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
            command = [sys.executable, "-c", _CHILD, str(path), str(arrays), str(self.threads or 0)]
            try:
                done = subprocess.run(
                    command,
                    env={**os.environ, "PYTHONPATH": paths},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=self.seconds,
                )
            except subprocess.TimeoutExpired:
                raise TimeoutError(
                    f"loading and running {path} took longer than {self.seconds:g} seconds: "
                    "give Memory(seconds=...) more, or the task a shorter example"
                ) from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            killed = (
                f"it was killed by signal {-done.returncode}, perhaps for want of memory"
                if done.returncode < 0
                else last
            )
            raise RuntimeError(f"the process that measured the memory of {path} failed: {killed}")
        return int(done.stdout)


def child(path: str, arrays: str, threads: str) -> None:
    """Prints the bytes that loading and running the file adds to this process's peak.

    Run in a process of its own.
    """
    with np.load(arrays) as kept:
        values = [kept[str(place)] for place in range(len(kept.files))]
    trivial = Graph(
        20,
        (Port("x", 1, (1,)),),
        0,
        (),
        (Node("Relu", (0,), 1),),
        (Port("y", 1),),
        (1,),
        ((0,), {}),
        0,
    )
    Loaded(Content(trivial, []), threads=1).run({"x": np.ones(1, np.float32)})
    _forget()
    before = peak()
    loaded = load(path, threads=int(threads) or None)
    given = iter(values)
    runs = [
        (one, {port.name: next(given) for port in one.inputs})
        for one in (loaded.entries or {"": loaded}).values()
    ]
    for _ in range(_RUNS):
        for one, inputs in runs:
            one.run(inputs)
    print(max(0, peak() - before))


def peak() -> int:
    """The most resident bytes that this process has had.

    Linux's `ru_maxrss` starts at what the parent had when it started the process, a gigabyte of
    torch say; the figure in /proc does not.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def _forget() -> None:
    """Make the peak what is resident now, where the system lets us (Linux).

    Imports peak higher than they stay.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
