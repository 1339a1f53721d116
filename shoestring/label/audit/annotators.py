"""The quality of annotators, and one label from several votes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

_SMOOTHING = 0.01
"""Added to each count of a confusion, so that a vote that nobody gave is not impossible."""


@final
@dataclass(frozen=True, kw_only=True)
class Annotator:
    """How good one annotator is.

    `index`: of the column of votes.
    `votes`: how many.
    `agreement`: the share of the votes that equal what most of the others say, 0 to 1; NaN where
        no one else voted on these examples.
    `accuracy`: the estimated share of right votes, 0 to 1.
    `information`: how much a vote tells of the class, in bits, 0 to log2(C): 0 for somebody who
        always presses the same key, or any.
    `constant`: whether all votes are the same, of ten or more.
    """

    index: int
    votes: int
    agreement: float
    accuracy: float
    information: float
    constant: bool


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Annotators:
    """The annotators, the least informative first, and what the votes say.

    `rows`: of each annotator with a vote.
    `probabilities`: N×C, of the class of each example given the votes; NaN where nobody voted.
    `labels`: N, the likeliest class; -1 where nobody voted.
    `confusion`: A×C×C; the share of examples of the class of the row that the annotator gives the
        label of the column.
    `rounds`: of the estimation.
    """

    rows: tuple[Annotator, ...]
    probabilities: np.ndarray
    labels: np.ndarray
    confusion: np.ndarray
    rounds: int


def majority(votes: Any, classes: int) -> np.ndarray:
    """The share of votes for each class, N×C; NaN where nobody voted.

    `votes`: N×A integers from 0 to C-1; a negative one where the annotator did not see the example.

    Raises ValueError for votes of another shape or of classes that nobody has seen.
    """
    cast = _checked(votes, classes)
    counts = (cast[:, :, None] == np.arange(classes)).sum(1)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(1, keepdims=True)


def dawid_skene(
    votes: Any, classes: int, *, rounds: int = 100, tolerance: float = 1e-6
) -> Annotators:
    """How good each annotator is, and the class of each example, estimated together by EM.

    `votes`: N×A integers from 0 to C-1; a negative one where the annotator did not see the example.
    `classes`: C, 2 or more.
    `rounds`: at most, 1 or more.
    `tolerance`: it ends when no probability changes more than this, 0 or more.

    Source: Dawid & Skene 1979, "Maximum likelihood estimation of observer error-rates using the EM
    algorithm". Differs: counts are smoothed by 0.01.
    Raises ValueError for votes of another shape, none, or of classes that nobody has seen.
    """
    cast = _checked(votes, classes)
    if not (cast >= 0).any():
        raise ValueError("nobody voted: give at least one vote")
    each = np.equal(cast[:, :, None], np.arange(classes)).astype(float)  # N×A×C
    seen = np.asarray((cast >= 0).any(1))
    shares = np.where(seen[:, None], np.nan_to_num(majority(cast, classes)), 0.0)
    confusion, change, done = _confusion(shares, each), np.inf, 0
    while change > tolerance and done < rounds:
        done += 1
        prior = (shares.sum(0) + _SMOOTHING) / (shares.sum() + classes * _SMOOTHING)
        logs = np.log(prior) + np.einsum("nal,acl->nc", each, np.log(confusion))
        logs -= logs.max(1, keepdims=True)
        fresh = np.exp(logs) / np.exp(logs).sum(1, keepdims=True) * seen[:, None]
        change = np.abs(fresh - shares).max()
        shares = fresh
        confusion = _confusion(shares, each)
    rows = [
        _row(index, cast, shares, confusion[index])
        for index in range(cast.shape[1])
        if (cast[:, index] >= 0).any()
    ]
    return Annotators(
        rows=tuple(sorted(rows, key=lambda row: (row.information, row.index))),
        probabilities=np.where(seen[:, None], shares, np.nan),
        labels=np.where(seen, shares.argmax(1), -1),
        confusion=confusion,
        rounds=done,
    )


def _confusion(shares: np.ndarray, each: np.ndarray) -> np.ndarray:
    """A×C×C, rows that sum to 1."""
    counts = np.einsum("nc,nal->acl", shares, each) + _SMOOTHING
    return counts / counts.sum(2, keepdims=True)


def _row(index: int, cast: np.ndarray, shares: np.ndarray, confusion: np.ndarray) -> Annotator:
    voted = cast[:, index] >= 0
    own = cast[voted, index]
    others = np.delete(cast[voted], index, 1)
    counts = (others[:, :, None] == np.arange(shares.shape[1])).sum(1)
    told = counts.max(1) > 0
    # Where others are tied, a vote that equals one of the most frequent agrees.
    agrees = counts[np.arange(len(own)), own] == counts.max(1)
    prior = shares.sum(0) / shares.sum()
    joint = prior[:, None] * confusion
    independent = prior[:, None] * joint.sum(0)
    positive = joint > 0
    information = float((joint[positive] * np.log2(joint[positive] / independent[positive])).sum())
    return Annotator(
        index=index,
        votes=int(voted.sum()),
        agreement=float(agrees[told].mean()) if told.any() else float("nan"),
        accuracy=float(shares[voted, own].mean()),
        information=max(0.0, information),
        constant=bool(len(own) >= 10 and (own == own[0]).all()),
    )


def _checked(votes: Any, classes: int) -> np.ndarray:
    cast = np.asarray(votes)
    if cast.ndim != 2 or not cast.size or cast.dtype.kind not in "iu":
        raise ValueError(
            f"votes have shape {list(cast.shape)} and are {cast.dtype}: give integers, examples × "
            "annotators"
        )
    if classes < 2:
        raise ValueError(f"classes is {classes}: give 2 or more")
    if cast.max() >= classes:
        raise ValueError(
            f"a vote is {cast.max()}, and there are classes 0 to {classes - 1}: nobody has seen "
            "that class"
        )
    return cast.astype(np.int64)
