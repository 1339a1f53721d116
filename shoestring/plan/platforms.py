"""Platforms: score, size and speed of several files, on several runtimes and devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoestring.artifact import OnnxRuntime, load
from shoestring.core import Task
from shoestring.core.task import score
from shoestring.kit import progress
from shoestring.meters import Operations, Platform, alternate
from shoestring.meters.interleaved import SECONDS
from shoestring.plan.platforms_chart import Dot, chart
from shoestring.plan.relative_latency import RelativeLatency, between

_ONNX_RUNTIME = Platform(OnnxRuntime())


@dataclass(frozen=True, kw_only=True)
class Line:
    """The measurements of one file.

    `file`: its path.
    `score`: of validation data, in ONNX Runtime.
    `operations`: per example; None where they were not measured.
    `bytes`: of the file.
    `relative_latencies`: to the first file, on each platform.
    """

    file: Path
    score: float
    operations: int | None
    bytes: int
    relative_latencies: tuple[RelativeLatency, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A Line for each file, and the names of the platforms.

    `lines`: in the order of the files.
    `platforms`: in the order of the relative latencies of a line.
    `batch`: examples in a run.
    """

    lines: tuple[Line, ...]
    platforms: tuple[str, ...]
    batch: int

    def __str__(self) -> str:
        """The table as text, each time with its interval."""
        head = ["file", "score", "operations", "bytes", *(f"ms, {name}" for name in self.platforms)]
        rows = [head, *(_words(line) for line in self.lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        texts = [
            "  ".join(
                cell.rjust(width) if at else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        examples = "one example" if self.batch == 1 else f"{self.batch} examples"
        return "\n".join(
            [
                *texts,
                "",
                f"Scores are of validation data. Milliseconds are of a run of {examples}, timed in "
                "turn.",
            ]
        )

    def as_json(self) -> dict[str, Any]:
        """The table as plain JSON values."""
        return {"batch": self.batch, "files": [_flat(line, self.platforms) for line in self.lines]}

    def to_svg(self) -> str:
        """A chart of the score against the milliseconds, a colour for each platform."""
        dots = [
            [
                Dot(
                    line.file.name,
                    latency.milliseconds * latency.ratio,
                    latency.milliseconds * latency.low,
                    latency.milliseconds * latency.high,
                    line.score,
                )
                for line in self.lines
                for latency in line.relative_latencies[index : index + 1]
            ]
            for index in range(len(self.platforms))
        ]
        return chart(dict(zip(self.platforms, dots, strict=True)))


def platforms(
    files: Sequence[str | Path],
    task: Task,
    runtimes: Sequence[Platform] = (_ONNX_RUNTIME,),
    *,
    batch: int = 1,
) -> Table:
    """Measure the score, operations and bytes of each file, and its speed on each platform.

    On each platform all files are timed interleaved, and the first file is timed twice. The
    milliseconds of a file are its ratio to the first, times the milliseconds of the first. The
    interval includes what merely loading a file again changes.

    `files`: one path or more.
    `runtimes`: one Platform or more; `parse_runtime` makes them from text.
    `batch`: examples in a run.

    Raises ValueError without files or platforms, and what loading, scoring and `alternate` raise.
    """
    if isinstance(files, str | Path) or not files:
        raise ValueError(f"platforms() takes a list of one file or more, not {files!r}")
    if isinstance(runtimes, Platform | str) or not runtimes:
        raise ValueError(f"platforms() takes a list of one Platform or more, not {runtimes!r}")
    task = task.sealed()
    paths = [Path(file) for file in files]
    scores = [score(task, load(path)) for path in paths]
    operations = [Operations()(path, task).operations for path in paths]
    timed: list[list[RelativeLatency]] = []
    with progress("timing", len(runtimes)) as advance:
        for runtime in runtimes:
            timed.append(_relative_latencies(paths, task, Platform(*runtime), batch))
            advance(str(Platform(*runtime)))
    return Table(
        lines=tuple(
            Line(
                file=path,
                score=scores[i],
                operations=operations[i],
                bytes=path.stat().st_size,
                relative_latencies=tuple(t[i] for t in timed),
            )
            for i, path in enumerate(paths)
        ),
        platforms=tuple(str(Platform(*runtime)) for runtime in runtimes),
        batch=batch,
    )


def _relative_latencies(
    paths: list[Path], task: Task, platform: Platform, batch: int
) -> list[RelativeLatency]:
    """The relative latency of each file to the first."""
    seconds = SECONDS * (len(paths) + 1) / 2  # as much for each as a pair has
    first, *others, again = alternate(
        [*paths, paths[0]],
        task,
        threads=platform.threads,
        batch=batch,
        seconds=seconds,
        runtime=platform.runtime,
    )
    return [between(first, [again]), *(between(timing, [first, again]) for timing in others)]


def _words(line: Line) -> list[str]:
    """The cells of a line."""
    times = [
        f"{'too noisy to tell' if p.is_too_noisy else f'{p.milliseconds * p.ratio:.4g}'} "
        f"({p.milliseconds * p.low:.4g} to {p.milliseconds * p.high:.4g})"
        for p in line.relative_latencies
    ]
    operations = "" if line.operations is None else f"{line.operations:,}"
    return [str(line.file), f"{line.score:.4f}", operations, f"{line.bytes:,}", *times]


def _flat(line: Line, names: tuple[str, ...]) -> dict[str, Any]:
    """A line as plain values; `names` are those of the platforms."""
    times = [
        {
            "platform": name,
            "milliseconds": p.milliseconds * p.ratio,
            "milliseconds_low": p.milliseconds * p.low,
            "milliseconds_high": p.milliseconds * p.high,
            "ratio": p.ratio,
            "too_noisy": p.is_too_noisy,
        }
        for name, p in zip(names, line.relative_latencies, strict=True)
    ]
    return {
        "file": str(line.file),
        "score": line.score,
        "operations": line.operations,
        "bytes": line.bytes,
        "platforms": times,
    }
