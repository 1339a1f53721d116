"""Which labels to buy: every technique of `shoestring.label` against random choice, many seeds.

`python benchmarks/active_learning.py`: about an hour on one core. Each seed draws a pool, the first
labels, the weights of the network and the order of training; they are the same for all techniques.
The curves are scored on validation data, by which the default is chosen, and on test data.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from active_learning_sets import SETS, Labelled, start_of
from rows import Rows, start

from shoestring.core import score, seeded
from shoestring.core.labels import label_task
from shoestring.kit import Supervised
from shoestring.label import (
    Badge,
    Bald,
    FarApart,
    KCentre,
    LeastConfident,
    Margin,
    PredictiveEntropy,
    ProbCover,
    Random,
    Stochastic,
    Typical,
    purchases,
)

SEEDS, BLOCK = 20, 5
"""Seeds in all, and how many of them every set gets before the next ones."""
ALWAYS: dict[str, Any] = {"Random": Random(), "Margin": Margin()}
"""What is tried on all sets with all seeds."""
FEWER: dict[str, tuple[Any, dict[str, int]]] = {
    "Margin, stochastic": (
        Margin(batch=Stochastic()),
        {"digits": 10, "MNIST": 5, "SST-2": 5, "TREC": 5},
    ),
    "Badge": (Badge(), {"digits": 10, "MNIST": 10, "SST-2": 7, "TREC": 5, "EWT tags": 5}),
    **{
        name: (technique, {"digits": 10, "MNIST": 5})
        for name, technique in {
            "Margin, far apart": Margin(batch=FarApart()),
            "PredictiveEntropy": PredictiveEntropy(),
            "LeastConfident": LeastConfident(),
            "KCentre": KCentre(),
            "ProbCover": ProbCover(),
            "Typical": Typical(),
            "Bald": Bald(),
        }.items()
    },
}
"""What is tried with the first seeds only, and with how many of each set."""


def ways(name: str, seed: int) -> dict[str, Any]:
    """The techniques that are tried on a set with a seed."""
    fewer = {way: one for way, (one, seeds) in FEWER.items() if seed < seeds.get(name, 0)}
    return ALWAYS | fewer


def main() -> None:
    rows = start("active_learning", "digits-mnist-sst2-trec-ewt-cpu", __doc__ or "")
    torch.set_num_threads(1)
    made: dict[str, Supervised] = {}
    blocks = [range(2)] if rows.quick else [range(n, n + BLOCK) for n in range(0, SEEDS, BLOCK)]
    for block in blocks:
        for name, one in SETS.items():
            if rows.quick and name != "digits":
                continue
            for seed in block:
                for way, technique in ways(name, seed).items():
                    subject = f"{name}, {way}"
                    if rows.wanted(subject) and not rows.done(subject, seed):
                        whole = made[name] = made.get(name) or one.task()
                        curve_rows(rows, subject, technique, one, whole, seed)
    rows.close()


def curve_rows(
    rows: Rows, subject: str, technique: Any, one: Labelled, whole: Supervised, seed: int
) -> None:
    """The rows of one curve: scores at what was paid so far, and their means."""
    with seeded(seed):
        network = one.network()
    sized = replace(
        technique,
        labels=one.labels,
        rounds=one.rounds,
        training=one.training,
        prices=one.prices,
    )
    task = start_of(one, whole, seed)
    validation, test = [], []
    with seeded(seed):
        for model, now in purchases(sized, network, task.sealed()):
            known = label_task(now).known()
            paid = float(one.prices.of(label_task(now), known).sum())
            validation.append(score(whole, model, "validation"))
            test.append(score(whole, model, "test"))
            at = f"score at {len(validation) - 1}"
            rows.add(subject, at, round(100 * test[-1], 3), f"% with {paid:.0f} {one.unit}", seed)
    for split, scores in (("validation", validation), ("test", test)):
        mean = 100 * sum(scores[1:]) / len(scores[1:])
        rows.add(subject, f"mean {split} score", round(mean, 4), "%", seed)
    rows.add(subject, "done", 1, "", seed)


if __name__ == "__main__":
    main()
