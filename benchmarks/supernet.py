"""Whether the scores of shared weights order networks as their own trainings do.

CIFAR-10: the first 10,000 pictures for training and 2,000 for validation, reduced to 16×16. The
space is one of small cells (0.5 to 4.7 million multiplications). Networks that are drawn from it at
random are trained alone for a short time, with several seeds; their mean validation score is what
an order should follow. Three supernets order the same networks by shared weights. Beside them are
the numbers of parameters and of multiplications, which cost nothing, and one training alone against
the mean of the others, which says how far that order can be known at all.
It continues after a kill, and `--publish` writes what there is. Orders are told after each seed;
of several rows of a metric the last counts.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import correlation, mean, median
from time import process_time

import torch
from rows import RESULTS, Rows, start
from torch.nn.functional import avg_pool2d
from torch.utils.flop_counter import FlopCounterMode

from shoestring.core import score, seeded
from shoestring.kit import AdamW, Supervised, Training, resuming, train
from shoestring.search import Cells, CollapsedError, Picks, Supernet
from shoestring.tasks import cifar10

SPACE = Cells(blocks=2, widths=(8, 16), depths=(1,), sizes=2)
NETWORKS, ALONE_SEEDS, SEEDS = 15, (0, 1), (0, 1, 2)
ALONE = Training(150, AdamW(5e-3))
TOGETHER = Training(1000, AdamW(5e-3))
SHARED, RATIOS = "shared weights", "networks"


def main() -> None:
    torch.set_num_threads(1)
    rows = start("supernet", "cifar10-jpeg-10000-16x16-cpu", __doc__ or "", seeds=True)
    task, space = _task(rows.quick), SPACE
    draw = random.Random(42)
    networks = [space.drawn(draw) for _ in range(5 if rows.quick else NETWORKS)]
    alone, together = ALONE, TOGETHER
    if rows.quick:
        alone, together = replace(ALONE, steps=20), replace(TOGETHER, steps=40)
    for seed in SEEDS if not rows.quick else (0,):
        if rows.seed not in (None, seed):
            continue
        if rows.wanted(SHARED) and not rows.done(SHARED, seed):
            _together(rows, task, networks, together, seed)
        for number, picks in enumerate(networks):
            name = f"network {number}"
            if seed in ALONE_SEEDS and rows.wanted(name) and not rows.done(name, seed):
                _alone(rows, task, name, picks, alone, seed)
    if not rows.only:
        _orders(rows, networks)
    if rows.seed is None and not rows.only:
        rows.close()


def _task(quick: bool) -> Supervised:
    whole = cifar10(batch_size=64)
    train_count, others = (1000, 500) if quick else (10_000, 2000)
    images, held_out = whole.train[0], whole.validation[0]
    assert isinstance(images, torch.Tensor) and isinstance(held_out, torch.Tensor)
    return Supervised(
        train=(avg_pool2d(images[:train_count], 2), whole.train[1][:train_count]),
        validation=(avg_pool2d(held_out[:others], 2), whole.validation[1][:others]),
        name=f"{whole.name}, {train_count} of 16×16",
        batch_size=64,
    )


def _together(
    rows: Rows, task: Supervised, networks: Sequence[Picks], training: Training, seed: int
) -> None:
    """A supernet, and its score of each network."""
    folder = RESULTS / "unfinished" / f"supernet{'.quick' if rows.quick else ''}"
    began = process_time()
    with resuming(folder):
        try:
            shared = Supernet(training=training).trained(SPACE, task, seed)
        except CollapsedError as error:
            print(error)
            rows.add(SHARED, "collapsed", 1, "", seed)
            rows.add(SHARED, "done", 1, "", seed)
            return
    rows.add(SHARED, "training", process_time() - began, "s of a core", seed, timed=True)
    began = process_time()
    for number, picks in enumerate(networks):
        rows.add(SHARED, f"network {number}", 100 * shared.score(picks), "% right", seed)
    each = (process_time() - began) / len(networks)
    rows.add(SHARED, "a score", each, "s of a core", seed, timed=True)
    rows.add(SHARED, "done", 1, "", seed)


def _alone(
    rows: Rows, task: Supervised, name: str, picks: Picks, training: Training, seed: int
) -> None:
    began = process_time()
    with seeded(seed):
        network = train(SPACE.made(picks).network(), task, training, what=f"{name}, seed {seed}")
    rows.add(name, "training", process_time() - began, "s of a core", seed, timed=True)
    rows.add(name, "alone", 100 * score(task, network), "% right", seed)
    rows.add(name, "done", 1, "", seed)


def _found(rows: Rows, subject: str, metric: str) -> dict[int, float]:
    return {
        row["seed"]: row["value"]
        for row in rows.rows
        if row["subject"] == subject and row["metric"] == metric and row["seed"] is not None
    }


def _orders(rows: Rows, networks: Sequence[Picks]) -> None:
    """Rank correlations with the mean of the trainings alone."""
    alone = [_found(rows, f"network {number}", "alone") for number in range(len(networks))]
    if not all(alone):
        return
    truth = [mean(one.values()) for one in alone]
    rows.add(RATIOS, "alone, worst", min(truth), "% right")
    rows.add(RATIOS, "alone, median", median(truth), "% right")
    rows.add(RATIOS, "alone, best", max(truth), "% right")
    for seed in SEEDS:
        scores = [_found(rows, SHARED, f"network {number}") for number in range(len(networks))]
        if not all(seed in one for one in scores):
            continue
        found = [one[seed] for one in scores]
        rows.add(SHARED, "rank correlation", ranked_alike(found, truth), "", seed)
        chosen = truth[found.index(max(found))]
        rows.add(SHARED, "its best, alone", chosen, "% right", seed)
    for seed in ALONE_SEEDS:
        others = [[value for other, value in one.items() if other != seed] for one in alone]
        if all(others) and all(seed in one for one in alone):
            mine = [one[seed] for one in alone]
            alike = ranked_alike(mine, [mean(one) for one in others])
            rows.add("one training alone", "rank correlation", alike, "", seed)
    made = [SPACE.made(picks).network() for picks in networks]
    parameters = [float(sum(one.numel() for one in network.parameters())) for network in made]
    rows.add("parameters", "rank correlation", ranked_alike(parameters, truth), "")
    operations = list[float]()
    for network in made:
        with FlopCounterMode(display=False) as counter:
            network.eval()(torch.zeros(1, 3, 16, 16))
        operations.append(counter.get_total_flops() / 2)
    rows.add("operations", "rank correlation", ranked_alike(operations, truth), "")
    rows.add(RATIOS, "operations, fewest", min(operations), "multiplications")
    rows.add(RATIOS, "operations, most", max(operations), "multiplications")


def ranked_alike(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Spearman's rank correlation, -1 to 1; equal values have their mean rank."""

    def ranks(values: Sequence[float]) -> list[float]:
        return [
            sum(other < one for other in values) + sum(other == one for other in values) / 2
            for one in values
        ]

    return correlation(ranks(ours), ranks(theirs))


if __name__ == "__main__":
    main()
