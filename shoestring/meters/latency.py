"""Latency: the milliseconds of a run, of one file or of several in alternation."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from shoestring.artifact import OnnxRuntime, Runtime, read
from shoestring.artifact.session import checked
from shoestring.core import Cost, Task
from shoestring.meters.subject import as_file, feeds, positive, runner, whole

SECONDS = 1.5  # that an alternation takes in all, unless its files are slow
FEWEST_ROUNDS = 7
_BLOCK_SECONDS = 1e-3  # a sample is the mean of so many runs in a row that they take this long
_LEAD_SECONDS = 20e-3  # of a model faster than this, the run that fetches its weights back into the caches is not timed
_WARM_SECONDS = 0.5
_SPIN_SECONDS = 50e-3  # for this long after a run ONNX Runtime's threads spin, and would take the cores from the next file
_ONNX_RUNTIME = OnnxRuntime()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a run of a file took: the quartiles `low`, `median` and `high`, in milliseconds, of `milliseconds`.

    `milliseconds` has a sample per round, in order, and each is the mean of `runs` runs in a row.
    """

    median: float
    low: float
    high: float
    milliseconds: tuple[float, ...]
    runs: int

    def __str__(self) -> str:
        return f"{self.median:.4g} ms ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as long one file takes as another: the median of the pairwise ratios, and their quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def ratio(a: Timing, b: Timing) -> Ratio:
    """How many times as long `a` took as `b`, both from one `alternate`: below 1 where `a` is faster. The figure to quote.

    Each sample of `a` is divided by the sample of `b` in the same round, so that what slowed the machine for a while slowed
    both. Raises ValueError for timings of different numbers of rounds.
    """
    if len(a.milliseconds) != len(b.milliseconds):
        raise ValueError(
            f"one timing has {len(a.milliseconds)} rounds and the other {len(b.milliseconds)}: "
            "time both in one call of alternate(), so that each round holds a pair"
        )
    low, median, high = _quartiles(np.divide(a.milliseconds, b.milliseconds))
    return Ratio(median=median, low=low, high=high)


