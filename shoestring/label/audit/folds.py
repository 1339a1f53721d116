"""Folds: parts of the examples, alike in their labels, with near duplicates in one part."""

from __future__ import annotations

from typing import Any

import numpy as np


def folds_of(labels: Any, folds: int, *, groups: Any = None, seed: int = 0) -> np.ndarray:
    """The fold of each example, N integers from 0 to folds - 1, stratified by label.

    `labels`: N integers.
    `folds`: 2 or more.
    `groups`: N integers; examples of one group stay in one fold, such as `near.groups`. None: each
        example is a group of its own.

    Source: none; the larger groups are dealt first, each to the fold that has the fewest of its
    labels.
    Raises ValueError for fewer groups than folds.
    """
    given = np.asarray(labels)
    together = np.arange(len(given)) if groups is None else np.asarray(groups)
    if together.shape != given.shape:
        raise ValueError(f"there are {len(together)} groups for {len(given)} labels: give one each")
    sizes = np.unique(together, return_counts=True)[1]
    if folds < 2 or len(sizes) < folds:
        raise ValueError(
            f"{len(given)} examples in {len(sizes)} groups cannot be divided into {folds} folds: "
            f"give 2 to {len(sizes)} folds"
        )
    classes, given = np.unique(given, return_inverse=True)
    random = np.random.default_rng(seed)
    order = random.permutation(len(given))
    members: dict[int, list[int]] = {}
    for index in order.tolist():
        members.setdefault(int(together[index]), []).append(index)
    fold = np.zeros(len(given), np.int64)
    held = np.zeros((folds, len(classes)))
    full = np.zeros(folds)
    for group in sorted(members.values(), key=len, reverse=True):
        wanted = np.bincount(given[group], minlength=len(classes))
        crowd = held @ wanted + full * 1e-6  # ties go to the emptier fold
        to = int(crowd.argmin())
        fold[group] = to
        held[to] += wanted
        full[to] += len(group)
    return fold
