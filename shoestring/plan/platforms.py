"""The same task in several files on several platforms.

What each scores, how large it is, and how fast it is there.
"""

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
    """A file: its validation `score` in ONNX Runtime, `operations` per example (None.

    Unmeasured), `bytes`, and its pace on each platform, beside the first file.
    """

    file: Path
    score: float
    operations: int | None
    bytes: int
    relative_latencies: tuple[RelativeLatency, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """What `platforms` found.

    A Line for each file, in order, and the platforms in the order of their paces.
    """

    lines: tuple[Line, ...]
    platforms: tuple[str, ...]
    batch: int

    def __str__(self) -> str:
        """The table in text; the milliseconds of a run are followed by the interval that holds
        them.
        """
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
                f"Scores are of validation data. Milliseconds are of a run of {examples}, timed "
                "in turn.",
            ]
        )

    def as_json(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return {"batch": self.batch, "files": [_flat(line, self.platforms) for line in self.lines]}

    def to_svg(self) -> str:
        """A chart of the score against the milliseconds, a colour for each platform."""
        dots = [
            [
                Dot(
                    line.file.name,
                    one.milliseconds * one.ratio,
                    one.milliseconds * one.low,
                    one.milliseconds * one.high,
                    line.score,
                )
                for line in self.lines
                for one in line.relative_latencies[place : place + 1]
            ]
            for place in range(len(self.platforms))
        ]
        return chart(dict(zip(self.platforms, dots, strict=True)))


def platforms(
    files: Sequence[str | Path],
    task: Task,
    runtimes: Sequence[Platform] = (_ONNX_RUNTIME,),
    *,
    batch: int = 1,
) -> Table:
    """Score, operations and bytes of each file, and its milliseconds on each platform, with `batch`
    examples a run.

    On each platform all files are timed in one alternation, with the first in it twice:
    milliseconds are the ratio to the first times what that takes, and the interval has in it what
    merely loading a file again changes. `parse_runtime` makes platforms of texts. Raises ValueError
    without files or platforms, and what loading, scoring and `alternate` raise.
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
        for one in runtimes:
            timed.append(_paces(paths, task, Platform(*one), batch))
            advance(str(Platform(*one)))
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
        platforms=tuple(str(Platform(*one)) for one in runtimes),
        batch=batch,
    )


def _paces(paths: list[Path], task: Task, platform: Platform, batch: int) -> list[RelativeLatency]:
    seconds = SECONDS * (len(paths) + 1) / 2  # as much for each as a pair has
    first, *others, again = alternate(
        [*paths, paths[0]],
        task,
        threads=platform.threads,
        batch=batch,
        seconds=seconds,
        runtime=platform.runtime,
    )
    return [between(first, [again]), *(between(one, [first, again]) for one in others)]


def _words(line: Line) -> list[str]:
    times = [
        f"{'too noisy to tell' if p.is_too_noisy else f'{p.milliseconds * p.ratio:.4g}'} "
        f"({p.milliseconds * p.low:.4g} to {p.milliseconds * p.high:.4g})"
        for p in line.relative_latencies
    ]
    operations = "" if line.operations is None else f"{line.operations:,}"
    return [str(line.file), f"{line.score:.4f}", operations, f"{line.bytes:,}", *times]


def _flat(line: Line, names: tuple[str, ...]) -> dict[str, Any]:
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
