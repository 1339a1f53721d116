"""Fewer bits on the wire, and what they cost: `python benchmarks/gradient_exchange.py`.

LeNet-5 on 10,000 pictures of MNIST, 3 passes, by SGD with a momentum of 0.9, and the text encoder
on SST-2, 4 passes, by AdamW, with batches of 32. Four workers that wait for one another, simulated
in one process: their gradients are encoded, decoded and averaged as real ones' are, so errors and
bytes are real. The rate of each exchange is that of five (three for texts), a factor of 2 apart,
with the best mean validation error of two seeds of its own, none of which may diverge. Three other
seeds; the file's error on test data. Where workers have momentum, the optimizer has none.

Computation is measured: `milliseconds of a step` of one worker, and `milliseconds of coding` of one
worker of four for a step. `docs/parallel.md` models times on wires from these and counted bytes.
Beside torch: a mean in two real processes with gloo, ours and by torch's hook, in alternation.

Goes on where it was interrupted. `--only "beside torch"` takes about a minute, `--only MNIST,`
about 50 minutes of a core, and SST-2 about four and a half hours. --quick: one seed and one rate,
1,000 pictures of MNIST, and few rounds beside torch; about a minute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median, quantiles
from time import process_time

import torch
from exchange_beside_torch import PAIRS, beside_torch
from rows import Rows, start
from torch import Tensor, nn

from shoestring.artifact import load
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import score, seeded
from shoestring.kit import SGD, AdamW, DivergedError, Supervised, Training, save, train
from shoestring.kit.training.settings import Optimizer
from shoestring.models import LeNet5, TextEncoder
from shoestring.parallel import (
    BFloat16Gradients,
    EightBits,
    GradientExchange,
    LinearLevels,
    OneBit,
    PowerSGD,
    RandomK,
    SimulatedSynchronous,
    SinglePrecision,
    StepTimes,
    TopK,
    traffic,
)
from shoestring.recipes.baselines import SETTINGS, shown
from shoestring.recipes.running import few
from shoestring.tasks import mnist, sst2, sst2_vocabulary

SEEDS, CHOSEN_BY = (0, 1, 2), (100, 101)
WORKERS = 4
BESIDE = "beside torch"
WHOLE = "single precision"
EXCHANGES: dict[str, GradientExchange] = {
    WHOLE: SinglePrecision(),
    "bfloat16": BFloat16Gradients(),
    "8 bits, dynamic tree": EightBits(),
    "8 bits, linear": EightBits(LinearLevels()),
    "top-k, 1 %": TopK(0.01),
    "top-k, 1 %, workers' momentum": TopK(0.01, momentum=0.9),
    "random-k, 1 %": RandomK(0.01),
    "PowerSGD, rank 4": PowerSGD(4),
    "1 bit": OneBit(),
    "1 bit, workers' momentum": OneBit(momentum=0.9),
}


@dataclass(frozen=True)
class Problem:
    """A task, a network, its passes, its optimizer with a rate, the rates, and exchanges."""

    task: Callable[[], Supervised]
    build: Callable[[], nn.Module]
    passes: int
    optimizer: Optimizer
    factors: tuple[float, ...]
    exchanges: tuple[str, ...] = tuple(EXCHANGES)


def _texts() -> Supervised:
    return shown(sst2(), replace(SETTINGS[TextEncoder], batch_size=32))


PROBLEMS = {
    "MNIST": Problem(
        lambda: few(mnist(batch_size=32), 10_000, 5_000),
        LeNet5,
        3,
        SGD(0.04, momentum=0.9),
        (0.25, 0.5, 1.0, 2.0, 4.0),
    ),
    "SST-2": Problem(
        _texts,
        lambda: TextEncoder(len(sst2_vocabulary())),
        4,
        AdamW(1e-3),
        (0.5, 1.0, 2.0),
        (
            WHOLE,
            "8 bits, dynamic tree",
            "top-k, 1 %",
            "top-k, 1 %, workers' momentum",
            "PowerSGD, rank 4",
            "1 bit, workers' momentum",
        ),
    ),
}


def main() -> None:
    torch.set_num_threads(1)
    rows = start("gradient_exchange", "mnist-sst2-cpu", __doc__ or "", seeds=True)
    for name, problem in PROBLEMS.items():
        beside(rows, f"{name}, {BESIDE}", problem)
        subjects = {one: f"{name}, {one}" for one in problem.exchanges}
        if not any(map(rows.wanted, subjects.values())) or (rows.quick and name != "MNIST"):
            continue
        task = problem.task()
        task = few(task, 1_000, 500) if rows.quick else task
        for exchange, subject in subjects.items():
            if rows.wanted(subject):
                sent(rows, subject, problem, EXCHANGES[exchange])
                one(rows, subject, problem, task, EXCHANGES[exchange])
    rows.close()


def beside(rows: Rows, subject: str, problem: Problem) -> None:
    """The rows of a mean beside torch's hooks."""
    if not rows.wanted(subject) or rows.done(subject, None):
        return
    shapes = [one.shape for one in problem.build().parameters()]
    found = beside_torch(shapes, 10 if rows.quick else 100)
    for name, times in found.items():
        its = f"{subject}, {name}"
        low, middle, high = quantiles([ours / theirs for ours, theirs in times], n=4)
        for word, value in (("low", low), ("median", middle), ("high", high)):
            rows.add(its, f"ratio of times, {word}", value, "of torch's", timed=True)
        for word, number in (("ours", 0), (PAIRS[name][1], 1)):
            value = 1e3 * median(pair[number] for pair in times)
            rows.add(its, f"milliseconds, {word}", value, "ms", timed=True)
    rows.add(subject, "done", 1, "")


