"""The planner on reference jobs.

`shoestring compress` as a person would run it, a process for each job and budget.
    OMP_NUM_THREADS=1 python benchmarks/planner.py              # all of it, about eight hours on
    one core OMP_NUM_THREADS=1 python benchmarks/planner.py lenet5 adult --only "size<=2"

Each run starts from nothing (an empty folder, no study). Rows go to the results file as they come,
and what has its rows is not run again. Scores, time and verdict are those that the command reports;
the file of the 60th second is the one that then lay there. A forecast is right where the bytes are
within 15 % of it, the milliseconds within 25 % and the minutes within 30 %. --quick: one budget of
the table for a minute, which is too short to say anything. Data as in benchmarks/baselines.py.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Any

from planner_runs import Bench, Run, minutes_rows, opened, outline, score_rows, told, verdict_rows
from planner_table import WITHIN
from rows import Rows

from shoestring.meters import Ratio

HERE = Path(__file__).parent
TOOL = "shoestring"
SNAPSHOT_SECONDS = 60.0


def main() -> None:
    rows, runs, chosen = opened("planner", __doc__ or "")
    for run in runs:
        subject = run.subject(TOOL)
        if not rows.wanted(subject) or rows.done(subject, chosen.seed):
            continue
        with tempfile.TemporaryDirectory(prefix="planner-") as folder:
            run_rows(rows, run, Path(folder), chosen.seed)
        rows.add(subject, "done", 1, "", chosen.seed)


def run_rows(rows: Rows, run: Run, folder: Path, seed: int) -> None:
    """A run, and all its rows."""
    subject = run.subject(TOOL)
    events, seconds, error = command(run, folder, seed)
    report = next((one for one in events if one["event"] == "done"), None)
    if report is None:
        rows.add(subject, f"failed: {told(error)}", 1, "", seed)
        return
    rows.add(subject, "came in", report["bytes_before"], "bytes", seed)
    validation = report["validation_before"], report["validation_after"]
    score_rows(
        rows,
        subject,
        report["bytes_after"],
        validation,
        (report["score_before"], report["score_after"]),
        seed,
    )
    verdict_rows(
        rows, subject, Ratio(**report["time_ratio"]), report["met"], len(report["undecided"]), seed
    )
    for name, one in report["broken"].items():
        rows.add(
            subject,
            f"over the limit on {name}",
            one["measured"] - one["limit"],
            "of its unit",
            seed,
        )
    minutes_rows(rows, subject, seconds / 60, run, seed)
    rows.add(subject, f"technique: {outline(report['technique'])}", 1, "", seed)
    rows.add(subject, "rounds", sum(one["event"] == "round" for one in events), "rounds", seed)
    for one in events:
        if one["event"] == "first":
            rows.add(subject, "first file", one["seconds"], "seconds", seed)
    early_rows(rows, subject, run, folder, seed)
    for one in events:
        if one["event"] == "forecast":
            forecast_rows(rows, subject, one, report, seconds / 60, seed)


def command(run: Run, folder: Path, seed: int) -> tuple[list[dict[str, Any]], float, str]:
    """The events of the command, the seconds that it took, and what it said where it failed."""
    out = folder / "model.shoe"
    words = [
        sys.executable,
        "-m",
        "shoestring.cli",
        "compress",
        f"{HERE / 'planner_jobs.py'}:{run.job}",
    ]
    words += [
        "--budget",
        run.budget,
        "--minutes",
        str(run.minutes),
        "--seed",
        str(seed),
        "--json",
        "--out",
        str(out),
    ]
    events: list[dict[str, Any]] = []
    began = monotonic()
    timer = Timer(SNAPSHOT_SECONDS, keep, (out, folder / "early.shoe"))
    timer.start()
    with (folder / "errors.txt").open("w") as errors:
        process = subprocess.Popen(
            [*words, "--ledger", str(folder / "ledger")],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(),
        )
        try:
            assert process.stdout is not None
            events += [json.loads(line) for line in process.stdout if line.startswith("{")]
            process.wait()
        finally:
            timer.cancel()
            timer.join()  # it may be copying
            process.terminate()
    return events, monotonic() - began, (folder / "errors.txt").read_text()


def environment() -> dict[str, str]:
    """This process's, with the package that stands beside this folder first."""
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def keep(file: Path, copy: Path) -> None:
    """A copy of what lies there now, if anything does."""
    if file.exists():
        shutil.copyfile(file, copy)


def early_rows(rows: Rows, subject: str, run: Run, folder: Path, seed: int) -> None:
    """What lay there after a minute."""
    early = folder / "early.shoe"
    if early.exists():
        bench = Bench(run.job, folder)
        rows.add(subject, "file after 60 s", early.stat().st_size, "bytes", seed)
        rows.add(
            subject,
            "validation drop after 60 s",
            100 * (bench.base - bench.validation(early)),
            "points",
            seed,
        )


def forecast_rows(
    rows: Rows,
    subject: str,
    forecast: dict[str, Any],
    report: dict[str, Any],
    minutes: float,
    seed: int,
) -> None:
    """What was foretold, how far off it was, and whether that is near enough."""
    came = {
        "bytes": report["bytes_after"],
        "milliseconds": delivered_milliseconds(report),
        "minutes": minutes,
    }
    for name, value in came.items():
        foretold = forecast[name]
        if foretold is None:
            continue
        for what, number in (
            ("", foretold["middle"]),
            (", low", foretold["low"]),
            (", high", foretold["high"]),
        ):
            rows.add(subject, f"forecast {name}{what}", number, name, seed)
        off = 100 * (value / foretold["middle"] - 1)
        rows.add(subject, f"forecast {name}, off", off, "%", seed)
        rows.add(
            subject,
            f"forecast {name}, within {WITHIN[name]:.0f} %",
            int(abs(off) <= WITHIN[name]),
            "",
            seed,
        )
        rows.add(
            subject,
            f"forecast {name}, in its range",
            int(foretold["low"] <= value <= foretold["high"]),
            "",
            seed,
        )
    rows.add(subject, "forecast chance", 100 * forecast["chance"], "%", seed)


def delivered_milliseconds(report: dict[str, Any]) -> float:
    """Of the delivered file, on the scale of the forecast.

    That of the search where it timed the file, else of the report.
    """
    for point in report["frontier"]:
        if point["technique"] == report["technique"] and point.get("milliseconds"):
            return point["milliseconds"]
    return report["milliseconds_after"]


if __name__ == "__main__":
    main()
