"""Rows of a benchmark: a JSON line each, on standard output with --json and in a results file whose
name has the conditions.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from shoestring.recipes.rows import Row, conditions, processor

RESULTS = Path(__file__).parent / "results"
FILES = RESULTS / "files"


@dataclass
class Rows:
    """Collects rows; each is in the file as soon as it is known.

    `done` tells what an earlier, interrupted run has made.
    """

    benchmark: str
    setting: str  # in the name of the results file: the data and the device
    quick: bool
    as_json: bool
    only: str | None
    conditions: str
    appending: bool = False
    """Rows go straight to the results file, which stays what tells what is done.

    For runs of days, a few jobs at a time. They search against the clock, so the processor decides
    every row, and every row has it; their files have it in their names.
    """
    adding: bool = False
    """Whether the rows of the results file stay, and only what has none there is run."""
    seed: int | None = None
    """The only seed that is run; None: all."""
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        self.processor = processor()
        self.path = (
            RESULTS / f"{self.benchmark}.{self.setting}{'.quick' if self.quick else ''}.jsonl"
        )
        self.partial = self.path if self.appending else self.path.with_suffix(".partial")
        if self.adding and not self.partial.exists() and self.path.exists():
            self._take_over()
        if self.partial.exists():
            self.rows = [json.loads(line) for line in self.partial.read_text().splitlines()]

    def _take_over(self) -> None:
        """Begin with the rows of the results file, as done."""
        kept: list[Row] = on(self.processor, read(self.path))
        marks = [
            Row(
                benchmark=self.benchmark,
                subject=subject,
                metric="done",
                value=1,
                unit="",
                seed=seed,
                conditions=self.conditions,
            )
            for subject, seed in dict.fromkeys((row["subject"], row["seed"]) for row in kept)
        ]
        self.partial.write_text("".join(json.dumps(row) + "\n" for row in kept + marks))

    def done(self, subject: str, seed: int | None) -> bool:
        """Whether the rows of a subject and seed are there: its last row says so."""
        return any(
            r["subject"] == subject and r["seed"] == seed and r["metric"] == "done"
            for r in self.rows
        )

    def has(self, subject: str, metric: str) -> bool:
        """Whether there is such a row; of a timing, one of this processor."""
        return metric in metrics(on(self.processor, self.rows), subject)

    def add(
        self,
        subject: str,
        metric: str,
        value: float,
        unit: str,
        seed: int | None = None,
        *,
        timed: bool = False,
    ) -> None:
        """One row, written at once. `timed`: a timing, whose row says the processor."""
        row = Row(
            benchmark=self.benchmark,
            subject=subject,
            metric=metric,
            value=value,
            unit=unit,
            seed=seed,
            conditions=self.conditions
            + (", quick: smaller than the real one" if self.quick else ""),
        )
        if timed or self.appending:
            row["processor"] = self.processor
        self.rows.append(row)
        with self.partial.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if metric != "done":
            line = (
                json.dumps(row)
                if self.as_json
                else f"{subject:32} {metric:32} {value:>14,.5g} {unit} (seed {seed})"
            )
            print(line, flush=True)

    def add_ratio(self, subject: str, batch: int, times: Any, seed: int | None = None) -> None:
        """Rows of a `Ratio` of milliseconds to the baseline's: its median, low and high."""
        for part in ("median", "low", "high"):
            metric = f"latency at batch {batch}, {part}"
            self.add(subject, metric, getattr(times, part), "of the baseline's", seed, timed=True)

    def wanted(self, subject: str) -> bool:
        """Whether --only lets a subject through."""
        return self.only is None or self.only in subject

    def close(self) -> bool:
        """Put the results in their place; with --only they wait for the run that has the rest.

        Timings of other processors stay: only those of this one are replaced. Rows without a
        processor are those of the last run. Whether the results are in their place.
        """
        if self.only:
            print(
                f"kept in {self.partial}: run again without --only to finish, or with --publish",
                file=sys.stderr,
            )
            return False
        kept = [row for row in self.rows if row["metric"] != "done"] + self._elsewhere()
        self.path.write_text("".join(json.dumps(row) + "\n" for row in kept))
        self.partial.unlink()
        print(f"written: {self.path}", file=sys.stderr)
        return True

    def publish(self) -> None:
        """Put the rows that are there in the results file, and keep those it has of other subjects.

        For a run that is not at its end: it goes on from the same partial file.
        """
        mine = [row for row in self.rows if row["metric"] != "done"]
        named = {_key(row) for row in mine}
        before: list[Row] = read(self.path) if self.path.exists() else []
        kept = [row for row in before if _key(row) not in named]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in kept + mine))
        print(f"{len(mine)} rows published, {len(kept)} kept: {self.path}", file=sys.stderr)

    def _elsewhere(self) -> list[Row]:
        """The timings in the results file that other processors made."""
        if not self.path.exists():
            return []
        return [
            row for row in read(self.path) if row.get("processor", self.processor) != self.processor
        ]


