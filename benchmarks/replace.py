"""A new network in a model's place, beside thinning it: `python benchmarks/replace.py`.

Trained networks of results/files are brought to a half, a quarter and a tenth of their
milliseconds (ONNX Runtime, one thread, one example a run): by new networks of each family that fits
(`Replace`), and by thinning. Each way is aimed at the milliseconds without training, as the planner
does, and then trained for the same minutes of the processor, taught by the network that came in.
What no setting makes fast enough has a row that says so. Milliseconds are the processor's own, of
runs in alternation, since other work on the machine would take from the long runs.
Then the planner with new networks and without, in equal minutes of the processor.

Goes on where it was interrupted; about 45 minutes of a core for all. The small VGG is the one of
`rate_cifar.py` at the price 1e-06: few weights are left in its late layers, which helps thinning.
--only "resnet20 / 25%" runs a part; --quick: LeNet-5 at a half, some steps.
"""

from __future__ import annotations

import math
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any
from unittest.mock import patch

import planner_jobs
import torch
from planner_runs import outline
from rows import FILES, RESULTS, Rows, start
from torch import nn

from shoestring import compress
from shoestring.artifact import load
from shoestring.core import Task, Technique, batches, score, seeded
from shoestring.distill import SoftTargets
from shoestring.kit import Supervised, clone, restore, resuming, write
from shoestring.meters import alternate, ratio
from shoestring.models import ResNet20, SmallVGG
from shoestring.plan.arms import gentlest_by
from shoestring.plan.moves import Move, moves, round_steps
from shoestring.plan.replacements import replacements
from shoestring.recipes.baselines import SETTINGS, shown
from shoestring.tasks import cifar10

STEPS = 8  # steps of training by which a step is timed
QUICK_STEPS = 20
AIMED_SECONDS, TIMED_SECONDS = 0.6, 4.0  # of an alternation


@dataclass(frozen=True, kw_only=True)
class Job:
    """A network that is to be faster.

    `makes`: of each seed the model and its task.
    `thinned`: names of the moves that thin it.
    `minutes`: of the processor, for each training.
    `shares`: of its milliseconds, at which it is aimed.
    `alone`: whether the new network is trained without a teacher too: the cheapest baseline.
    """

    makes: Sequence[Callable[[], tuple[nn.Module, Supervised]]]
    thinned: tuple[str, ...]
    minutes: float
    shares: tuple[float, ...] = (0.25, 0.1, 0.5)
    alone: bool = False


def vgg() -> tuple[nn.Module, Supervised]:
    """The small VGG on CIFAR-10."""
    with seeded(0):
        model = restore(FILES / "vgg_rate_1e-06.shoe", SmallVGG())
    laid_out = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return laid_out.eval(), shown(cifar10(), SETTINGS[ResNet20])


_LIGHTEST = "Blocks at Lightest(), 0.002"
JOBS = {
    "text_encoder": Job(
        makes=[planner_jobs.text_encoder] * 3,
        thinned=(_LIGHTEST, "Student"),
        minutes=1.0,
        shares=(0.1,),
        alone=True,
    ),
    "resnet20": Job(
        makes=[planner_jobs.resnet20],
        thinned=(_LIGHTEST, "Channels", "CheapConvolutions"),
        minutes=1.5,
    ),
    "vgg": Job(makes=[vgg], thinned=("Channels", "CheapConvolutions"), minutes=1.5),
    "lenet5": Job(
        makes=[planner_jobs.lenet5_seed0, planner_jobs.lenet5_seed1, planner_jobs.lenet5],
        thinned=("Channels",),
        minutes=0.5,
        shares=(0.5, 0.25),
    ),
}
CLOCKS = (
    *(f"plan.{name}.monotonic" for name in ("clock", "job", "experiments", "judge")),
    "plan.training_time.monotonic",
    "meters.interleaved.perf_counter",
)
"""The clocks of a search, which are to be the processor's."""
PLANNED = (("text_encoder", "latency<=10%, drop<=1%", 4.0), ("resnet20", "latency<=30%", 10.0))


def main() -> None:
    torch.set_num_threads(1)
    rows = start("replace", "sst2-mnist-cifar10-jpeg-cpu", __doc__ or "", seeds=True)
    for name in ("lenet5",) if rows.quick else JOBS:
        makes = JOBS[name].makes
        for seed in range(1 if rows.quick else len(makes)):
            if rows.seed in (None, seed):
                run(rows, name, JOBS[name], seed)
    for name, budget, minutes in () if rows.quick else PLANNED:
        for new in (True, False):
            planned(rows, name, budget, minutes, new)
    rows.close()


def run(rows: Rows, name: str, job: Job, seed: int) -> None:
    """All rows of a network of a seed."""
    shares = job.shares[:1] if rows.quick else job.shares
    only = rows.only or ""
    wanted = [share for share in shares if _may(only, f"{name} / {share:.0%} / ")]
    if not wanted:
        return
    model, task = job.makes[seed]()
    folder = RESULTS / "unfinished" / f"replace_{name}_{seed}{'.quick' if rows.quick else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "original.shoe").exists():
        write(model, task.sealed(), folder / "original.shoe")
    subject = f"{name} / as it came in"
    if not rows.done(subject, seed):
        _scores(rows, subject, folder / "original.shoe", task, seed)
        rows.add(subject, "milliseconds ratio", 1.0, "times", seed, timed=True)
        rows.add(subject, "done", 1, "", seed)
    known = {move.name: move for move in moves()}
    new = replacements(model, task.sealed())
    ways = {move.name: move for move in [*new, *(known[one] for one in job.thinned)]}
    for move in new[: int(job.alone)]:
        technique: Any = move.technique
        untaught = replace(technique, targets=SoftTargets(0.0))
        ways[f"{move.name} without a teacher"] = Move(untaught)
    for share in wanted:
        for title, way in ways.items():
            subject = f"{name} / {share:.0%} / {title}"
            if rows.wanted(subject) and not rows.done(subject, seed):
                made = Trained(model, task, folder, seed)
                made.add(rows, subject, way, share, job.minutes)
                rows.add(subject, "done", 1, "", seed)


