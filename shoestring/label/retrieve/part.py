"""The part of a heap that is worth looking at, and how much of what matters is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from shoestring.label.example import Collection


def best_part(collection: Collection, scores: Any, share: float) -> Collection:
    """The examples with the highest scores, the highest first, each with its score as `priority`.

    `scores`: one for each example, N; of equal ones the earlier example comes first.
    `share`: of the examples that are kept, above 0 to 1; at least one is.

    Raises ValueError for another number of scores, NaN among them, or a share out of range.
    """
    given = _checked(scores, len(collection.examples))
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: give a share above 0 and up to 1")
    order = np.argsort(-given, kind="stable")[: max(1, round(share * len(given)))]
    kept = tuple(
        replace(collection.examples[place], priority=float(given[place])) for place in order
    )
    note = f"The {len(kept):,} of {len(given):,} examples with the highest scores, by their score."
    return replace(collection, examples=kept, notes=(*collection.notes, note))


def found_at(scores: Any, relevant: Any, shares: Sequence[float]) -> tuple[float, ...]:
    """The share of what is relevant among the best-scored examples, for each share looked at.

    Examples of equal scores count as if they came in an order drawn by chance.

    `scores`: N; `relevant`: whether each example is, N.
    `shares`: 0 to 1 each.

    Raises ValueError for other lengths, NaN, or nothing that is relevant.
    """
    given, wanted = _checked(scores, len(relevant)), np.asarray(relevant, dtype=bool)
    if not wanted.any():
        raise ValueError("nothing is relevant, so nothing can be found: give one or more")
    found = []
    for share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f"a share is {share}: give 0 to 1")
        count = round(share * len(given))
        if not count:
            found.append(0.0)
            continue
        least = np.sort(given)[::-1][count - 1]
        above, equal = given > least, given == least
        drawn = (count - above.sum()) / equal.sum()
        hits = wanted[above].sum() + drawn * wanted[equal].sum()
        found.append(float(hits / wanted.sum()))
    return tuple(found)


def _checked(scores: Any, count: int) -> np.ndarray:
    given = np.asarray(scores, dtype=np.float64)
    if given.shape != (count,):
        raise ValueError(f"the scores have the shape {given.shape}: give one for each of {count}")
    if np.isnan(given).any():
        raise ValueError(
            f"the score of example {int(np.isnan(given).argmax())} is NaN: examples that cannot be "
            "scored get the lowest score, or are left out"
        )
    return given
