"""A search beside the network that a reader has: `python benchmarks/own_network.py`.

Five tasks, each with a network that was made by hand: LeNet-5 on MNIST, a ResNet-20 of 8 channels
on 10,000 pictures of CIFAR-10, a small separable network on spoken digits, one of n-grams on SST-2,
and one for tables on Adult. Each is trained by default, once for the passes that the house trains
it for and once for a fifth of the minutes; the better on validation data counts. It is also
compressed in as many minutes as a search takes. Then the search looks for a network that takes no
more milliseconds and no more bytes than the uncompressed file, with one process, and delivers a
file. All files are timed in alternation, and scored on test data. `points` is how far the delivered
one is ahead, and `error` the standard error of that difference, over the same examples. `ahead` is
1 where it is ahead by more than two of them at no more milliseconds, -1 where it is behind, or
slower, for certain, and 0 where neither can be told. Three seeds, which draw networks, first
weights and batches.

`--minutes 60` says how long a search takes; the results file has them in its name. Goes on where it
was interrupted; with 60 minutes about 33 hours of one core. --quick: one task and seed, and three
minutes.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from time import monotonic
from typing import Any

import torch
from rows import RESULTS, Rows, start
from torch import nn
from tuning import PROBLEMS, Problem

from shoestring.artifact import load
from shoestring.core import Budget, array, score, seeded
from shoestring.kit import Averaged, Supervised, Training, save, train
from shoestring.meters import alternate, ratio
from shoestring.plan.main_job import main_job
from shoestring.plan.networks import network_job
from shoestring.recipes.running import few
from shoestring.search import default_training

TASKS = ("mnist", "cifar10", "fsdd", "sst2", "adult")
QUICK = ("fsdd",)
LIMITS = Budget.parse("latency<=100%, size<=100%")
FIFTH = 0.2
FILES: tuple[str, ...] = ("by hand", "by hand, compressed", "found")
SEEDS = (0, 1, 2)


def main() -> None:
    torch.set_num_threads(1)
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--minutes", type=float, default=60.0)
    chosen, sys.argv[1:] = own.parse_known_args()
    minutes = 3.0 if "--quick" in sys.argv else chosen.minutes
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
    model = by_hand(problem, task, 60 * FIFTH * minutes, seed)
    told: dict[str, Any] = {"minutes": minutes, "seed": seed}
    files = {one: folder / f"{one.replace(' ', '_')}.shoe" for one in FILES}
    save(model, task.sealed(), files["by hand"])
    main_job(lambda: (model, task), LIMITS, files["by hand, compressed"], **told)
    found = network_job(lambda: (model, task), LIMITS, files["found"], say=print, **told)
    merits = {way: array(task.merits(load(path), "test")) for way, path in files.items()}
    measured = alternate(list(files.values()), task.sealed(), seconds=30.0)
    timings = dict(zip(FILES, measured, strict=True))
    for way, path in files.items():
        subject = f"{name}, {way}"
        rows.add(subject, "test score", 100 * float(merits[way].mean()), "%", seed)
        rows.add(subject, "validation score", 100 * score(task.sealed(), load(path)), "%", seed)
        rows.add(subject, "bytes", path.stat().st_size, "bytes", seed)
        rows.add(subject, "milliseconds", timings[way].median, "ms", seed, timed=True)
        if way == "found":
            continue
        against, differences = f"{name}, against {way}", 100 * (merits["found"] - merits[way])
        points, error = differences.mean(), differences.std() / len(differences) ** 0.5
        times = ratio(timings["found"], timings[way])
        rows.add(against, "points", float(points), "points", seed)
        rows.add(against, "error", float(error), "points", seed)
        rows.add(against, "milliseconds", times.median, "of the other's", seed, timed=True)
        ahead, behind = points > 2 * error and times.low <= 1, points < -2 * error or times.low > 1
        rows.add(against, "ahead", float(ahead) - float(behind), "", seed, timed=True)
    rows.add(name, "networks tried", len(found.found.candidates), "networks", seed, timed=True)
    rows.add(name, "budget kept", float(found.met), "", seed, timed=True)
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


if __name__ == "__main__":
    main()
