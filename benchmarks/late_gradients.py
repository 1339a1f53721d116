"""Workers that do not wait, and what late gradients cost: `python benchmarks/late_gradients.py`.

LeNet-5 on 10,000 pictures of MNIST, 3 passes, and ResNet-20 of 8 channels on 10,000 pictures of
CIFAR-10, 10 passes, batches of 32, by SGD without momentum, which would make late gradients last.
One process; 4 and 8 workers that wait for one another; and as many that do not, whose gradients are
late: taken as they come, with a rate that is divided by how late they are, and compensated (Zheng
et al. 2017), by a constant and by an adaptive weight. All see as many batches. The rate of each way
is that of five, a factor of 2 apart, with the best validation score in the mean of two seeds of
their own, of rates with which neither diverges. Then a compensation has the published weight, or
one that is 5 or 25 times higher or 5 times lower, chosen likewise at that rate. Three seeds; the
file's error on test data.
What workers learn is real, in one process; `time` is simulated, in steps of a worker: workers alike
but for a tenth, and with one of them three times slower.
Goes on where it was interrupted; `--only MNIST` takes about an hour of a core, CIFAR-10 about
fifteen. --quick: one seed and one rate, 1,000 pictures of MNIST, one pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean
from time import process_time

import torch
from rows import Rows, start
from torch import nn

from shoestring.artifact import load
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import score, seeded
from shoestring.kit import SGD, DivergedError, Supervised, Training, Workers, save, train
from shoestring.models import LeNet5, ResNet20
from shoestring.parallel import (
    AdaptivelyCompensated,
    AsItComes,
    ByStaleness,
    DelayCompensated,
    LateGradients,
    SimulatedAsynchronous,
    SimulatedSynchronous,
    StepTimes,
)
from shoestring.recipes.running import few
from shoestring.tasks import cifar10, mnist

SEEDS, CHOSEN_BY = (0, 1, 2), (100, 101)
WEIGHTS = (0.2, 1.0, 5.0, 25.0)
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
COUNTS = (4, 8)
LATE: dict[str, LateGradients] = {
    "late gradients as they come": AsItComes(),
    "late gradients, rate by staleness": ByStaleness(),
    "late gradients, compensated": DelayCompensated(),
    "late gradients, adaptively compensated": AdaptivelyCompensated(),
}
ALONE, WAITING = "one process", "waiting for one another"


@dataclass(frozen=True)
class Problem:
    """A task, a network, its passes, and the rate that others are multiples of."""

    task: Callable[[], Supervised]
    build: Callable[[], nn.Module]
    passes: int
    rate: float


PROBLEMS = {
    "MNIST": Problem(lambda: few(mnist(batch_size=32), 10_000, 5_000), LeNet5, 3, 0.1),
    "CIFAR-10": Problem(
        lambda: few(cifar10(batch_size=32), 10_000, 5_000), lambda: ResNet20(8), 10, 0.2
    ),
}


def ways(slowest: float = 1.0) -> dict[str, Workers | None]:
    """The workers of each way, by its name; the last one takes so many times as long."""
    found: dict[str, Workers | None] = {ALONE: None}
    for count in COUNTS:
        times = StepTimes.equal(count, slowest=slowest)
        found[f"{count} workers, {WAITING}"] = SimulatedSynchronous(times)
        for name, late in LATE.items():
            found[f"{count} workers, {name}"] = SimulatedAsynchronous(times, late)
    return found


def main() -> None:
    torch.set_num_threads(1)
    rows = start("late_gradients", "mnist-cifar10-jpeg-cpu", __doc__ or "", seeds=True)
    for name, problem in PROBLEMS.items():
        subjects = {way: f"{name}, {way}" for way in ways()}
        if not any(map(rows.wanted, subjects.values())) or (rows.quick and name != "MNIST"):
            continue
        task = problem.task()
        task = few(task, 1_000, 500) if rows.quick else task
        for way, workers in ways().items():
            if rows.wanted(subjects[way]):
                one(rows, subjects[way], problem, task, way, workers)
    rows.close()


def one(
    rows: Rows, subject: str, problem: Problem, task: Supervised, way: str, workers: Workers | None
) -> None:
    """The rows of a way: its rate and weight, its simulated time, and its scores."""
    steps = (1 if rows.quick else problem.passes) * -(-len(task.train[1]) // task.batch_size)
    rates = {
        factor: _tried(rows, f"{subject}, {factor:g}", problem, task, workers, steps, factor)
        for factor in ((1.0,) if rows.quick else FACTORS)
    }
    best, weight = min(rates, key=lambda factor: rates[factor]), 1.0
    if _weighted(workers, 1.0) is not None and not rows.quick:
        weights = {1.0: rates[best]}
        for times in WEIGHTS:
            if times != 1.0:
                named = f"{subject}, {best:g}, weight {times:g}"
                other = _weighted(workers, times)
                weights[times] = _tried(rows, named, problem, task, other, steps, best)
        weight = min(weights, key=lambda times: weights[times])
        workers = _weighted(workers, weight)
    for seed in (0,) if rows.quick else SEEDS:
        if rows.seed not in (None, seed) or rows.done(subject, seed):
            continue
        began = process_time()
        try:
            model = trained(problem, task, workers, steps, best, seed)
        except DivergedError as error:
            print(f"{subject}, seed {seed}: {error}", flush=True)
            rows.add(subject, "test error", 100.0, "%", seed)
            rows.add(subject, "done", 1, "", seed)
            continue
        rows.add(subject, "seconds of a core", process_time() - began, "s", seed, timed=True)
        rows.add(subject, "learning rate", best * problem.rate, "", seed)
        rows.add(subject, "weight, by the published one", weight, "", seed)
        rows.add(subject, "validation error", 100 * (1 - score(task, model)), "%", seed)
        with scratch_folder() as folder:
            path = folder / "one.shoe"
            save(model, task.sealed(), path)
            error = 100 * (1 - score(task, load(path), "test"))
        rows.add(subject, "test error", error, "%", seed)
        rows.add(subject, "done", 1, "", seed)
    for words, slowest in (("alike", 1.0), ("one slow", 3.0)):
        if not rows.has(subject, f"simulated time, {words}"):
            made = ways(slowest)[way]
            time = float(steps) if made is None else made.simulated_time(steps)  # type: ignore[attr-defined]
            rows.add(subject, f"simulated time, {words}", time, "steps of a worker")


def _weighted(workers: Workers | None, times: float) -> Workers | None:
    """The same workers with so many times the weight of their compensation; None without one."""
    late = workers.late if isinstance(workers, SimulatedAsynchronous) else None
    if not isinstance(late, DelayCompensated | AdaptivelyCompensated):
        return None
    assert isinstance(workers, SimulatedAsynchronous)
    return replace(workers, late=replace(late, weight=times * late.weight))


def _tried(
    rows: Rows,
    subject: str,
    problem: Problem,
    task: Supervised,
    workers: Workers | None,
    steps: int,
    factor: float,
) -> float:
    """The mean validation error with a rate, %; 100 where a training diverges."""
    errors = []
    for seed in CHOSEN_BY[:1] if rows.quick else CHOSEN_BY:
        if not rows.done(subject, seed):
            try:
                model = trained(problem, task, workers, steps, factor, seed)
                error = 100 * (1 - score(task, model))
            except DivergedError:
                error = 100.0
            rows.add(subject, "validation error", error, "%", seed)
            rows.add(subject, "done", 1, "", seed)
        errors.append(
            next(
                row["value"]
                for row in rows.rows
                if row["subject"] == subject
                and row["metric"] == "validation error"
                and row["seed"] == seed
            )
        )
    return 100.0 if max(errors) == 100.0 else fmean(errors)


def trained(
    problem: Problem,
    task: Supervised,
    workers: Workers | None,
    steps: int,
    factor: float,
    seed: int,
) -> nn.Module:
    training = Training(steps, SGD(factor * problem.rate, momentum=0.0), workers=workers)
    with seeded(seed):
        return train(problem.build(), task.sealed(), training, what="workers").eval()


if __name__ == "__main__":
    main()