def sent(rows: Rows, subject: str, problem: Problem, exchange: GradientExchange) -> None:
    """The rows of what is sent, and of how long a worker codes for it."""
    gradients = [one.detach() for one in problem.build().parameters()]
    if not rows.has(subject, "bytes of a gradient"):
        step = traffic(exchange, gradients)
        rows.add(subject, "parameters", sum(one.numel() for one in gradients), "")
        rows.add(subject, "bytes of a gradient", step.sent, "bytes")
        rows.add(subject, "bytes to reduce", sum(step.reduced), "bytes")
        rows.add(subject, "reductions", len(step.reduced), "")
        rows.add(subject, "bytes to gather", sum(step.gathered), "bytes")
    if not rows.has(subject, "milliseconds of coding"):
        value = 1e3 * seconds_of_coding(exchange, gradients, 3 if rows.quick else 20)
        rows.add(subject, "milliseconds of coding", value, "ms", timed=True)


class _Others:
    """A group of workers that all send what this one does, at once."""

    count = WORKERS

    def mean_(self, tensor: Tensor) -> None:
        """Leave it."""

    def gathered(self, sent: Tensor) -> list[Tensor]:
        """The same of all."""
        return [sent] * self.count


def seconds_of_coding(
    exchange: GradientExchange, gradients: Sequence[Tensor], rounds: int
) -> float:
    """Of one worker of four, for a mean without the wire: the median."""
    coder, times = exchange.coder(gradients), list[float]()
    for _ in range(rounds + 1):
        began = process_time()
        coder.mean(gradients, _Others())
        times.append(process_time() - began)
    return median(times[1:])


def one(
    rows: Rows, subject: str, problem: Problem, task: Supervised, exchange: GradientExchange
) -> None:
    """The rows of an exchange: its rate and its scores."""
    steps = problem.passes * -(-len(task.train[1]) // task.batch_size)
    tried = (
        {1.0: 0.0}
        if rows.quick
        else {
            factor: _tried(rows, f"{subject}, {factor:g}", problem, task, exchange, steps, factor)
            for factor in problem.factors
        }
    )
    best = min(tried, key=lambda factor: tried[factor])
    if math.isinf(tried[best]):
        raise SystemExit(f"{subject} diverges at all rates: give lower ones")
    for seed in (0,) if rows.quick else SEEDS:
        if rows.seed not in (None, seed) or rows.done(subject, seed):
            continue
        began = process_time()
        try:
            model = trained(problem, task, exchange, steps, best, seed)
        except DivergedError as error:
            print(f"{subject}, seed {seed}: {error}", flush=True)
            rows.add(subject, "test error", 100.0, "%", seed)
            rows.add(subject, "done", 1, "", seed)
            continue
        step = 1e3 * (process_time() - began) / steps
        rows.add(subject, "milliseconds of a step", step, "ms", seed, timed=True)
        rows.add(subject, "learning rate", best * problem.optimizer.learning_rate, "", seed)
        rows.add(subject, "validation error", 100 * (1 - score(task.sealed(), model)), "%", seed)
        with scratch_folder() as folder:
            path = folder / "one.shoe"
            save(model, task.sealed(), path)
            error = 100 * (1 - score(task, load(path), "test"))
        rows.add(subject, "test error", error, "%", seed)
        rows.add(subject, "done", 1, "", seed)


def _tried(
    rows: Rows,
    subject: str,
    problem: Problem,
    task: Supervised,
    exchange: GradientExchange,
    steps: int,
    factor: float,
) -> float:
    """The mean validation error with a rate, of seeds of its own; infinite where one diverges."""
    found = list[float]()
    for seed in CHOSEN_BY:
        if not rows.done(subject, seed):
            try:
                model = trained(problem, task, exchange, steps, factor, seed)
                error = 100 * (1 - score(task.sealed(), model))
            except DivergedError:
                error = 100.0
            rows.add(subject, "validation error", error, "%", seed)
            rows.add(subject, "done", 1, "", seed)
        found += [
            row["value"]
            for row in rows.rows
            if (row["subject"], row["metric"], row["seed"]) == (subject, "validation error", seed)
        ]
    return math.inf if 100.0 in found else mean(found)


def trained(
    problem: Problem,
    task: Supervised,
    exchange: GradientExchange,
    steps: int,
    factor: float,
    seed: int,
) -> nn.Module:
    optimizer = replace(problem.optimizer, learning_rate=factor * problem.optimizer.learning_rate)
    if getattr(exchange, "momentum", 0.0):
        optimizer = replace(optimizer, momentum=0.0)
    workers = SimulatedSynchronous(StepTimes.equal(WORKERS), exchange=exchange)
    training = Training(steps, optimizer, workers=workers)
    with seeded(seed):
        return train(problem.build(), task.sealed(), training, what="workers").eval()


if __name__ == "__main__":
    main()
