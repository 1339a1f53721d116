"""Margin against random choice with longer trainings, and with more labels.

`python benchmarks/active_learning_longer.py`: about half an hour on one core. Pools, first labels
and weights at the start are those of the first seeds of `active_learning.py`. On EWT and TREC the
training after each batch is longer: it tells how much of a gain is that of networks trained too
briefly. On SST-2 more labels are bought.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from active_learning import ALWAYS, curve_rows
from active_learning_sets import SETS
from rows import start


@dataclass(frozen=True, kw_only=True)
class Change:
    """What differs from `active_learning.py`, and how many seeds it gets."""

    seeds: int
    steps: int | None = None
    labels: int | None = None


CHANGES = {
    "EWT tags": Change(steps=400, seeds=3),
    "TREC": Change(steps=600, seeds=20),
    "SST-2": Change(labels=2400, seeds=20),
}


def main() -> None:
    rows = start("active_learning_longer", "ewt-trec-sst2-cpu", __doc__ or "")
    torch.set_num_threads(1)
    for name, change in CHANGES.items():
        brief = SETS[name]
        steps = (not rows.quick and change.steps) or brief.training.steps
        one = replace(
            brief,
            training=replace(brief.training, steps=steps),
            labels=change.labels or brief.labels,
            rounds=1 if rows.quick else brief.rounds,
        )
        told = f"{name}, settings"
        if not rows.done(told, 0):
            rows.add(told, "steps before", brief.training.steps, "steps a round", 0)
            rows.add(told, "steps", steps, "steps a round", 0)
            rows.add(told, "labels before", brief.labels, brief.unit, 0)
            rows.add(told, "labels", one.labels, brief.unit, 0)
            rows.add(told, "done", 1, "", 0)
        whole = one.task()
        for seed in range(1 if rows.quick else change.seeds):
            for way, technique in ALWAYS.items():
                subject = f"{name}, {way}"
                if rows.wanted(subject) and not rows.done(subject, seed):
                    curve_rows(rows, subject, technique, one, whole, seed)
    rows.close()


if __name__ == "__main__":
    main()
