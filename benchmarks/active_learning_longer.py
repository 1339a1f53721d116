"""Margin against random choice on EWT where each network is trained five times as long.

`python benchmarks/active_learning_longer.py`: some minutes on one core. Pools, first labels
and weights at the start are those of the first three seeds of `active_learning.py`; only the
training after each batch is longer. It tells how much of a gain is that of networks trained too
briefly.
"""

from __future__ import annotations

import os
from dataclasses import replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from active_learning import ALWAYS, curve_rows
from active_learning_sets import SETS
from rows import start

NAME, STEPS, SEEDS = "EWT tags", 400, 3


def main() -> None:
    rows = start("active_learning_longer", "ewt-cpu", __doc__ or "")
    torch.set_num_threads(1)
    brief = SETS[NAME]
    steps, rounds = (brief.training.steps, 1) if rows.quick else (STEPS, brief.rounds)
    longer = replace(brief, training=replace(brief.training, steps=steps), rounds=rounds)
    whole = longer.task()
    if not rows.done("training", 0):
        rows.add("training", "brief", brief.training.steps, "steps a round", 0)
        rows.add("training", "longer", steps, "steps a round", 0)
        rows.add("training", "done", 1, "", 0)
    for seed in range(1 if rows.quick else SEEDS):
        for way, technique in ALWAYS.items():
            subject = f"{NAME}, {way}"
            if rows.wanted(subject) and not rows.done(subject, seed):
                curve_rows(rows, subject, technique, longer, whole, seed)
    rows.close()


if __name__ == "__main__":
    main()
