"""What most people, or rules, say: one place for all that counts votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np


def one_hot(votes_NA: np.ndarray, classes: int) -> np.ndarray:
    """1 where a vote is for a class, N×A×C (float64); a negative vote is for none."""
    return (votes_NA[:, :, None] == np.arange(classes)).astype(np.float64)


def checked_votes(votes: Any, classes: int) -> np.ndarray:
    """Votes N×A as int64. Raises ValueError for another shape or classes that nobody has seen."""
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


def majority(votes: Any, classes: int) -> np.ndarray:
    """The share of votes for each class, N×C; NaN where nobody voted.

    `votes`: N×A integers from 0 to C-1; a negative one where the annotator did not see the example.

    Raises ValueError for votes of another shape or of classes that nobody has seen.
    """
    counts = one_hot(checked_votes(votes, classes), classes).sum(1)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(1, keepdims=True)


def leading(counts_NC: np.ndarray) -> np.ndarray:
    """Equal shares for the classes with the most votes, N×C; without votes 1/C each."""
    most = counts_NC == counts_NC.max(1, keepdims=True)
    return most / most.sum(1, keepdims=True)


def most_said(names: Sequence[str]) -> str:
    """The name that is there most often, and the last of those where it is a tie; 1 or more."""
    counts = Counter(names)
    most = max(counts.values())
    return next(name for name in reversed(names) if counts[name] == most)
