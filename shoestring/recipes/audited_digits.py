"""Right labels: digits of which a tenth were labelled wrong, found and left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import torch
from torch import nn

from shoestring.core import LabelTask, Task, label_task, score, seeded
from shoestring.kit import AdamW, Training, moved, train
from shoestring.label.audit.confident import LabelError, label_errors
from shoestring.label.audit.out_of_sample import out_of_sample
from shoestring.models import DigitsLeNet
from shoestring.recipes.record import Line, Measure, Recipe, Results
from shoestring.recipes.running import Run
from shoestring.tasks import digits


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Audited:
    """A task without the labels that are probably wrong.

    `task`: the same, whose "train" split has the other labels.
    `errors`: what was left out, the least credible first; `index` is that of the task.
    """

    task: LabelTask
    errors: tuple[LabelError, ...]


def audited(
    model: nn.Module, task: Task, training: Training, *, folds: int = 5, seed: int = 0
) -> Audited:
    """Find the labels that are probably wrong, and leave them out.

    Published: confident learning raises the accuracy on CIFAR-10 with 40 % of noise that was made
    (Northcutt, Jiang & Chuang 2021, table 2). Ours on the noise of people is in `docs/audit.md`,
    made by `python benchmarks/audit.py`.

    `model`: untrained; it gives logits N×C.
    `task`: one whose labels can be changed, a class for each example.
    `folds`: of the cross-validation, 2 or more; each costs a training.
    """
    labelled = label_task(task)
    told = out_of_sample(model, labelled, training, folds, seed=seed)
    judged = np.flatnonzero(told.told)
    found = label_errors(told.probabilities[judged], told.labels[judged])
    rows = tuple(replace(row, index=int(told.indices[judged[row.index]])) for row in found.rows)
    kept = np.setdiff1d(told.indices, [row.index for row in rows])
    return Audited(task=labelled.with_labels(labelled.labels(kept), indices=kept), errors=rows)


def end_to_end(run: Run) -> None:
    """A tenth of the labels is changed (simulated); trained with all, without the flags, clean."""
    torch.set_num_threads(1)
    training = Training(150 if run.quick else 300, AdamW(4e-3))
    task = replace(digits(), augment=_moved)
    labels = task.train[1].numpy()
    draw = np.random.default_rng(run.seed)
    changed = draw.permutation(len(labels))[: len(labels) // 10]
    given = labels.copy()
    given[changed] = (labels[changed] + draw.integers(1, 10, len(changed))) % 10
    noisy = task.with_labels(given)
    with seeded(run.seed):
        model = DigitsLeNet()
    found = audited(model, noisy.sealed(), training, folds=3 if run.quick else 5, seed=run.seed)
    flags = np.array([row.index for row in found.errors], np.int64)
    hits = len(np.intersect1d(flags, changed))
    run.row("flags", "precision", 100 * hits / max(len(flags), 1), "%")
    run.row("flags", "recall", 100 * hits / len(changed), "%")
    kept = np.setdiff1d(np.arange(len(labels)), flags)
    chance = np.sort(draw.permutation(len(labels))[: len(kept)])
    ways = {
        "noisy": noisy,
        "audited": noisy.with_labels(given[kept], indices=kept),
        "left out at random": noisy.with_labels(given[chance], indices=chance),
        "clean": task,
    }
    for name, one in ways.items():
        left = np.asarray(one.known())
        with seeded(run.seed):
            trained = train(DigitsLeNet(), one.sealed(), training, what=name)
        run.row(name, "wrong labels", int((one.labels(left).numpy() != labels[left]).sum()), "")
        run.row(name, "test error", 100 * (1 - score(task, trained, "test")), "%")


def _moved(images: torch.Tensor) -> torch.Tensor:
    return moved(images, 1)


RECIPE = Recipe(
    name="audited",
    line="digits of which a tenth of the labels are wrong (simulated): found, left out, trained",
    scarce="right labels",
    instead="five trainings, of which each judges a fifth of the labels",
    data=("digits (in scikit-learn)",),
    minutes=1,
    quick_minutes=0.2,
    page="audit.md",
    run=end_to_end,
    results=Results(
        file="audited.digits-cpu.jsonl",
        before=(Line("all labels, a tenth of them wrong", "noisy"),),
        ours=(Line("without the flagged labels", "audited"),),
        baselines=(
            Line("as many labels left out at random", "left out at random"),
            Line("with the right labels", "clean"),
        ),
        saved=Measure("wrong labels", "wrong labels", "", ",.0f"),
        lost=Measure("test error", "test error", "%", ".2f"),
        price=Measure(
            "minutes of a core, for all", "time", "minutes of a core", ".1f", subject="recipe"
        ),
    ),
)
