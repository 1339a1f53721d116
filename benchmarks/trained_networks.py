"""What tells early which networks will be best: `python benchmarks/trained_networks.py`.

Networks are drawn from a space as random search draws them, 12 or 15 for each task and seed, within
limits on operations and bytes. Five tasks: spoken digits, 3,000 pictures of MNIST reduced to
14×14, 5,000 pictures of CIFAR-10 (all `Stages`), sentences of SST-2 (`Ngrams`), and the table Adult
(`Tables`). Each network is trained twice from the same first weights, as successive halving trains
it: for a ninth of a training, and then for all of it, with the default training. Rows of a network:
its costs, the scores of it untrained, and its validation scores after both trainings. Its picks are
in its name, an index for each decision of the space.

From these, for each task and seed, how well each guide (`network_guides.py`) ranks its networks.
Validation data alone: nothing is delivered, so test data is not read. Three seeds; a seed draws
networks, first weights and batches. Goes on where it was interrupted, network by network; about 25
minutes of one core.
--quick: 3 networks of each task, 320 examples, 36 steps, one seed: too few for a conclusion.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import process_time
from typing import Any

import torch
from network_guides import compared
from rows import Rows, start
from torch import nn
from torch.nn.functional import avg_pool2d

from shoestring.core import Budget, score, seeded
from shoestring.kit import Averaged, Supervised, Training, train
from shoestring.recipes.found_networks import mixed_sounds
from shoestring.recipes.running import few
from shoestring.search import (
    ESTIMATES,
    GradientNorm,
    LinearRegions,
    Picks,
    Space,
    UnscoredWarning,
    ZeroCost,
    space_of,
)
from shoestring.search.default_training import suited
from shoestring.search.limits import Feasible
from shoestring.tasks import adult, cifar10, mnist, sst2

SCORES: dict[str, ZeroCost] = {"gradient norm": GradientNorm(), "linear regions": LinearRegions()}
SEEDS = (0, 1, 2)
EARLY = 1 / 9
"""The share of a training after which networks are looked at, as in `Halving`."""


@dataclass(frozen=True)
class Problem:
    """A task, limits on its networks, the steps of a full training, and how many are trained."""

    task: Callable[[], Supervised]
    limits: str
    steps: int
    networks: int


PROBLEMS = {
    "fsdd": Problem(
        lambda: replace(mixed_sounds(), batch_size=64), "operations<=1M, size<=4KB", 540, 12
    ),
    "mnist": Problem(
        lambda: halved(few(mnist(batch_size=64), 3000, 4000)),
        "operations<=500K, size<=4KB",
        360,
        12,
    ),
    "cifar10": Problem(
        lambda: few(cifar10(batch_size=64), 5000, 2000), "operations<=1M, size<=12KB", 540, 12
    ),
    "sst2": Problem(lambda: sst2(batch_size=64), "size<=50KB", 1080, 15),
    "adult": Problem(lambda: adult(batch_size=128), "size<=4KB", 1800, 15),
}


def main() -> None:
    torch.set_num_threads(1)
    data = "fsdd-mnist-cifar10-jpeg-sst2-adult"
    rows = start("trained_networks", f"{data}-cpu", __doc__ or "", seeds=True)
    seeds = (0,) if rows.quick else SEEDS
    ready = dict[str, tuple[Space, Supervised]]()
    for seed in seeds:
        for name, problem in PROBLEMS.items():
            if rows.seed not in (None, seed) or not rows.wanted(name):
                continue
            if rows.done(_all(name), seed):
                continue
            if name not in ready:
                task = problem.task()
                space = space_of(task)  # of all examples: the first ones lack ids
                ready[name] = space, few(task, 320, 300) if rows.quick else task
            drawn(rows, name, problem, *ready[name], seed)
    whole = rows.only is None and rows.seed is None
    if whole and all(rows.done(_all(name), seed) for name in PROBLEMS for seed in seeds):
        compared(rows, list(PROBLEMS), seeds)
        rows.close()


def _all(name: str) -> str:
    return f"{name}, all"


def drawn(
    rows: Rows,
    name: str,
    problem: Problem,
    space: Space,
    task: Supervised,
    seed: int,
) -> None:
    """The rows of a seed's networks for a task."""
    feasible = Feasible(space, task.sealed(), Budget.parse(problem.limits), ESTIMATES)
    # Other networks for each task, though some share a space: a forecast for one is learnt from
    # the others.
    draw, codes = random.Random(1000 * list(PROBLEMS).index(name) + seed), set[str]()
    steps = 36 if rows.quick else problem.steps
    training = Training(steps, statistics=Averaged())
    while len(codes) < (3 if rows.quick else problem.networks):
        picks = feasible.drawn(draw)
        code = space.made(picks).code()
        if code in codes:
            continue
        codes.add(code)
        subject = f"{name}, {'-'.join(map(str, picks))}"
        if not rows.done(subject, seed):
            one(rows, subject, feasible, picks, training, seed)
    rows.add(_all(name), "done", 1, "", seed)


def one(
    rows: Rows,
    subject: str,
    feasible: Feasible,
    picks: Picks,
    training: Training,
    seed: int,
) -> None:
    """The rows of a network: what it costs, its scores, and how good it is after training."""
    space, task, cost = feasible.space, feasible.task, feasible.cost(picks)
    network = built(space, picks, seed)
    training = suited(training, network, task)
    weights = [len(one.shape) for one in network.parameters()]
    rows.add(subject, "parameters", sum(one.numel() for one in network.parameters()), "", seed)
    rows.add(subject, "operations", cost.operations or 0, "", seed)
    rows.add(subject, "bytes", cost.bytes or 0, "B at 4 bits a weight", seed)
    rows.add(subject, "depth", sum(axes > 1 for axes in weights), "layers with weights", seed)
    for kind, scored in SCORES.items():
        before = process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnscoredWarning)  # without ReLU: the last
            found = scored(network, task, seed)
        seconds = process_time() - before
        if math.isfinite(found):  # -inf is no number of JSON; a row that is missing is the lowest
            rows.add(subject, kind, found, "", seed)
        rows.add(subject, f"seconds of {kind}", seconds, "s", seed, timed=True)
    for share, when in ((EARLY, "early"), (1.0, "full")):
        before = process_time()
        with seeded(seed):
            network = train(space.made(picks).network(), task, training.scaled(share), what=subject)
        seconds = process_time() - before
        rows.add(subject, f"seconds of the {when} training", seconds, "s", seed, timed=True)
        rows.add(subject, when, 100 * score(task, network), "%", seed)
    rows.add(subject, "done", 1, "", seed)


def built(space: Space, picks: Picks, seed: int) -> nn.Module:
    """A network with its first weights."""
    with seeded(seed):
        return space.made(picks).network()


def halved(task: Supervised) -> Supervised:
    """The task with pictures of half the height and width."""

    def smaller(part: Any) -> Any:
        return avg_pool2d(part[0], 2), part[1]

    return replace(task, train=smaller(task.train), validation=smaller(task.validation))


if __name__ == "__main__":
    main()
