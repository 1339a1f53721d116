"""Probabilities and labels that fit together, or an error that says what does not."""

from __future__ import annotations

from typing import Any

import numpy as np

_FAR = 1e-3
"""How far from 1 the probabilities of an example may sum: those of half precision are rounded."""


def checked_probabilities(probabilities: Any) -> np.ndarray:
    """Probabilities as an array N×C of float64.

    Raises ValueError for another shape, no example, a single class, NaN, numbers out of 0..1 and
    rows that do not sum to 1.
    """
    table = np.asarray(probabilities, dtype=np.float64)
    if table.ndim != 2 or not len(table):
        raise ValueError(
            f"probabilities have shape {list(table.shape)}: give examples × classes, at least one"
        )
    if table.shape[1] < 2:
        raise ValueError(
            "there is a single class: no label can be wrong where there is no other; give "
            "probabilities of two classes or more"
        )
    sums = table.sum(1)
    if not np.isfinite(sums).all():
        row = int(np.flatnonzero(~np.isfinite(sums))[0])
        raise ValueError(
            f"the probabilities of example {row} are NaN or infinite: did its training diverge?"
        )
    if (wrong := np.abs(sums - 1) > _FAR).any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"the probabilities of example {row} sum to {sums[row]:.4g}, and those of "
            f"{int(wrong.sum())} examples do not sum to 1: give the softmax of logits"
        )
    if table.min() < -1e-9 or table.max() > 1 + _FAR:
        row = int(np.flatnonzero((table < -1e-9).any(1) | (table > 1 + _FAR).any(1))[0])
        raise ValueError(
            f"example {row} has a probability out of 0 to 1: give the softmax of logits"
        )
    return table


def checked_labels(labels: Any, count: int, classes: int) -> np.ndarray:
    """Labels as an array of `count` integers from 0 to classes - 1.

    Raises ValueError for another length, for numbers that are no integers and for classes that
    nobody has seen.
    """
    given = np.asarray(labels)
    if given.shape != (count,):
        raise ValueError(
            f"labels have shape {list(given.shape)} for {count} examples: give one for each"
        )
    whole = given.astype(np.int64)
    if given.dtype.kind not in "iub" and not (given.dtype.kind == "f" and (whole == given).all()):
        raise ValueError(f"labels are {given.dtype}: give integers from 0 to {classes - 1}")
    if (beyond := (whole < 0) | (whole >= classes)).any():
        index = int(np.flatnonzero(beyond)[0])
        raise ValueError(
            f"example {index} has label {whole[index]}, and there are probabilities of classes 0 "
            f"to {classes - 1}: nobody has seen that class"
        )
    return whole


def checked_features(features: Any, *, least: int = 1) -> np.ndarray:
    """Features as an array N×D of float64.

    Raises ValueError for another shape, fewer than `least` examples, NaN and infinity.
    """
    table = np.asarray(features, dtype=np.float64)
    if table.ndim != 2 or len(table) < least or not table.shape[1]:
        raise ValueError(
            f"features have shape {list(table.shape)}: give examples × features, at least {least} "
            "examples"
        )
    if not np.isfinite(table).all():
        row = int(np.flatnonzero(~np.isfinite(table).all(1))[0])
        raise ValueError(f"the features of example {row} are NaN or infinite: clean them first")
    return table
