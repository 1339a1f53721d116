"""When tuning pays: the default training against an hour of tuning, on six tasks:
`python benchmarks/tuning.py`.

Four ways to choose a training, all on validation data: the default (`default_training`); the
default with the rate that a range test finds; random search, where each trial is trained to its
end; and `tune`. The last two have the same minutes, and the default as their first trial. Every
training sees as many examples. What each way chose is trained with three seeds, of which the first
is the one that was tuned with, and its file is scored once on the test split.

`--minutes 60` says how long to tune for each task and way; the results file has them in its name.
About 14 hours of one core with 60 minutes; goes on where it was interrupted. `--only sst2` or
`--only "sst2, tuned"` runs a part. --quick: two tasks of texts, three seconds of tuning, one seed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from rows import RESULTS, Rows, start
from torch import nn

from shoestring.core import Ledger, prove, score, seeded
from shoestring.kit import Supervised, moved, save, train
from shoestring.models import LeNet5, NgramClassifier, ResNet20, SpokenDigits
from shoestring.recipes.baselines import pictures, tabular
from shoestring.recipes.running import few
from shoestring.search import (
    Chosen,
    End,
    Halving,
    RandomSettings,
    TriedSettings,
    Tuned,
    default_training,
    range_test,
    tune,
)
from shoestring.tasks import (
    adult,
    cifar10,
    fsdd,
    mnist,
    sst2,
    sst2_vocabulary,
    trec,
    trec_vocabulary,
)

FOLDER = RESULTS / "unfinished" / "tuning"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Problem:
    """A task, a network for it, and the passes over the data of a whole training."""

    task: Callable[[], Supervised]
    build: Callable[[], nn.Module]
    passes: int


PROBLEMS: dict[str, Problem] = {
    "sst2": Problem(sst2, lambda: NgramClassifier(len(sst2_vocabulary()), 2), 8),
    "trec": Problem(trec, lambda: NgramClassifier(len(trec_vocabulary()), 6), 12),
    "adult": Problem(adult, tabular, 8),
    "fsdd": Problem(fsdd, SpokenDigits, 40),
    "mnist": Problem(lambda: replace(mnist(), augment=moved), LeNet5, 5),
    "cifar10": Problem(
        lambda: replace(few(cifar10(), 10_000, 10_000), augment=pictures),
        lambda: ResNet20(8).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        15,
    ),
}
QUICK = ("sst2", "trec")


def main() -> None:
    torch.set_num_threads(1)
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--minutes", type=float, default=60.0)
    chosen, sys.argv[1:] = own.parse_known_args()
    quick = "--quick" in sys.argv
    minutes = 0.05 if quick else chosen.minutes
    rows = start("tuning", f"six-tasks-{minutes:g}-minutes-cpu", __doc__ or "")
    for name in QUICK if quick else PROBLEMS:
        problem = PROBLEMS[name]
        ways = [way for way in WAYS if rows.wanted(f"{name}, {way}")]
        if not ways:
            continue
        task = problem.task()
        if quick:
            problem, task = replace(problem, passes=1), few(task, 3000, 1000)
        for way in ways:
            choose_and_train(rows, name, way, problem, task, minutes)
    if rows.close():
        shutil.rmtree(FOLDER / f"{minutes:g}", ignore_errors=True)


def choose_and_train(
    rows: Rows, name: str, way: str, problem: Problem, task: Supervised, minutes: float
) -> None:
    """The rows of a way to choose: what it chose and how long that took, and each seed's scores."""
    subject, folder = f"{name}, {way}", FOLDER / f"{minutes:g}" / name / way.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    steps = problem.passes * -(-len(task.train[1]) // task.batch_size)
    kept = folder / "chosen.json"
    if not kept.exists() or not rows.done(subject, None):
        found = WAYS[way](problem, task, steps, minutes, folder)
        kept.write_text(found.best.to_json())
        rows.add(subject, "minutes to choose", found.seconds / 60, "minutes", timed=True)
        rows.add(subject, "trials", len(found.trials), "trials", timed=True)
        stopped = sum(one.end is End.STOPPED for one in found.trials)
        rows.add(subject, "trials stopped early", stopped, "trials", timed=True)
        # whoever trains chooses how long; the rest is chosen by the way
        rows.add(subject, "knobs", 1 + len(found.knobs), "settings")
        print(f"{subject}: {found.training!r}", file=sys.stderr)
        rows.add(subject, "done", 1, "")
    best = TriedSettings.from_json(kept.read_text()).chosen
    optimizer = best.training.optimizer
    for seed in (0,) if rows.quick else SEEDS:
        if rows.done(subject, seed):
            continue
        with seeded(seed):
            model = problem.build()
            began = monotonic()
            train(model, best.task(task).sealed(), best.training, what=subject)
            seconds = monotonic() - began
        path = folder / f"{seed}.shoe"
        save(model, task.sealed(), path)
        validation = score(task.sealed(), model)
        test = prove(path, task, ledger=Ledger(folder / "ledger.jsonl"), seed=seed)
        rows.add(subject, "validation score", 100 * validation, "%", seed)
        rows.add(subject, "test score", 100 * test, "%", seed)
        rows.add(subject, "learning rate", optimizer.learning_rate, "", seed)
        rows.add(subject, "training", seconds, "seconds", seed, timed=True)
        rows.add(subject, "done", 1, "", seed)


def by_default(
    problem: Problem, task: Supervised, steps: int, minutes: float, folder: Path
) -> Tuned:
    """The default training, which looks at a few batches."""
    began = monotonic()
    training = default_training(fresh(problem), task.sealed(), steps).training
    return alone(training, task, (), monotonic() - began)


def by_range_test(
    problem: Problem, task: Supervised, steps: int, minutes: float, folder: Path
) -> Tuned:
    """The default training with the rate of a range test; the default's where it finds none."""
    began = monotonic()
    training = default_training(fresh(problem), task.sealed(), steps).training
    found = range_test(fresh(problem), task.sealed(), training)
    print(found, file=sys.stderr)
    if found.rate is not None:
        training = found.applied(training)
    return alone(training, task, ("learning rate",), monotonic() - began)


def by_random_search(
    problem: Problem, task: Supervised, steps: int, minutes: float, folder: Path
) -> Tuned:
    """Random search, each trial to its end."""
    return tune(
        task,
        problem.build,
        minutes=minutes,
        steps=steps,
        by=RandomSettings(),
        halving=Halving(rungs=0),
        folder=folder,
    )


def by_tuning(
    problem: Problem, task: Supervised, steps: int, minutes: float, folder: Path
) -> Tuned:
    """`tune` as it is."""
    return tune(task, problem.build, minutes=minutes, steps=steps, folder=folder)


WAYS: dict[str, Callable[[Problem, Supervised, int, float, Path], Tuned]] = {
    "default": by_default,
    "range test": by_range_test,
    "random search": by_random_search,
    "tuned": by_tuning,
}


def fresh(problem: Problem) -> nn.Module:
    """The network that the trials begin with too."""
    with seeded(0):
        return problem.build()


def alone(training: Any, task: Supervised, knobs: tuple[str, ...], seconds: float) -> Tuned:
    """A training that was chosen without a trial."""
    chosen = Chosen(training=training, batch_size=task.batch_size)
    one = TriedSettings(chosen=chosen, end=End.FINISHED, seconds=seconds)
    return Tuned(best=one, default=one, trials=(), knobs=knobs, seconds=seconds)


if __name__ == "__main__":
    main()
