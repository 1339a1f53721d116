"""A hundred labels and 54,900 examples without, to 4 KB: `python benchmarks/pool_first.py`.

MNIST, the network of `few_labels.py` with fresh weights, 100 labels, and 100 more to validate on.
Four ways to a file of about 4,000 bytes. By hand, 1,200 steps of training, and then 800 steps of
`Rate` with the trained network as teacher: labels alone; `MeanTeacher`, and `Rate` on the labels
alone; `MeanTeacher`, and `Rate` on the network's answers for all examples. And the one command,
which is given the fresh network, all examples and four minutes on the clock. Test error of the file
and of the network that it was made of. Three seeds; run nothing else during the last, since a
search ends by the clock.

--quick: one seed, a quarter of the steps and of the time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from few_labels import few, strided
from rows import Rows, start
from torch import nn

from shoestring import load, save
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.plan import compress
from shoestring.plan.pool import answered
from shoestring.quantize import Rate, Toward
from shoestring.unlabelled import LabelsAlone, MeanTeacher

SEEDS, LABELS, BYTES = (0, 1, 2), 100, 4000
TRAINING, RATE = Training(1200, AdamW(5e-3, 1e-2)), Training(800, AdamW(3e-3))
MINUTES = 4.0
ALONE, ON_LABELS, ON_ANSWERS, COMMAND = (
    "labels alone",
    "mean teacher, Rate on the labels",
    "mean teacher, Rate on answers for all",
    "one command",
)


def main() -> None:
    torch.set_num_threads(1)
    rows = start("pool_first", "mnist-cpu", __doc__ or "", seeds=True)
    for way in (ALONE, ON_LABELS, ON_ANSWERS, COMMAND):
        for seed in SEEDS[:1] if rows.quick else SEEDS:
            wanted = rows.wanted(way) and (rows.seed is None or rows.seed == seed)
            if wanted and not rows.done(way, seed):
                with scratch_folder() as folder:
                    _row(rows, way, seed, folder / "small.shoe")
    if rows.seed is None:
        rows.close()


def _row(rows: Rows, way: str, seed: int, path: Path) -> None:
    """One way to a file."""
    task, share = few("MNIST", LABELS, seed), 0.25 if rows.quick else 1.0
    with seeded(seed):
        model = strided(1, 24, 28)
    if way == COMMAND:
        budget = f"size<={BYTES}B"
        outcome = compress(model, task, budget, path, minutes=MINUTES * share, seed=seed)
        network: Any = load(outcome.reference)  # what was compressed, as a file of float32
    else:
        network = _by_hand(way, model, task, seed, share, path)
    for what, one in (("network", network), ("file", load(path))):
        error = 100 - 100 * score(task, one, "test")
        rows.add(way, f"test error of the {what}", error, "%", seed)
    rows.add(way, "bytes", path.stat().st_size, "bytes", seed)
    rows.add(way, "done", 1, "", seed)


def _by_hand(
    way: str, model: nn.Module, task: Supervised, seed: int, share: float, path: Path
) -> nn.Module:
    """Train, compress by `Rate` and write the file; returns the trained network."""
    training, rate = TRAINING.scaled(share), RATE.scaled(share)
    learner = LabelsAlone(training=training) if way == ALONE else MeanTeacher(training=training)
    with seeded(seed):
        network = learner(model, task.sealed()).eval()
    seen = answered(task, network)[0] if way == ON_ANSWERS else task
    technique = Rate(price=Toward(0.97 * BYTES), rise=0.6, training=rate)
    with seeded(seed):
        save(technique(network, seen.sealed().taught_by(network)), task, path)
    return network


if __name__ == "__main__":
    main()
