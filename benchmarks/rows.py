"""Rows of a benchmark: a JSON line each, on standard output with --json and in a results file whose
name has the conditions.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from shoestring.recipes.rows import Row, conditions

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

    For runs of days, a few jobs at a time.
    """
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        RESULTS.mkdir(exist_ok=True)
        self.path = (
            RESULTS / f"{self.benchmark}.{self.setting}{'.quick' if self.quick else ''}.jsonl"
        )
        self.partial = self.path if self.appending else self.path.with_suffix(".partial")
        if self.partial.exists():
            self.rows = [json.loads(line) for line in self.partial.read_text().splitlines()]

    def done(self, subject: str, seed: int | None) -> bool:
        """Whether the rows of a subject and seed are there: its last row says so."""
        return any(
            r["subject"] == subject and r["seed"] == seed and r["metric"] == "done"
            for r in self.rows
        )

    def add(
        self, subject: str, metric: str, value: float, unit: str, seed: int | None = None
    ) -> None:
        """One row, written at once."""
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

    def wanted(self, subject: str) -> bool:
        """Whether --only lets a subject through."""
        return self.only is None or self.only in subject

    def close(self) -> bool:
        """Put the results in their place; with --only they wait for the run that has the rest.

        Whether they are.
        """
        if self.only:
            print(f"kept in {self.partial}: run again without --only to finish", file=sys.stderr)
            return False
        kept = [row for row in self.rows if row["metric"] != "done"]
        self.path.write_text("".join(json.dumps(row) + "\n" for row in kept))
        self.partial.unlink()
        print(f"written: {self.path}", file=sys.stderr)
        return True


def results(benchmark: str) -> list[dict]:
    """The rows of a benchmark's results file."""
    (file,) = (path for path in RESULTS.glob(f"{benchmark}.*.jsonl") if ".quick." not in path.name)
    return read(file)


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


def start(benchmark: str, setting: str, about: str) -> Rows:
    """The rows of a benchmark, with the options that all benchmarks take."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument(
        "--quick", action="store_true", help="under a minute: smaller, and said so in its rows"
    )
    parser.add_argument("--json", action="store_true", help="rows as JSON lines on standard output")
    parser.add_argument("--only", help="only subjects that contain this")
    chosen = parser.parse_args()
    return Rows(benchmark, setting, chosen.quick, chosen.json, chosen.only, conditions())
