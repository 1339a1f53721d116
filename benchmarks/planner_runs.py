"""What `planner.py` and `planner_peers.py` share.

The jobs with their budgets and minutes, and how a delivered file is weighed.
"""

from __future__ import annotations

import argparse
import lzma
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import planner_jobs
from planner_table import FIRST_MINUTE
from rows import Rows, conditions

from shoestring.artifact import Content, OnnxRuntime, load, read
from shoestring.core import Budget, Cost, array, score
from shoestring.core.ledger import machine
from shoestring.kit import Supervised, Trial, parameter_bytes, write
from shoestring.meters import Ratio, in_turn, ratio
from shoestring.meters.inputs import feeds, runner
from shoestring.plan.relative_latency import between
from shoestring.plan.verdict import Verdict, judge

QUICK_MINUTES = 1.0
SECONDS = 6.0  # of an alternation of a delivered file with what came in
_LENET = (
    "size<=2.4KB, drop<=0.1%",
    "latency<=60%, drop<=0.3%",
    "size<=8KB, latency<=60%, drop<=0.3%",
)
_CIFAR = ("latency<=36%, drop<=0.5%",)
BUDGETS: dict[str, tuple[str, ...]] = {
    "lenet5": _LENET,
    "lenet5_seed0": _LENET,
    "lenet5_seed1": _LENET,
    "adult": (
        "size<=2KB, drop<=0.5%",
        "latency<=70%, drop<=0.5%",
        "size<=5KB, latency<=80%, drop<=0.5%",
    ),
    "tagger": (
        "size<=80KB, drop<=0.5%",
        "latency<=80%, drop<=1%",
        "size<=200KB, latency<=90%, drop<=1%",
    ),
    "stranger": ("size<=10KB, drop<=1%",),
    "resnet20": ("size<=30KB, drop<=2%", *_CIFAR),
    "mobilenet": ("size<=60KB, drop<=2%", *_CIFAR),
    "text_encoder": ("size<=400KB, drop<=1%", "latency<=30%, drop<=1%"),
}
MINUTES = {"resnet20": 45.0, "mobilenet": 45.0, "text_encoder": 45.0, "stranger": 5.0}
"""Of the larger networks, and of a stranger's; the others have 10."""
LONG = {"lenet5": ("size<=1500B, drop<=0.4%", "size<=2400B, drop<=0%")}
"""Budgets that are hard to keep, which have half an hour."""
LONG_MINUTES = 30.0


@dataclass(frozen=True)
class Run:
    """A job under a budget, for so many minutes."""

    job: str
    budget: str
    minutes: float

    def subject(self, tool: str) -> str:
        """What the rows of a tool are about."""
        return f"{self.job} / {self.budget} / {tool}"


