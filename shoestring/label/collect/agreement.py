"""How far two people agree on what both labelled: Cohen's kappa, or the share of marks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import final

from shoestring.label.collect.answer import Answer
from shoestring.label.example import Box, Choice, Label, Span

_Z = 1.959964
SAME_BOX = 0.5
"""Boxes are the same where their overlap is at least this share of what both cover."""


@final
@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far two people agree.

    `one`, `other`: their names.
    `examples`: how many both labelled.
    `kind`: "kappa" (1: always, 0: as often as by chance) or "F1" (the marks that both made).
    `value`, `low`, `high`: with its 95 % interval; None where it is not defined or not known.
    """

    one: str
    other: str
    examples: int
    kind: str
    value: float | None
    low: float | None
    high: float | None


def agreements(held: Mapping[str, Mapping[str, Answer]]) -> list[Agreement]:
    """The agreement of each two people who labelled the same examples.

    `held`: for each example, the answer of each person that holds. Skipped answers do not count.
    """
    pairs: dict[tuple[str, str], list[tuple[Answer, Answer]]] = {}
    for answers in held.values():
        told = sorted(one.by for one in answers.values() if not one.skipped)
        for one, other in combinations(told, 2):
            pairs.setdefault((one, other), []).append((answers[one], answers[other]))
    return [_between(*names, found) for names, found in sorted(pairs.items())]


def _between(one: str, other: str, found: Sequence[tuple[Answer, Answer]]) -> Agreement:
    labels = [label for pair in found for answer in pair for label in answer.labels]
    if labels and all(isinstance(label, Choice) for label in labels):
        kind, interval = "kappa", kappa([(a.labels[0].name, b.labels[0].name) for a, b in found])
    else:
        kind, interval = "F1", _mean([_f1(a.labels, b.labels) for a, b in found])
    value, low, high = interval
    return Agreement(
        one=one, other=other, examples=len(found), kind=kind, value=value, low=low, high=high
    )


Interval = tuple[float | None, float | None, float | None]


def kappa(pairs: Sequence[tuple[str, str]]) -> Interval:
    """Cohen's kappa of two people's classes, with its 95 % interval in large samples.

    (None, None, None) where both always gave one and the same class: chance would agree too. With
    fewer than 10 examples, or where the two never differ, the interval is None: the large-sample
    formula says nothing there.
    Source: Cohen 1960; the standard error of Fleiss, Cohen & Everitt 1969, equation 13.
    """
    count = len(pairs)
    names = sorted({name for pair in pairs for name in pair})
    rows = {name: sum(a == name for a, _ in pairs) / count for name in names}
    columns = {name: sum(b == name for _, b in pairs) / count for name in names}
    observed = sum(a == b for a, b in pairs) / count
    chance = sum(rows[name] * columns[name] for name in names)
    if chance == 1:
        return None, None, None
    value = (observed - chance) / (1 - chance)
    if count < 10 or observed == 1:
        return value, None, None
    left, rest = 1 - chance, 1 - observed
    same = sum(
        (sum((a, b) == (name, name) for a, b in pairs) / count)
        * (left - (rows[name] + columns[name]) * rest) ** 2
        for name in names
    )
    apart = fmean((columns[a] + rows[b]) ** 2 if a != b else 0.0 for a, b in pairs) * rest**2
    middle = (observed * chance - 2 * chance + observed) ** 2
    error = math.sqrt(max(same + apart - middle, 0.0) / count) / left**2
    return value, max(value - _Z * error, -1.0), min(value + _Z * error, 1.0)


def _mean(values: Sequence[float]) -> Interval:
    """The mean with the 95 % interval of the normal distribution; no interval of few values."""
    value = fmean(values)
    if len(values) < 10:
        return value, None, None
    error = _Z * stdev(values) / math.sqrt(len(values))
    return value, max(value - error, 0.0), min(value + error, 1.0)


def _f1(ours: Sequence[Label], theirs: Sequence[Label]) -> float:
    """The share of marks that both made: 1 where neither made one."""
    if not ours and not theirs:
        return 1.0
    left, same = list(theirs), 0
    for one in ours:
        found = next((other for other in left if _same(one, other)), None)
        if found is not None:
            left.remove(found)
            same += 1
    return 2 * same / (len(ours) + len(theirs))


def _same(one: Label, other: Label) -> bool:
    if isinstance(one, Box) and isinstance(other, Box):
        return one.name == other.name and overlap(one, other) >= SAME_BOX
    if isinstance(one, Span) and isinstance(other, Span):
        return (one.start, one.end, one.name) == (other.start, other.end, other.name)
    return one == other


def overlap(one: Box, other: Box) -> float:
    """The area that two boxes share, divided by the area that they cover together: 0 to 1."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (one.width * one.height + other.width * other.height - shared)


def worst(found: Iterable[Agreement]) -> Agreement | None:
    """The pair that agrees least; None where no pair has a value."""
    known = [one for one in found if one.value is not None]
    return min(known, key=lambda one: one.value or 0.0, default=None)
