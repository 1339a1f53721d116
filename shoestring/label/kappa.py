"""Cohen's kappa: how far two series of classes agree beyond chance."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

_Z = 1.959964

Bounds = tuple[float | None, float | None, float | None]
"""A value with the ends of its 95 % interval; None where it is not defined or not known."""


def kappa(first: Iterable[Any], second: Iterable[Any]) -> Bounds:
    """Cohen's kappa of two classes for each of N examples, with its interval in large samples.

    (None, None, None) where both always gave one and the same class: chance would agree too. With
    fewer than 10 examples, or where the two never differ, the interval is None: the large-sample
    formula says nothing there.

    Source: Cohen 1960; the standard error of Fleiss, Cohen & Everitt 1969, equation 13.

    `first`, `second`: names or numbers of classes, N each.

    Raises ValueError for series of different lengths, or of none.
    """
    one, two = list(first), list(second)
    if len(one) != len(two) or not one:
        raise ValueError(
            f"classes of {len(one):,} and of {len(two):,} examples: give both of the same "
            "examples, one or more"
        )
    numbers = {name: at for at, name in enumerate(dict.fromkeys([*one, *two]))}
    if len(numbers) == 1:
        return None, None, None
    first_N = np.array([numbers[name] for name in one])
    second_N = np.array([numbers[name] for name in two])
    rows_C = np.bincount(first_N, minlength=len(numbers)) / len(one)
    columns_C = np.bincount(second_N, minlength=len(numbers)) / len(one)
    agree_N = first_N == second_N
    observed, chance = float(agree_N.mean()), float(rows_C @ columns_C)
    value = (observed - chance) / (1 - chance)
    if len(one) < 10 or agree_N.all():
        return value, None, None
    left, rest = 1 - chance, 1 - observed
    same_N = (left - (rows_C[first_N] + columns_C[first_N]) * rest) ** 2
    apart_N = ((columns_C[first_N] + rows_C[second_N]) * rest) ** 2
    middle = (observed * chance - 2 * chance + observed) ** 2
    spread = float(np.where(agree_N, same_N, apart_N).mean()) - middle
    error = math.sqrt(max(spread, 0.0) / len(one)) / left**2
    return value, max(value - _Z * error, -1.0), min(value + _Z * error, 1.0)
