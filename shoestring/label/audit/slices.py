"""Slices that fail: parts of the data on which the model is worse than on the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np

from shoestring.label.audit.checked import checked_features
from shoestring.label.audit.rates import Rate, chance_of_more, holm, rate

_MOST_VALUES = 30
"""A field with more values is cut into quarters where they are numbers, and else left out."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Slice:
    """A part of the examples.

    `name`: what they have in common, such as "age is 30 to 44".
    `held`: whether each example is in it, N.
    """

    name: str
    held: np.ndarray


@final
@dataclass(frozen=True, kw_only=True)
class FailingSlice:
    """A part of the examples on which the model errs more often than on the rest.

    `name`: what they have in common.
    `errors`, `rest`: the rate of errors in it and outside it.
    `chance`: of a difference like this by luck, adjusted for the number of slices looked at.
    """

    name: str
    errors: Rate
    rest: Rate
    chance: float


def failing_slices(
    errors: Any, slices: Sequence[Slice], *, chance: float = 0.05, least: int = 10
) -> tuple[FailingSlice, ...]:
    """The slices on which the model errs more often than on the rest, the worst first.

    `errors`: whether the model errs, N, on examples that it was not trained on.
    `slices`: chosen without looking at the errors.
    `chance`: of naming any slice wrongly, above 0 and below 1.
    `least`: slices with fewer examples, inside or outside, are not tested.

    Source: Fisher's exact test of each slice against the rest, one-sided, with Holm's correction.
    Raises ValueError for slices of another length.
    """
    wrong = np.asarray(errors, bool)
    tested = []
    for part in slices:
        if part.held.shape != wrong.shape:
            raise ValueError(
                f"the slice {part.name!r} has shape {list(part.held.shape)}, and there are "
                f"{len(wrong)} examples: say of each whether it is in"
            )
        inside, outside = wrong[part.held], wrong[~part.held]
        if min(len(inside), len(outside)) >= least:
            tested.append((part.name, inside, outside))
    if not tested:
        return ()
    chances = [chance_of_more(int(a.sum()), len(a), int(b.sum()), len(b)) for _, a, b in tested]
    rows = [
        FailingSlice(
            name=name,
            errors=rate(int(inside.sum()), len(inside)),
            rest=rate(int(outside.sum()), len(outside)),
            chance=float(adjusted),
        )
        for (name, inside, outside), adjusted in zip(tested, holm(chances), strict=True)
        if adjusted < chance
    ]
    return tuple(sorted(rows, key=lambda row: (-(row.errors.value - row.rest.value), row.name)))


def field_slices(fields: Mapping[str, Sequence[str]]) -> tuple[Slice, ...]:
    """A slice for each value of each field; numbers of many values are cut into quarters.

    `fields`: of each field its value in every example, N texts. A field of many different texts is
        left out: its values are names, not kinds.
    """
    slices = []
    for name, column in fields.items():
        values = np.asarray(column, dtype=str)
        kinds = np.unique(values)
        if len(kinds) <= _MOST_VALUES:
            slices += [Slice(name=f"{name} is {kind}", held=values == kind) for kind in kinds]
        elif (numbers := _numbers(values)) is not None:
            slices += quarters(name, numbers)
    return tuple(slices)


def quarters(name: str, numbers: Any) -> tuple[Slice, ...]:
    """Four slices by the size of a number, such as the length of a text.

    `numbers`: N; one that is NaN is in no slice.
    """
    values = np.asarray(numbers, float)
    known = values[np.isfinite(values)]
    if not len(known):
        return ()
    edges = np.unique(np.quantile(known, (0, 0.25, 0.5, 0.75, 1)))
    slices = []
    for number, (low, high) in enumerate(pairwise(edges)):
        held = (values <= high) & ((values > low) if number else (values >= low))
        slices.append(Slice(name=f"{name} is {low:g} to {high:g}", held=held))
    return tuple(slices)


def cluster_slices(features: Any, *, clusters: int = 10, seed: int = 0) -> tuple[Slice, ...]:
    """A slice for each cluster of the features (k-means).

    `features`: N×D; they must not know the errors.
    `clusters`: 2 or more; at most one for 20 examples is made.

    Raises ValueError for features that are not N×D and finite, and for fewer than 2 clusters.
    """
    from sklearn.cluster import KMeans

    table = checked_features(features)
    if clusters < 2:
        raise ValueError(f"clusters is {clusters}: give 2 or more")
    count = min(clusters, len(table) // 20)
    if count < 2:
        return ()
    found = KMeans(count, random_state=seed).fit_predict(table)
    nearest = [
        int(np.flatnonzero(found == one)[_central(table[found == one])]) for one in range(count)
    ]
    return tuple(
        Slice(name=f"like example {nearest[one]}", held=found == one) for one in range(count)
    )


def _central(table: np.ndarray) -> int:
    return int(((table - table.mean(0)) ** 2).sum(1).argmin())


def _numbers(values: np.ndarray) -> np.ndarray | None:
    """The values as numbers, with NaN for empty ones; None where one is no number."""
    try:
        return np.array([float(one) if one.strip() else np.nan for one in values.tolist()])
    except ValueError:
        return None
