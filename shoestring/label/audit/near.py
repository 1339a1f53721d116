"""Exact and near duplicates, and what they give away: contradictions and leakage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np


@final
@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two examples that are the same or nearly so.

    `first`, `second`: their indices; first < second.
    `similarity`: 0 to 1; 1 for equal ones.
    `exact`: whether they are equal: every pixel, or every character.
    """

    first: int
    second: int
    similarity: float
    exact: bool


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Near:
    """The duplicates among N examples, the most similar first.

    `rows`: the pairs.
    `groups`: N integers; examples that a chain of pairs joins have the same. A fold of a
        cross-validation holds a group completely, or not at all.
    `unreadable`: indices of examples that could not be read, such as pictures that do not open; no
        pair has them.
    `notes`: what was sampled or left out, a sentence each.
    """

    rows: tuple[Pair, ...]
    groups: np.ndarray
    unreadable: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


@final
@dataclass(frozen=True, kw_only=True)
class Contradiction:
    """Two examples that are nearly the same and have different labels: one at least is wrong.

    `pair`: the two.
    `labels`: of the first and of the second.
    """

    pair: Pair
    labels: tuple[int, int]


@final
@dataclass(frozen=True, kw_only=True)
class Leak:
    """An example of training that is nearly the same as one that the model is judged on.

    `pair`: the two.
    `splits`: of the first and of the second.
    """

    pair: Pair
    splits: tuple[str, str]


def near(count: int, pairs: Sequence[Pair], **others: Any) -> Near:
    """The table of some pairs among `count` examples, the most similar first."""
    ordered = sorted(pairs, key=lambda one: (-one.similarity, one.first, one.second))
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for pair in ordered:
        a, b = root(pair.first), root(pair.second)
        parent[max(a, b)] = min(a, b)
    groups = np.array([root(index) for index in range(count)], np.int64)
    return Near(rows=tuple(ordered), groups=groups, **others)


def contradictions(found: Near, labels: Any) -> tuple[Contradiction, ...]:
    """The duplicates with different labels, the most similar first.

    `labels`: N integers; a negative one where there is none.

    Raises ValueError for another number of labels than of examples.
    """
    given = np.asarray(labels)
    if given.shape != found.groups.shape:
        raise ValueError(
            f"labels have shape {list(given.shape)} for {len(found.groups)} examples: give one for "
            "each"
        )
    return tuple(
        Contradiction(pair=pair, labels=(int(given[pair.first]), int(given[pair.second])))
        for pair in found.rows
        if given[pair.first] != given[pair.second]
        and given[pair.first] >= 0
        and given[pair.second] >= 0
    )


def leaks(found: Near, splits: Sequence[str]) -> tuple[Leak, ...]:
    """The duplicates of which one is in "train" and the other in another split.

    A model can remember these, and its score says more than it can.

    `splits`: of each example; "" where it is in none.

    Raises ValueError for another number of splits than of examples.
    """
    if len(splits) != len(found.groups):
        raise ValueError(
            f"there are {len(splits)} splits for {len(found.groups)} examples: give one for each"
        )
    return tuple(
        Leak(pair=pair, splits=(splits[pair.first], splits[pair.second]))
        for pair in found.rows
        if splits[pair.first] != splits[pair.second]
        and "train" in (splits[pair.first], splits[pair.second])
        and "" not in (splits[pair.first], splits[pair.second])
    )