def _key(row: Row) -> tuple[str, str, int | None, str | None]:
    """What a later row of the same takes the place of."""
    return row["subject"], row["metric"], row["seed"], row.get("processor")


def results(benchmark: str) -> list[dict]:
    """The rows of a benchmark's results files; there are several where each processor has one.

    Raises FileNotFoundError where there is none.
    """
    files = [path for path in RESULTS.glob(f"{benchmark}.*.jsonl") if ".quick." not in path.name]
    if not files:
        raise FileNotFoundError(f"no results of {benchmark}: python benchmarks/{benchmark}.py")
    return [row for file in sorted(files) for row in read(file)]


def processors(found: Sequence[Any]) -> list[str]:
    """The processors that made timings: a column each in a table of speeds."""
    return sorted({row["processor"] for row in found if "processor" in row})


def on(processor: str, found: Sequence[Any]) -> list[Any]:
    """The rows of a processor, and those that have none."""
    return [row for row in found if row.get("processor", processor) == processor]


def conditions_told(found: Sequence[Any]) -> str:
    """The line under a table: the conditions of its rows."""
    return f"Conditions: {'; '.join(dict.fromkeys(row['conditions'] for row in found))}."


def metrics(found: Sequence[Any], subject: str) -> dict[str, float]:
    """What was measured of a subject; of several rows of a metric the last."""
    return {row["metric"]: row["value"] for row in found if row["subject"] == subject}


def read(file: Path) -> list[Any]:
    """The rows of a file, with the names that techniques have now.

    A results file keeps the names of its day: `WeightSharing` was called `Shared`.
    """
    text = re.sub(r'(?<=")(technique: )?Shared(?=")', r"\1WeightSharing", file.read_text())
    return [json.loads(line) for line in text.splitlines()]


def values(found: list[dict], subject: str, metric: str) -> list[float]:
    """A metric's values, a seed each, in the order of the seeds."""
    chosen = [row for row in found if row["subject"] == subject and row["metric"] == metric]
    return [row["value"] for row in sorted(chosen, key=lambda row: row["seed"] or 0)]


def spread(numbers: list[float], form: str) -> str:
    """The mean, and the values themselves."""
    return f"{mean(numbers):{form}} ({', '.join(f'{n:{form}}' for n in numbers)})"


def start(benchmark: str, setting: str, about: str, *, seeds: bool = False) -> Rows:
    """The rows of a benchmark, with the options that all benchmarks take.

    `seeds`: whether the benchmark takes `--seed` too.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument(
        "--quick", action="store_true", help="under a minute: smaller, and said so in its rows"
    )
    parser.add_argument("--json", action="store_true", help="rows as JSON lines on standard output")
    parser.add_argument("--only", help="only subjects that contain this")
    parser.add_argument(
        "--add", action="store_true", help="keep the results there are, and run what has none"
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="run nothing: put the rows of an unfinished run in the results file",
    )
    if seeds:
        parser.add_argument("--seed", type=int, help="only this seed")
    chosen = parser.parse_args()
    rows = Rows(
        benchmark,
        setting,
        chosen.quick,
        chosen.json,
        chosen.only,
        conditions(),
        adding=chosen.add,
        seed=chosen.seed if seeds else None,
    )
    if chosen.publish:
        rows.publish()
        sys.exit()
    return rows
