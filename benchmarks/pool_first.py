"""A hundred labels and 54,900 examples without, to 10 KB: `python benchmarks/pool_first.py`.

MNIST, the network of `few_labels.py` with fresh weights, 100 labels, and 100 more to validate on.
Four ways to a file of at most 10 KB, each in about four minutes on the clock: labels alone, in
training and in the search; `MeanTeacher` by hand, and a search on the labels alone; `MeanTeacher`
by hand, and a search on the answers of its network for all examples; and the one command, which is
given the fresh network and all examples. Test error of the file and of the network that it was
made of. Three seeds; run nothing else meanwhile, since searches end by the clock.

--quick: one seed, a minute each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from few_labels import few, strided
from rows import Rows, start
from torch import nn

from shoestring import load
from shoestring.core import score, seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.plan import compress
from shoestring.plan.pool import answered
from shoestring.unlabelled import LabelsAlone, MeanTeacher

SEEDS, LABELS, BUDGET = (0, 1, 2), 100, "size<=10KB"
TRAINING = Training(1200, AdamW(5e-3, 1e-2))
MINUTES, BEFORE = 4.0, 1.0
"""Minutes in all, and those of them that the training before a search takes."""
Way = Callable[[nn.Module, Supervised], tuple[nn.Module, Supervised]]


def _alone(task: Supervised) -> Supervised:
    """The task without its pool."""
    return replace(task, unlabelled=None)


def _labels(model: nn.Module, task: Supervised) -> tuple[nn.Module, Supervised]:
    learnt = LabelsAlone(training=TRAINING)(model, task.sealed())
    return learnt, _alone(task)


def _teacher(model: nn.Module, task: Supervised) -> tuple[nn.Module, Supervised]:
    return MeanTeacher(training=TRAINING)(model, task.sealed()), _alone(task)


def _answers(model: nn.Module, task: Supervised) -> tuple[nn.Module, Supervised]:
    learnt = MeanTeacher(training=TRAINING)(model, task.sealed())
    all_answered, _ = answered(task, learnt)
    assert isinstance(all_answered, Supervised)
    return learnt, _alone(all_answered)


WAYS: dict[str, Way | None] = {
    "labels alone": _labels,
    "mean teacher, then labels alone": _teacher,
    "mean teacher, then answers for all": _answers,
    "one command": None,
}


def main() -> None:
    torch.set_num_threads(1)
    rows = start("pool_first", "mnist-cpu", __doc__ or "", seeds=True)
    for seed in SEEDS[:1] if rows.quick else SEEDS:
        for way in WAYS:
            wanted = rows.wanted(way) and (rows.seed is None or rows.seed == seed)
            if wanted and not rows.done(way, seed):
                _row(rows, way, seed)
    if rows.seed is None:
        rows.close()


def _row(rows: Rows, way: str, seed: int) -> None:
    """One way to a file."""
    task, scale = few("MNIST", LABELS, seed), 0.25 if rows.quick else 1.0
    with seeded(seed):
        model = strided(1, 24, 28)
    minutes, made = MINUTES, WAYS[way]
    if made is not None:
        minutes -= BEFORE
        with seeded(seed):
            model, searched = made(model, task)
    else:
        searched = task
    outcome = compress(model, searched, BUDGET, minutes=minutes * scale, seed=seed)
    add = rows.add
    network = load(outcome.reference)  # what was compressed, as a file of float32
    add(way, "test error of the network", 100 - 100 * score(task, network, "test"), "%", seed)
    file = load(outcome.file)
    add(way, "test error of the file", 100 - 100 * score(task, file, "test"), "%", seed)
    add(way, "bytes", outcome.file.stat().st_size, "bytes", seed)
    add(way, "met", float(outcome.met), "", seed)
    add(way, "done", 1, "", seed)


if __name__ == "__main__":
    main()
