"""Whether scores of untrained networks tell which will be best: `python benchmarks/zero_cost.py`.

For each seed 20 networks of `Stages` are drawn, scored on one batch, and trained alike for three
passes: on spoken digits, with at most 16 channels, and on 5,000 pictures of CIFAR-10. Then the rank
correlations (Spearman's and Kendall's) of each score with the validation accuracy. The baselines
are the number of parameters and that of operations. `best of 20` is the accuracy of the network
that a score ranks first (of several the mean), beside the mean of all, which is what choosing at
random gives. Three seeds; the seed draws networks, first weights and batches. Goes on where it was
interrupted; about an hour of one core.
--quick: 5 networks, 320 examples, two passes, one seed: too few for a conclusion.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from statistics import mean
from time import process_time
from typing import Any

import torch
from rows import Rows, metrics, start
from scipy.stats import kendalltau, spearmanr

from shoestring.core import score, seeded
from shoestring.kit import AdamW, Averaged, Supervised, Training, train
from shoestring.meters import Operations
from shoestring.recipes.running import few
from shoestring.search import (
    GradientNorm,
    LinearRegions,
    ParameterCount,
    Stages,
    Weighed,
    ZeroCost,
)
from shoestring.tasks import cifar10, fsdd

SCORES: dict[str, ZeroCost] = {
    "gradient norm": GradientNorm(),
    "linear regions": LinearRegions(),
    "parameters": ParameterCount(),
    "operations": Weighed(meter=Operations()),
}
SPACES = {
    "fsdd": Stages(
        channels=1, height=32, width=20, firsts=(4, 8), widths=((4, 8, 12, 16),) * 4, layers=(1, 2)
    ),
    "cifar10": Stages(),
}
CORRELATIONS: dict[str, Callable[..., Any]] = {"Spearman": spearmanr, "Kendall": kendalltau}
PASSES = 3
NETWORKS, SEEDS = 20, (0, 1, 2)


def main() -> None:
    torch.set_num_threads(1)
    pictures = cifar10(batch_size=64)
    rows = start("zero_cost", f"fsdd-{pictures.name}-cpu", __doc__ or "", seeds=True)
    tasks = {"fsdd": mixed(fsdd(batch_size=64)), "cifar10": few(pictures, 5000, 2000)}
    count = NETWORKS
    if rows.quick:
        tasks, count = {name: few(task, 320, 300) for name, task in tasks.items()}, 5
    for seed in (0,) if rows.quick else SEEDS:
        if rows.seed not in (None, seed):
            continue
        for name, task in tasks.items():
            draw = random.Random(seed)
            subjects = [f"{name}, network {number}" for number in range(count)]
            for subject in subjects:
                picks = SPACES[name].drawn(draw)
                if rows.wanted(subject) and not rows.done(subject, seed):
                    one(rows, subject, name, task, picks, seed)
            if all(rows.done(subject, seed) for subject in subjects):
                compared(rows, name, subjects, seed)
    rows.close()


def mixed(task: Supervised) -> Supervised:
    """The task with its training examples in another order: recordings come digit by digit."""
    inputs, targets = task.train
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    return replace(task, train=(inputs[order], targets[order]))


def one(
    rows: Rows, subject: str, name: str, task: Supervised, picks: tuple[int, ...], seed: int
) -> None:
    """The rows of a network: its scores, and its accuracy after training."""
    with seeded(seed):
        network = SPACES[name].made(picks).network()
    for kind, scored in SCORES.items():
        before = process_time()
        found = scored(network, task.sealed(), seed)
        seconds = process_time() - before
        if math.isfinite(found):  # -inf is no number of JSON; a row that is missing is the lowest
            rows.add(subject, kind, found, "", seed)
        rows.add(subject, f"seconds of {kind}", seconds, "s", seed, timed=True)
    passes = 2 if rows.quick else PASSES
    steps = passes * -(-len(task.train[1]) // task.batch_size)
    before = process_time()
    with seeded(seed):
        train(network, task.sealed(), replace(TRAINING, steps=steps))
    rows.add(subject, "seconds of training", process_time() - before, "s", seed, timed=True)
    rows.add(subject, "validation", 100 * score(task, network), "%", seed)
    rows.add(subject, "done", 1, "", seed)


TRAINING = Training(1, AdamW(5e-3, weight_decay=1e-2), statistics=Averaged())
"""High enough a rate for networks so small, and statistics of the last weights."""


def compared(rows: Rows, name: str, subjects: list[str], seed: int) -> None:
    """The correlations of each score with the accuracies of a seed's networks."""
    of_seed = [row for row in rows.rows if row["seed"] == seed]
    found = [metrics(of_seed, subject) for subject in subjects]
    accuracies = [one["validation"] for one in found]
    choices = f"best of {len(found)}"
    for kind in SCORES:
        subject = f"{name}, {kind}"
        if rows.done(subject, seed):
            continue
        values = [one.get(kind, -math.inf) for one in found]
        for metric, correlation in CORRELATIONS.items():
            rows.add(subject, metric, correlation(values, accuracies).statistic, "", seed)
        rows.add(subject, choices, of_first(values, accuracies), "%", seed)
        rows.add(subject, "done", 1, "", seed)
    subject = f"{name}, all"
    if not rows.done(subject, seed):
        rows.add(subject, "mean", mean(accuracies), "%", seed)
        rows.add(subject, choices, max(accuracies), "%", seed)
        rows.add(subject, "done", 1, "", seed)


def of_first(values: list[float], accuracies: list[float]) -> float:
    """The accuracy of the network with the highest value; of several, their mean."""
    highest = max(values)
    firsts = zip(values, accuracies, strict=True)
    return mean(accuracy for value, accuracy in firsts if value == highest)


if __name__ == "__main__":
    main()
