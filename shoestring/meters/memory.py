"""Memory: the peak bytes that loading and running a file adds to a process."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from shoestring.artifact import Content, Loaded, load, read_model
from shoestring.artifact.format.graph import Graph, Node, Port
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Cost, Task
from shoestring.meters.inputs import as_file, check_integer, check_positive, feeds

_RUNS = 3  # the first allocates the runtime's arena, the others use it
_CHILD = "import sys; from shoestring.meters.memory import child; child(*sys.argv[1:])"


@dataclass(frozen=True, kw_only=True)
class Memory:
    """`memory_bytes`: how much loading and running a file raises a process's peak resident memory.

    The file runs in a process of its own. That process first imports what running needs, runs a
    trivial graph and holds the inputs; so the memory of Python and ONNX Runtime is not counted.
    Reading and unpacking are counted: the file's bytes, its tensors and the runtime's copy of them
    exist at the same time. Each entry has a copy of the tensors that it reads. The smallest file
    takes about a megabyte.

    `threads`: threads of a run, 1 or more; None for all cores.
    `batch`: examples per run, 1 or more.
    `seconds`: after which the process is stopped, above 0.

    Where the system does not report a peak (Windows) the cost stays unmeasured, and `why_not` says
    so.
    Raises ValueError for bad settings, FileNotFoundError for a path without a file, ShoeError for a
    damaged file, TimeoutError, and RuntimeError where the process dies.
    """

    measures: ClassVar[str] = "memory_bytes"

    threads: int | None = 1
    batch: int = 1
    seconds: float = 120.0

    def __post_init__(self) -> None:
        check_integer("threads", self.threads, 1, "all cores")
        check_integer("batch", self.batch, 1)
        check_positive("seconds", self.seconds)

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        with as_file(subject, task) as path:
            inputs = feeds(read_model(path), task, self.batch)
            return Cost() if self.why_not() else Cost(memory_bytes=self._measure(path, inputs))

    def why_not(self) -> str | None:
        """Why memory stays unmeasured on this machine; None where it can be measured."""
        if find_spec("resource") is None:
            return (
                f"{sys.platform} does not tell a process its peak memory (no module `resource`): "
                "use Linux or macOS"
            )
        return None

    def _measure(self, path: Path, inputs: dict[str, np.ndarray]) -> int:
        with scratch_folder() as folder:
            arrays = folder / "inputs.npz"
            np.savez(arrays, **{str(index): value for index, value in enumerate(inputs.values())})  # type: ignore[arg-type]
            # The process imports from where this one does, also from a relative path.
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
                    f"loading and running {path} took longer than {self.seconds:g} seconds: give "
                    "Memory(seconds=...) more, or the task a shorter example"
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
    """Print the bytes that loading and running the file adds to this process's peak memory.

    It is run in a process of its own.
    """
    with np.load(arrays) as saved:
        values = [saved[str(index)] for index in range(len(saved.files))]
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
    remaining = iter(values)
    runs = [
        (entry, {port.name: next(remaining) for port in entry.inputs})
        for entry in (loaded.entries or {"": loaded}).values()
    ]
    for _ in range(_RUNS):
        for entry, inputs in runs:
            entry.run(inputs)
    print(max(0, peak() - before))


def peak() -> int:
    """The peak resident bytes of this process so far.

    Linux's `ru_maxrss` starts at the parent's resident memory, which is a gigabyte with torch. The
    figure in /proc starts anew.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return maximum if sys.platform == "darwin" else maximum * 1024


def _forget() -> None:
    """Reset the peak to what is resident now, where the system allows it (Linux).

    Importing takes more memory for a while than it keeps.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
