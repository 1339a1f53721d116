"""A search beside the network that a reader has: `python benchmarks/own_network.py`.

Five tasks, each with a network that was made by hand: LeNet-5 on MNIST, a ResNet-20 of 8 channels
on 10,000 pictures of CIFAR-10, a small separable network on spoken digits, one of n-grams on SST-2,
and one for tables on Adult. Each is trained by default, once for the passes that the house trains
it for and once for a fifth of the minutes; the better on validation data counts. Then the search
looks for a network that takes no more milliseconds and no more bytes than that file, with one
process, and delivers a file. Both files are scored on test data once and timed in alternation.
`ahead` says whether the delivered one has the higher test score at no more milliseconds; `points`
by how much, and `error` is the standard error of that difference. Three seeds, which draw networks,
first weights and batches.

`--minutes 60` says how long a search takes; the results file has them in its name. Goes on where it
was interrupted; with 60 minutes about 18 hours of one core. --quick: two tasks, one seed, a minute.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic

import torch
from rows import RESULTS, Rows, start
from torch import nn
from tuning import PROBLEMS, Problem

from shoestring.artifact import load
from shoestring.core import Budget, Task, score, seeded
from shoestring.kit import Averaged, Supervised, Training, save, train
from shoestring.meters import alternate
from shoestring.plan.networks import network_job
from shoestring.recipes.running import few
from shoestring.search import default_training

TASKS = ("mnist", "cifar10", "fsdd", "sst2", "adult")
QUICK = ("fsdd", "sst2")
LIMITS = Budget.parse("latency<=100%, size<=100%")
FIFTH = 0.2
SEEDS = (0, 1, 2)


def main() -> None:
    torch.set_num_threads(1)
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--minutes", type=float, default=60.0)
    chosen, sys.argv[1:] = own.parse_known_args()
    minutes = 1.0 if "--quick" in sys.argv else chosen.minutes
    rows = start("own_network", f"five-tasks-{minutes:g}-minutes-cpu", __doc__ or "", seeds=True)
    for seed in (0,) if rows.quick else SEEDS:
        for name in QUICK if rows.quick else TASKS:
            wanted = rows.seed in (None, seed) and rows.wanted(name)
            if wanted and not rows.done(name, seed):
                one(rows, name, minutes, seed)
    rows.close()


def one(rows: Rows, name: str, minutes: float, seed: int) -> None:
    """The rows of a task: the network by hand, and the file of a search beside it."""
    problem, task = PROBLEMS[name], PROBLEMS[name].task()
    if rows.quick:
        task = few(task, 2000, 500)
    folder = RESULTS / "unfinished" / f"own_network.{minutes:g}" / f"{name} {seed}"
    folder.mkdir(parents=True, exist_ok=True)
    yours, ours = folder / "yours.shoe", folder / "found.shoe"
    model = by_hand(problem, task, 60 * FIFTH * minutes, seed)
    save(model, task.sealed(), yours)
    report = network_job(
        lambda: (model, task),
        LIMITS,
        ours,
        minutes=minutes,
        seed=seed,
        say=lambda text: print(text),
    )
    timings = alternate([yours, ours], task.sealed(), seconds=20.0)
    tests = [score(task, load(path), "test") for path in (yours, ours)]
    for subject, path, timing, test in zip(
        (f"{name}, by hand", f"{name}, found"), (yours, ours), timings, tests, strict=True
    ):
        rows.add(subject, "test score", 100 * test, "%", seed)
        rows.add(subject, "validation score", 100 * score(task.sealed(), load(path)), "%", seed)
        rows.add(subject, "bytes", path.stat().st_size, "bytes", seed)
        rows.add(subject, "milliseconds", timing.median, "ms", seed, timed=True)
    points, times = 100 * (tests[1] - tests[0]), timings[1].median / timings[0].median
    rows.add(name, "points", points, "points", seed)
    rows.add(name, "error", 100 * error_of_difference(task, yours, ours), "points", seed)
    rows.add(name, "milliseconds", times, "of those by hand", seed, timed=True)
    rows.add(name, "ahead", float(points > 0 and times <= 1), "", seed, timed=True)
    rows.add(name, "networks tried", len(report.found.candidates), "networks", seed, timed=True)
    rows.add(name, "budget kept", float(report.met), "", seed, timed=True)
    rows.add(name, "done", 1, "", seed)


def by_hand(problem: Problem, task: Supervised, seconds: float, seed: int) -> nn.Module:
    """The network by hand: trained as long as the house does or for so many seconds."""
    passes = problem.passes * -(-len(task.train[1]) // task.batch_size)
    training = replace(
        default_training(fresh(problem, seed), task.sealed(), passes).training,
        statistics=Averaged(),
    )
    model, took = trained(problem, task, training, seed)
    other, _ = trained(problem, task, training.scaled(seconds / took), seed)
    return max((model, other), key=lambda one: score(task.sealed(), one))


def trained(
    problem: Problem, task: Supervised, training: Training, seed: int
) -> tuple[nn.Module, float]:
    """A network by hand, trained, and the seconds that it took."""
    model, began = fresh(problem, seed), monotonic()
    with seeded(seed):
        train(model, task.sealed(), training, what="the network by hand")
    return model, monotonic() - began


def fresh(problem: Problem, seed: int) -> nn.Module:
    with seeded(seed):
        return problem.build()


def error_of_difference(task: Task, yours: Path, ours: Path) -> float:
    """The standard error of the difference of two test scores, as if they were independent."""
    errors = [task.standard_error(load(path), "test") or 0.0 for path in (yours, ours)]
    return math.hypot(*errors)


if __name__ == "__main__":
    main()