def opened(benchmark: str, about: str) -> tuple[Rows, list[Run], argparse.Namespace]:
    """The rows of a benchmark, what is to be run, and the options."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "jobs", nargs="*", metavar="JOB", help=f"of {', '.join(BUDGETS)} [default: all]"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="adult, its last budget, one minute; said so in the rows",
    )
    parser.add_argument("--json", action="store_true", help="rows as JSON lines on standard output")
    parser.add_argument("--only", help="only subjects (JOB / BUDGET / TOOL) that contain this")
    parser.add_argument("--minutes", type=float, help="instead of those of the job")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if unknown := set(chosen.jobs) - set(BUDGETS):
        parser.error(
            f"there is no job {', '.join(sorted(unknown))}: the jobs are {', '.join(BUDGETS)}"
        )
    jobs = chosen.jobs or (["adult"] if chosen.quick else list(BUDGETS))
    minutes = chosen.minutes or (QUICK_MINUTES if chosen.quick else None)
    runs = [] if chosen.quick else [Run(job, FIRST_MINUTE, 1.0) for job in jobs]
    runs += [
        Run(job, budget, minutes or MINUTES.get(job, 10.0))
        for job in jobs
        for budget in (BUDGETS[job][-1:] if chosen.quick else BUDGETS[job])
    ]
    runs += (
        []
        if chosen.quick
        else [Run(job, one, minutes or LONG_MINUTES) for job in jobs for one in LONG.get(job, ())]
    )
    setting = f"{'-'.join(jobs) if chosen.jobs or chosen.quick else 'all'}-{processor()}-cpu"
    rows = Rows(
        benchmark, setting, chosen.quick, chosen.json, chosen.only, conditions(), appending=True
    )
    return rows, runs, chosen


def processor() -> str:
    """The processor's name, as a part of a file's name."""
    name = re.sub(
        r"\((r|tm)\)|\b(cpu|processor)\b", " ", machine().split(",")[0].split("@")[0].lower()
    )
    return re.sub(r"[^a-z0-9]+", "-", name).strip("-")


def told(error: str) -> str:
    """The last line of an error, without the places of this machine."""
    last = (error.strip().splitlines() or ["it ended without a word"])[-1]
    return re.sub(r"(/[\w.+-]+){2,}/", "", last)[:300]


@dataclass(frozen=True)
class Weighed:
    """A delivered file: whole bytes (of ONNX, as xz leaves it), scores, its time beside what came
    in, what the budget says.
    """

    bytes: int
    validation: float
    test: float
    speed: Ratio
    verdict: Verdict
    trial: Trial


class Bench:
    """A job's model and task, and the file that every tool is compared with, at
    FOLDER/original.shoe.
    """

    def __init__(self, job: str, folder: Path) -> None:
        self.model, self.task = getattr(planner_jobs, job)()
        self.sealed: Supervised = self.task.sealed()
        self.original = folder / "original.shoe"
        write(self.model, self.sealed, self.original)

    @cached_property
    def content(self) -> Content:
        """What the file holds."""
        return read(self.original)

    @cached_property
    def base(self) -> float:
        """The validation score of what came in."""
        return score(self.sealed, load(self.original, threads=1))

    @cached_property
    def base_test(self) -> float:
        """Its test score."""
        return score(self.task, load(self.original, threads=1), "test")

    @cached_property
    def feeds(self) -> dict[str, np.ndarray]:
        """The inputs that are timed, by name."""
        return feeds(self.content, self.sealed, 1)

    @cached_property
    def came_in(self) -> Cost:
        """The cost of what came in."""
        run = self._runner(self.original)
        return Cost(
            bytes=parameter_bytes(self.model),
            milliseconds=in_turn([run, run], seconds=2.0)[0].median,
        )

    def limits(self, budget: str) -> Budget:
        """A budget in numbers."""
        return Budget.parse(budget).against(self.came_in)

    def weigh(self, file: Path, budget: str, *, quick: bool = False, test: bool = True) -> Weighed:
        """A .shoe or .onnx file under a budget.

        `test`: whether to prove it; what only chooses leaves test data alone.
        """
        unit = self.came_in.milliseconds or 1.0
        ours, *theirs = in_turn(
            [self._runner(one) for one in (file, self.original, self.original)],
            seconds=SECONDS / (6 if quick else 1),
        )
        paced = between(ours, theirs)
        predict = self._predict(file)
        trial = Trial(
            technique=file.name,
            cost=Cost(bytes=packed(file), milliseconds=paced.ratio * unit),
            noise={"milliseconds": (paced.low * unit, paced.high * unit)},
            score=score(self.sealed, predict),
        )
        return Weighed(
            bytes=packed(file),
            validation=trial.score or 0.0,
            test=score(self.task, predict, "test") if test else float("nan"),
            speed=ratio(ours, theirs[0]),
            verdict=judge(self.limits(budget), trial, self.base),
            trial=trial,
        )

    def validation(self, file: Path) -> float:
        """The validation score of a file."""
        return score(self.sealed, self._predict(file))

    def _runner(self, file: Path) -> Callable[[], Any]:
        if file.suffix == ".shoe":
            return runner(read(file), self.feeds, 1, OnnxRuntime())
        session = onnx_session(file)
        inputs = dict(
            zip((one.name for one in session.get_inputs()), self.feeds.values(), strict=True)
        )
        return partial(session.run, None, inputs)

    def _predict(self, file: Path) -> Callable[..., Any]:
        if file.suffix == ".shoe":
            return load(file, threads=1)
        session = onnx_session(file)
        names = [one.name for one in session.get_inputs()]
        return lambda *inputs: session.run(None, dict(zip(names, map(array, inputs), strict=True)))[
            0
        ]


def packed(file: Path) -> int:
    """The bytes of a file; of one that nobody has coded, what xz makes of it."""
    if file.suffix == ".shoe":
        return file.stat().st_size
    return len(lzma.compress(file.read_bytes(), preset=9 | lzma.PRESET_EXTREME))


def onnx_session(file: Path) -> Any:
    """An ONNX file, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def weighed_rows(
    rows: Rows, subject: str, bench: Bench, found: Weighed, minutes: float, run: Run, seed: int
) -> None:
    """The rows of a file that a tool delivered."""
    score_rows(
        rows,
        subject,
        found.bytes,
        (bench.base, found.validation),
        (bench.base_test, found.test),
        seed,
    )
    verdict_rows(
        rows, subject, found.speed, not found.verdict.broken, len(found.verdict.undecided), seed
    )
    rows.add(subject, "broken limits", len(found.verdict.broken), "limits", seed)
    minutes_rows(rows, subject, minutes, run, seed)


def score_rows(
    rows: Rows,
    subject: str,
    size: int,
    validation: tuple[float, float],
    test: tuple[float, float],
    seed: int,
) -> None:
    """Bytes and scores; the latter are pairs of before and after."""
    rows.add(subject, "file", size, "bytes", seed)
    for split, (before, after) in (("validation", validation), ("test", test)):
        rows.add(subject, f"{split} score", 100 * after, "%", seed)
        rows.add(subject, f"{split} drop", 100 * (before - after), "points", seed)


def verdict_rows(
    rows: Rows, subject: str, speed: Ratio, met: bool, undecided: int, seed: int
) -> None:
    """The time beside what came in, and what the budget says."""
    for name, value in (("", speed.median), (", low", speed.low), (", high", speed.high)):
        rows.add(subject, f"milliseconds ratio{name}", value, "times", seed)
    rows.add(subject, "met", int(met), "", seed)
    rows.add(subject, "undecided", undecided, "limits", seed)


def minutes_rows(rows: Rows, subject: str, minutes: float, run: Run, seed: int) -> None:
    """What it took, and how far that is over what it had."""
    rows.add(subject, "minutes", minutes, "minutes", seed)
    rows.add(subject, "minutes allowed", run.minutes, "minutes", seed)
    rows.add(subject, "over the time", max(100 * (minutes / run.minutes - 1), 0.0), "%", seed)


def empty(folder: Path) -> Path:
    """The folder, with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def with_numbers(bench: Bench, budget: str) -> str:
    """A budget as text without shares."""
    return str(replace(bench.limits(budget), time=None))


def outline(technique: str) -> str:
    """The classes of a chain, in their order."""
    names, depth = list[str](), 0
    for part in re.finditer(r"([A-Za-z]\w*)?\(|\)", technique):
        if part[0] == ")":
            depth -= 1
        else:
            depth += 1
            if depth == 2 and part[1]:
                names.append(part[1])
    return " + ".join(names) or "none: the model as it came in"
