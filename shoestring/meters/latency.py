"""Latency: the milliseconds of a run, of one file or of several in alternation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from shoestring.artifact import OnnxRuntime, Runtime, read_model
from shoestring.artifact.runtime.session import checked
from shoestring.core import Cost, Task
from shoestring.meters.exchange import Sent, Work
from shoestring.meters.inputs import as_file, feeds, positive, runner, whole
from shoestring.meters.interleaved import SECONDS, Timing, in_turn, ratio
from shoestring.meters.remote import Remote, one_remote

_ONNX_RUNTIME = OnnxRuntime()


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
) -> list[Timing]:
    """Time several files in one go, a sample of each in turn (A B A B ...), so that drift hits all
    alike.

    `threads` a run may use (None: all cores); `batch` examples a run.
    `rounds`: samples of each, None for as many as take about `seconds` in all, 7 at least; up to
        `warm_up` runs of each, half a second at most, are made before. A sample is the mean of so
        many runs in a row that they take a millisecond (ten, with several threads, which are given
        50 ms to settle before).
    `runtime`: one for all, or one for each path, which may be the same file twice; a `Remote` has
        all of them timed by its device. Returns a Timing per path, in order. Raises ValueError for
        bad settings, FileNotFoundError, ShoeError for a damaged file, RemoteError.
    """
    _check(threads=threads, batch=batch, rounds=rounds, warm_up=warm_up)
    positive("seconds", seconds)
    if isinstance(paths, str | Path) or not paths:
        raise ValueError(f"alternate() takes a list of one path or more, not {paths!r}")
    runtimes = list(runtime) if isinstance(runtime, list | tuple) else [runtime] * len(paths)
    if len(runtimes) != len(paths):
        raise ValueError(
            f"there are {len(runtimes)} runtimes for {len(paths)} paths: give one for all, or one "
            "for each"
        )
    device = one_remote(runtimes)
    if device is not None:
        files, order = _parcel(paths, task, batch)
        work = Work(
            files=files,
            order=order,
            threads=threads,
            rounds=rounds,
            warm_up=warm_up,
            seconds=seconds,
        )
        return device.time(work)
    runs: list[Callable[[], Any]] = []
    for one, its in zip(paths, runtimes, strict=True):
        with as_file(one, task) as path:
            content = read_model(path)
            runs.append(runner(content, feeds(content, task, batch), threads, checked(its)))
    return in_turn(runs, resting=threads != 1, rounds=rounds, warm_up=warm_up, seconds=seconds)


def _parcel(paths: Sequence[str | Path], task: Task, batch: int) -> tuple[list[Sent], list[int]]:
    """What is sent to another device.

    Each distinct file once, with its inputs, and which of them is at each place.
    """
    files: list[Sent] = []
    places: dict[bytes, int] = {}
    order: list[int] = []
    for one in paths:
        with as_file(one, task) as path:
            content, data = read_model(path), path.read_bytes()
        if data not in places:
            places[data] = len(files)
            files.append(Sent(data, feeds(content, task, batch)))
        order.append(places[data])
    return files, order


@dataclass(frozen=True, kw_only=True)
class Latency:
    """`milliseconds`: the median time of one run of the file, on the task's example.

    Of a file with several entries, of one run of each.
    threads: that a run may use; None for all cores.
    repeats: samples of which the median is taken; None for as many as take about a second and a
    half, 7 at least. warm_up: runs before the first that counts, 1 or more. batch: examples a run.
    The milliseconds are those of the whole run. reference: a file that is timed in alternation. The
    milliseconds are then the median pairwise ratio to it, times what
        the reference took when this process first timed it: what slows the machine later does not
        look like a slower model. They are the ones to compare in a ledger.
    runtime: what runs the files; OpenVINO() is another vendor's opinion, and Remote(url) another
    device.

    Raises ValueError for bad settings, FileNotFoundError, ShoeError for a damaged file,
    RemoteError.
    """

    measures: ClassVar[str] = "milliseconds"

    threads: int | None = 1
    repeats: int | None = None
    warm_up: int = 10
    batch: int = 1
    reference: str | Path | None = None
    runtime: Runtime | Remote = _ONNX_RUNTIME

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

    def why_not(self) -> str | None:
        """None: this can be measured everywhere."""
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
            )
        if self.reference is None:
            return Cost(milliseconds=timings[0].median)
        unit = _first.setdefault(self._key(Path(self.reference), task), timings[1].median)
        return Cost(milliseconds=ratio(*timings).median * unit)

    def _key(self, reference: Path, task: Task) -> tuple[Any, ...]:
        shapes = tuple(
            value.shape for value in feeds(read_model(reference), task, self.batch).values()
        )
        status = reference.stat()
        return (
            reference.resolve(),
            status.st_mtime_ns,
            status.st_size,
            self.threads,
            shapes,
            self.runtime,
        )


_first: dict[
    tuple[Any, ...], float
] = {}  # what each reference took when it was first timed, in milliseconds


def _check(
    *, threads: int | None, batch: int, rounds: int | None, warm_up: int, called: str = "rounds"
) -> None:
    whole("threads", threads, 1, "all cores")
    whole("batch", batch, 1)
    whole(called, rounds, 1, "as many as take about a second and a half")
    whole("warm_up", warm_up, 1)