def _may(only: str, start: str) -> bool:
    """Whether --only lets a subject through that begins like this."""
    return start.startswith(only) or only.startswith(start) or only in start


@dataclass(frozen=True)
class Trained:
    """What ways make of a model, in a folder that has it as original.shoe."""

    model: nn.Module
    task: Supervised
    folder: Path
    seed: int

    def add(self, rows: Rows, subject: str, way: Move, share: float, minutes: float) -> None:
        """The rows of a way, aimed at a share of the milliseconds and trained."""
        dial = gentlest_by(lambda dial: math.log(self._untrained(way, dial) / share))
        if dial is None:
            rows.add(subject, "nothing is fast enough", 1, "", self.seed)
            return
        taught = self.task.sealed().taught_by(clone(self.model).eval())
        each = self._step(way.at(dial, 0), taught)
        steps = QUICK_STEPS if rows.quick else round_steps(60 * minutes / each)
        technique = way.at(dial, steps)
        file = self.folder / f"{re.sub('[^a-z0-9%]+', '_', subject.lower())}.shoe"
        began = process_time()
        with resuming(file.with_suffix(".unfinished")), seeded(self.seed):
            made = technique(self.model, taught)
        write(made, self.task.sealed(), file)
        took = process_time() - began
        passes = steps * self.task.batch_size / len(self.task.train[1])
        rows.add(subject, "training", took / 60, "minutes of a core", self.seed)
        rows.add(subject, "passes", passes, "passes", self.seed)
        ratio = self._ratio(file, TIMED_SECONDS)
        rows.add(subject, "milliseconds ratio", ratio, "times", self.seed, timed=True)
        _scores(rows, subject, file, self.task, self.seed)
        rows.add(subject, f"technique: {technique!r:.300}", 1, "", self.seed)

    def _untrained(self, way: Move, dial: float) -> float:
        """The milliseconds of a way without training, as a share of the original's."""
        file = self.folder / "untrained.shoe"
        with seeded(self.seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it leaves alone is said when it is trained
            write(way.at(dial, 0)(self.model, self.task.sealed()), self.task.sealed(), file)
        return self._ratio(file, AIMED_SECONDS)

    def _ratio(self, file: Path, seconds: float) -> float:
        """The milliseconds of a file by those of the original: the median of the ratios of pairs.

        They are of the processor, which a run on one thread has to itself.
        """
        files = [file, self.folder / "original.shoe"]
        return ratio(
            *alternate(files, self.task.sealed(), seconds=seconds, clock=process_time)
        ).median

    def _step(self, technique: Technique, taught: Task) -> float:
        """Seconds of the processor for a step of taught training of what a technique makes."""
        with seeded(self.seed):
            model = clone(technique(self.model, self.task.sealed())).train()
        optimizer, taken = torch.optim.AdamW(model.parameters(), lr=0.0), list[float]()
        with seeded(0):
            for batch in islice(iter(batches(taught, "train", model)), STEPS):
                began = process_time()
                taught.loss(model, batch).backward()
                optimizer.step()
                optimizer.zero_grad()
                taken.append(process_time() - began)
        return sorted(taken)[len(taken) // 2]


def _scores(rows: Rows, subject: str, file: Path, task: Supervised, seed: int) -> None:
    """The bytes and the scores of a file; test data is read here, once."""
    rows.add(subject, "file", file.stat().st_size, "bytes", seed)
    for split in ("validation", "test"):
        value = score(task, load(file, threads=1), split)
        rows.add(subject, f"{split} score", 100 * value, "%", seed)


def planned(rows: Rows, name: str, budget: str, minutes: float, new: bool) -> None:
    """The planner on a job, with new networks or without."""
    subject = f"planner / {name}, {budget} / {'with' if new else 'without'} new networks"
    if not rows.wanted(subject) or rows.done(subject, 0):
        return
    model, task = getattr(planner_jobs, name)()
    known: list[Move] = replacements(model, task.sealed()) if new else []
    began = process_time()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for clock in CLOCKS:
            stack.enter_context(patch(f"shoestring.{clock}", process_time))
        offered = patch("shoestring.plan.replacing.replacements", lambda *given, **said: known)
        stack.enter_context(offered)
        outcome = compress(model, task, budget, Path(folder) / "model.shoe", minutes=minutes)
        unit = outcome.trials[0].cost.milliseconds or 1.0
        ratio = (outcome.trial.cost.milliseconds or 0.0) / unit
        drop = 100 * (outcome.score_before - (outcome.trial.score or 0.0))
        test = 100 * score(task, load(outcome.file, threads=1), "test")
        tried = any("Replace(" in one.technique and one.fidelity for one in outcome.trials)
    rows.add(subject, "minutes", (process_time() - began) / 60, "minutes of a core", 0)
    rows.add(subject, "milliseconds ratio", ratio, "times", 0, timed=True)
    rows.add(subject, "validation drop", drop, "points", 0)
    rows.add(subject, "test score", test, "%", 0)
    rows.add(subject, "met", int(outcome.met), "", 0)
    rows.add(subject, "a new network was trained", int(tried), "", 0)
    rows.add(subject, f"technique: {outline(outcome.trial.technique)}", 1, "", 0)
    rows.add(subject, "done", 1, "", 0)


if __name__ == "__main__":
    main()
