"""Latency: the milliseconds of a run, for one file or for several in alternation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import thread_time
from typing import Any, ClassVar

from shoestring.artifact import OnnxRuntime, Runtime, read_model
from shoestring.artifact.runtime.session import checked
from shoestring.core import Cost, Task
from shoestring.meters.exchange import Sent, Work
from shoestring.meters.inputs import as_file, check_integer, check_positive, feeds, runner
from shoestring.meters.interleaved import SECONDS, Clock, Timing, in_turn, ratio
from shoestring.meters.remote import Remote, one_remote

_ONNX_RUNTIME = OnnxRuntime()


@dataclass(frozen=True)
class ThreadTime:
    """A clock: the seconds that the processor spent on the calling thread, `time.thread_time`.

    On a machine that is never idle it leaves out what the processor did for others.
    """

    def __call__(self) -> float:
        return thread_time()


def alternate(
    paths: Sequence[str | Path],
    task: Task,
    *,
    threads: int | None = 1,
    batch: int = 1,
    rounds: int | None = None,
    warm_up: int = 10,
    seconds: float = SECONDS,
    runtime: Runtime | Remote | list[Runtime] | tuple[Runtime, ...] = _ONNX_RUNTIME,
    clock: Clock | None = None,
) -> list[Timing]:
    """Time files in alternation (A B A B ...), so that drift of the machine slows all alike.

    `threads`: threads of a run, 1 or more; None for all cores.
    `batch`: examples per run, 1 or more.
    `rounds`: samples of each file, 1 or more; None for as many as take about `seconds` in all, 7 at
        least.
    `warm_up`: runs of each file before the first sample, 1 or more, half a second at most.
    `seconds`: the time of the whole alternation, above 0.
    `runtime`: one for all paths, or one for each path; then a path may appear twice. A `Remote` has
        its device time all files.
    `clock`: ThreadTime() on a machine that is never idle, as `in_turn` says; None for
        `time.perf_counter`. For one thread only, and not for a `Remote`.

    A sample is the mean of as many runs in a row as take a millisecond; with several threads they
    take ten milliseconds, after a rest of 50. Returns a Timing per path, in order.
    Raises ValueError for bad settings, FileNotFoundError for a path without a file, ShoeError for a
    damaged file, and RemoteError.
    """
    _check(threads=threads, batch=batch, rounds=rounds, warm_up=warm_up)
    check_positive("seconds", seconds)
    runtimes = _runtimes(paths, runtime)
    device = one_remote(runtimes)
    _check_clock(clock, threads, device)
    if device is not None:
        files, order = _parcel(paths, task, batch)
        counts = {"threads": threads, "rounds": rounds, "warm_up": warm_up, "seconds": seconds}
        return device.time(Work(files=files, order=order, **counts))
    runs: list[Callable[[], Any]] = []
    for item, item_runtime in zip(paths, runtimes, strict=True):
        with as_file(item, task) as path:
            content = read_model(path)
            runs.append(
                runner(content, feeds(content, task, batch), threads, checked(item_runtime))
            )
    return in_turn(
        runs,
        resting=threads != 1,
        rounds=rounds,
        warm_up=warm_up,
        seconds=seconds,
        clock=clock,
    )


def _check_clock(clock: Clock | None, threads: int | None, device: Remote | None) -> None:
    """Raise ValueError for a clock of one thread where there are several, or another device."""
    if clock is not None and (threads != 1 or device is not None):
        raise ValueError(
            f"another clock sees one thread alone, here: give threads=1, not {threads}, and no "
            "Remote"
        )


def _runtimes(paths: Sequence[str | Path], runtime: Any) -> list[Any]:
    """The runtime of each path."""
    if isinstance(paths, str | Path) or not paths:
        raise ValueError(f"alternate() takes a list of one path or more, not {paths!r}")
    runtimes = list(runtime) if isinstance(runtime, list | tuple) else [runtime] * len(paths)
    if len(runtimes) != len(paths):
        raise ValueError(
            f"there are {len(runtimes)} runtimes for {len(paths)} paths: give one for all, or one "
            "for each"
        )
    return runtimes


def _parcel(paths: Sequence[str | Path], task: Task, batch: int) -> tuple[list[Sent], list[int]]:
    """What is sent to another device: each distinct file once with its inputs, and the order.

    The order has the index of a file for each path.
    """
    files: list[Sent] = []
    indices: dict[bytes, int] = {}
    order: list[int] = []
    for item in paths:
        with as_file(item, task) as path:
            content, data = read_model(path), path.read_bytes()
        if data not in indices:
            indices[data] = len(files)
            files.append(Sent(data, feeds(content, task, batch)))
        order.append(indices[data])
    return files, order


@dataclass(frozen=True, kw_only=True)
class Latency:
    """`milliseconds`: the median time of one run of the file on the task's example.

    A run of a file with several entries is one run of each.

    `threads`: threads of a run, 1 or more; None for all cores.
    `repeats`: samples of which the median is taken, 1 or more; None for as many as take about a
        second and a half, 7 at least.
    `warm_up`: runs before the first sample, 1 or more.
    `batch`: examples per run, 1 or more. The milliseconds are those of the whole run.
    `reference`: a file that is timed in alternation. The milliseconds are then the median ratio to
        it, times what the reference took when this process first timed it. So a machine that slows
        down later does not make a model look slower; these are the milliseconds to compare in a
        ledger.
    `runtime`: what runs the files. `OpenVINO()` is another runtime, and `Remote(url)` another
        device.
    `clock`: ThreadTime() on a machine that is never idle, for one thread of ONNX Runtime; None for
        the time that passes.

    Raises ValueError for bad settings, FileNotFoundError for a path without a file, ShoeError for a
    damaged file, and RemoteError.
    """

    measures: ClassVar[str] = "milliseconds"

    threads: int | None = 1
    repeats: int | None = None
    warm_up: int = 10
    batch: int = 1
    reference: str | Path | None = None
    runtime: Runtime | Remote = _ONNX_RUNTIME
    clock: Clock | None = None

    def __post_init__(self) -> None:
        _check(
            threads=self.threads,
            batch=self.batch,
            rounds=self.repeats,
            warm_up=self.warm_up,
            called="repeats",
        )
        if not isinstance(self.runtime, Remote):
            checked(self.runtime)
        _check_clock(self.clock, self.threads, one_remote([self.runtime]))
        if self.clock is not None and not isinstance(self.runtime, OnnxRuntime):
            raise ValueError(
                f"another clock is for ONNX Runtime, which computes in the calling thread, not for "
                f"{self.runtime!r}: give clock=None"
            )

    def why_not(self) -> str | None:
        """None: latency can be measured everywhere."""
        return None

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        with as_file(subject, task) as path:
            paths = [path] if self.reference is None else [path, Path(self.reference)]
            timings = alternate(
                paths,
                task,
                threads=self.threads,
                batch=self.batch,
                rounds=self.repeats,
                warm_up=self.warm_up,
                runtime=self.runtime,
                clock=self.clock,
            )
        if self.reference is None:
            return Cost(milliseconds=timings[0].median)
        unit = _first.setdefault(self._key(Path(self.reference), task), timings[1].median)
        return Cost(milliseconds=ratio(*timings).median * unit)

    def _key(self, reference: Path, task: Task) -> tuple[Any, ...]:
        inputs = feeds(read_model(reference), task, self.batch)
        shapes = tuple(value.shape for value in inputs.values())
        status = reference.stat()
        return (
            reference.resolve(),
            status.st_mtime_ns,
            status.st_size,
            self.threads,
            shapes,
            self.runtime,
            self.clock,
        )


# The milliseconds of each reference when it was first timed.
_first: dict[tuple[Any, ...], float] = {}


def _check(
    *, threads: int | None, batch: int, rounds: int | None, warm_up: int, called: str = "rounds"
) -> None:
    check_integer("threads", threads, 1, "all cores")
    check_integer("batch", batch, 1)
    check_integer(called, rounds, 1, "as many as take about a second and a half")
    check_integer("warm_up", warm_up, 1)