def alternate(
    paths: Sequence[str | Path],
    task: Task,
    *,
    threads: int | None = 1,
    batch: int = 1,
    rounds: int | None = None,
    warm_up: int = 10,
    seconds: float = SECONDS,
    runtime: Runtime | list[Runtime] | tuple[Runtime, ...] = _ONNX_RUNTIME,
) -> list[Timing]:
    """Time several files in one go, a sample of each in turn (A B A B ...), so that drift hits all alike.

    `threads` a run may use (None: all cores); `batch` examples a run; `rounds`: samples of each, None for as many as take
    about `seconds` in all, 7 at least; up to `warm_up` runs of each, half a second at most, are made before. A sample is
    the mean of so many runs in a row that they take a millisecond (ten, with
    several threads, which are given 50 ms to settle before). `runtime`: one for all, or one for each path, which may be
    the same file twice. Returns a Timing per path, in order.
    Raises ValueError for bad settings, FileNotFoundError, ShoeError for a damaged file.
    """
    _check(threads=threads, batch=batch, rounds=rounds, warm_up=warm_up)
    positive("seconds", seconds)
    if isinstance(paths, str | Path) or not paths:
        raise ValueError(f"alternate() takes a list of one path or more, not {paths!r}")
    runtimes = list(runtime) if isinstance(runtime, list | tuple) else [runtime] * len(paths)
    if len(runtimes) != len(paths):
        raise ValueError(f"there are {len(runtimes)} runtimes for {len(paths)} paths: give one for all, or one for each")
    runs: list[Callable[[], Any]] = []
    for one, its in zip(paths, runtimes, strict=True):
        with as_file(one, task) as path:
            content = read(path)
            runs.append(runner(content, feeds(content, task, batch), threads, checked(its)))
    with _undisturbed():
        expected = [_warm(run, warm_up) for run in runs]
        rest = _SPIN_SECONDS if threads != 1 and len(runs) > 1 else 0.0
        counts = [max(1, ceil(max(_BLOCK_SECONDS, rest / 5) / one)) for one in expected]
        leads = [one < _LEAD_SECONDS for one in expected]
        samples: list[list[float]] = [[] for _ in runs]
        start, done = perf_counter(), 0
        while done < rounds if rounds else done < FEWEST_ROUNDS or perf_counter() - start < seconds:
            for run, count, lead, mine in zip(runs, counts, leads, samples, strict=True):
                if rest:
                    sleep(rest)
                mine.append(_sample(run, count, lead))
            done += 1
    return [_timing(mine, count) for mine, count in zip(samples, counts, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Latency:
    """`milliseconds`: the median time of one run of the file, on the task's example.

    threads: that a run may use; None for all cores.
    repeats: samples of which the median is taken; None for as many as take about a second and a half, 7 at least.
    warm_up: runs before the first that counts, 1 or more.
    batch: examples a run. The milliseconds are those of the whole run.
    reference: a file that is timed in alternation. The milliseconds are then the median pairwise ratio to it, times what
        the reference took when this process first timed it: what slows the machine later does not look like a slower model.
        They are the ones to compare in a ledger.
    runtime: what runs the files; OpenVINO() is another vendor's opinion.

    Raises ValueError for bad settings, FileNotFoundError, ShoeError for a damaged file.
    """

    threads: int | None = 1
    repeats: int | None = None
    warm_up: int = 10
    batch: int = 1
    reference: str | Path | None = None
    runtime: Runtime = _ONNX_RUNTIME

    def __post_init__(self) -> None:
        _check(threads=self.threads, batch=self.batch, rounds=self.repeats, warm_up=self.warm_up, called="repeats")
        checked(self.runtime)

    def __call__(self, subject: Any | Path, task: Task) -> Cost:
        with as_file(subject, task) as path:
            paths = [path] if self.reference is None else [path, Path(self.reference)]
            timings = alternate(
                paths, task, threads=self.threads, batch=self.batch, rounds=self.repeats, warm_up=self.warm_up,
                runtime=self.runtime,
            )  # fmt: skip
        if self.reference is None:
            return Cost(milliseconds=timings[0].median)
        unit = _first.setdefault(self._key(Path(self.reference), task), timings[1].median)
        return Cost(milliseconds=ratio(*timings).median * unit)

    def _key(self, reference: Path, task: Task) -> tuple[Any, ...]:
        shapes = tuple(value.shape for value in feeds(read(reference), task, self.batch).values())
        status = reference.stat()
        return reference.resolve(), status.st_mtime_ns, status.st_size, self.threads, shapes, self.runtime


_first: dict[tuple[Any, ...], float] = {}  # what each reference took when it was first timed, in milliseconds


def _check(*, threads: int | None, batch: int, rounds: int | None, warm_up: int, called: str = "rounds") -> None:
    whole("threads", threads, 1, "all cores")
    whole("batch", batch, 1)
    whole(called, rounds, 1, "as many as take about a second and a half")
    whole("warm_up", warm_up, 1)


def _warm(run: Callable[[], Any], most: int) -> float:
    """Up to `most` runs; the seconds of the fastest."""
    start, fastest = perf_counter(), float("inf")
    for _ in range(most):
        began = perf_counter()
        run()
        fastest = min(fastest, perf_counter() - began)
        if perf_counter() - start > _WARM_SECONDS:
            break
    return max(fastest, 1e-7)


def _sample(run: Callable[[], Any], count: int, lead: bool) -> float:
    """The mean milliseconds of `count` runs in a row, after one that is not timed if `lead`."""
    if lead:
        run()
    start = perf_counter()
    for _ in range(count):
        run()
    return (perf_counter() - start) * 1e3 / count


def _timing(samples: list[float], runs: int) -> Timing:
    low, median, high = _quartiles(np.asarray(samples))
    return Timing(median=median, low=low, high=high, milliseconds=tuple(samples), runs=runs)


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return low, median, high


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Without Python's garbage collector, whose pauses are not the file's."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
