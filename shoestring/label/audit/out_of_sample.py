"""Probabilities of examples by models that were not trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import Task, label_task, seeded
from shoestring.kit import Training, clone, resuming, train
from shoestring.label.audit.folds import folds_of


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class OutOfSample:
    """What models say of examples that they were not trained on.

    `indices`: of the examples of the task's "train" split, N.
    `labels`: that they are given, N.
    `probabilities`: N×C.
    `fold`: in which each was held out, N.
    `told`: whether the model that was asked had seen the example's class, N. Where not, nothing
        can be said of its label: it is the only one of its class, or all are in one fold.
    `notes`: what could not be told, a sentence each.
    """

    indices: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    fold: np.ndarray
    told: np.ndarray
    notes: tuple[str, ...] = ()


def out_of_sample(
    model: nn.Module,
    task: Task,
    training: Training,
    folds: int = 5,
    *,
    groups: Any = None,
    seed: int = 0,
    folder: str | Path | None = None,
    names: Sequence[str] = (),
) -> OutOfSample:
    """The probabilities of each training example by a model that was not trained on it.

    The examples are divided into folds, alike in their labels; for each fold a copy of the model is
    trained on the others. Costs `folds` trainings; progress is shown.

    `model`: gives logits N×C; it is where each training begins, so untrained, or trained on other
        data.
    `task`: one whose labels can be changed (`LabelTask`), a class for each example.
    `folds`: 2 or more.
    `groups`: N integers; examples of one group are held out together (near duplicates).
    `folder`: where snapshots are kept; a killed run goes on from them. None: nothing is kept.
    `names`: of the classes, for the notes; () for their numbers.

    Raises TypeError where the task's labels cannot be changed, and ValueError for labels that are
    not one class for each example, and for fewer groups than folds.
    """
    labelled = label_task(task.sealed())
    indices = np.asarray(labelled.known())
    labels = _classes(labelled.labels(indices))
    fold = folds_of(labels, folds, groups=groups, seed=seed)
    table: np.ndarray | None = None
    told = np.ones(len(labels), bool)
    with resuming(folder) if folder is not None else nullcontext():
        for number in range(folds):
            rest, held = fold != number, fold == number
            part = labelled.with_labels(labels[rest], indices=indices[rest])
            with seeded(seed + number):
                trained = train(
                    clone(model),
                    part,
                    training,
                    what=f"fold {number + 1} of {folds}",
                    key=f"fold {number} of {folds}, seed {seed}",
                )
            outputs = part.outputs(trained, part.inputs(indices[held]))
            answers = _probabilities(outputs, int(labels.max()))
            table = np.zeros((len(labels), answers.shape[1])) if table is None else table
            table[held] = answers
            told[held] = np.isin(labels[held], labels[rest])
    assert table is not None
    return OutOfSample(
        indices=indices,
        labels=labels,
        probabilities=table,
        fold=fold,
        told=told,
        notes=_notes(labels, told, names),
    )


def _classes(given: Any) -> np.ndarray:
    labels = np.asarray(given)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels have shape {list(labels.shape)} and are {labels.dtype}: give one class for "
            "each example, an integer"
        )
    return labels


def _probabilities(logits: Any, largest: int) -> np.ndarray:
    """N×C; `largest`: of the labels."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the model gives {shape}: it must give logits, examples × classes")
    if largest >= logits.shape[1]:
        raise ValueError(
            f"a label is {largest}, and the model has {logits.shape[1]} outputs: give a model with "
            "an output for each class"
        )
    return torch.softmax(logits.double(), 1).numpy()


def _notes(labels: np.ndarray, told: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    if told.all():
        return ()
    classes = np.unique(labels[~told]).tolist()
    known = [repr(names[one]) if one < len(names) else str(one) for one in classes[:10]]
    named = ", ".join(known) + (", …" if len(classes) > 10 else "")
    count = int((~told).sum())
    return (
        f"{count:,} example{'s have' if count > 1 else ' has'} a class that no other fold has "
        f"({'classes' if len(classes) > 1 else 'class'} {named}): "
        "nothing is said of their labels; give more examples of these classes",
    )
