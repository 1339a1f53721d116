"""How far two people agree on what both labelled: Cohen's kappa, or the share of marks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any, final

import numpy as np

from shoestring.artifact.overlaps import overlaps
from shoestring.label.collect.answer import Answer, plain
from shoestring.label.example import Box, Choice, Label, Span
from shoestring.label.kappa import Bounds, kappa

_Z = 1.959964
_MOST_SHOWN = 50
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
        Leave answers that decide out: who gave them had seen what the others said.
    """
    pairs: dict[tuple[str, str], list[tuple[Answer, Answer]]] = {}
    for answers in held.values():
        told = sorted(one.by for one in answers.values() if not one.skipped)
        for one, other in combinations(told, 2):
            pairs.setdefault((one, other), []).append((answers[one], answers[other]))
    return [_between(*names, found) for names, found in sorted(pairs.items())]


def disagreements(held: Mapping[str, Mapping[str, Answer]]) -> dict[str, list[Answer]]:
    """The answers to each example of which no label has more than half, of two people or more.

    `held`: as for `agreements`; skipped answers do not count. The last answer is the last one here,
    too, and the one that counts where no label has more than half. What somebody decided is none.
    """
    found: dict[str, list[Answer]] = {}
    for name, answers in held.items():
        told = [one for one in answers.values() if not one.skipped]
        if any(one.decides for one in told):
            continue
        agreeing = (sum(_f1(one.labels, other.labels) == 1 for other in told) for one in told)
        if len(told) > 1 and 2 * max(agreeing) <= len(told):
            found[name] = told
    return found


def decided(held: Mapping[str, Mapping[str, Answer]]) -> dict[str, list[Answer]]:
    """The answers to each example that somebody decided; the last answer is the one that counts.

    `held`: as for `agreements`; skipped answers do not count.
    """
    found: dict[str, list[Answer]] = {}
    for name, answers in held.items():
        told = [one for one in answers.values() if not one.skipped]
        if any(one.decides for one in told):
            found[name] = told
    return found


def shown_disagreements(
    held: Mapping[str, Mapping[str, Answer]], index: Mapping[str, int]
) -> dict[str, Any]:
    """How many disagreements there are and were decided, and the first as the page lists them.

    `index`: of each example, by its name.
    """
    found, settled = disagreements(held), decided(held)
    return {
        "count": len(found),
        "shown": _listed(found, index),
        "decided": len(settled),
        "settled": _listed(settled, index),
    }


def _listed(
    found: Mapping[str, Sequence[Answer]], index: Mapping[str, int]
) -> list[dict[str, Any]]:
    return [
        {
            "index": index[name],
            "name": name,
            "said": [
                {"by": one.by, "labels": [plain(of) for of in one.labels], "decides": one.decides}
                for one in told
            ],
        }
        for name, told in list(found.items())[:_MOST_SHOWN]
    ]


def _between(one: str, other: str, found: Sequence[tuple[Answer, Answer]]) -> Agreement:
    labels = [label for pair in found for answer in pair for label in answer.labels]
    if labels and all(isinstance(label, Choice) for label in labels):
        ours, theirs = ([pair[at].labels[0].name for pair in found] for at in (0, 1))
        kind, interval = "kappa", kappa(ours, theirs)
    else:
        kind, interval = "F1", _mean([_f1(a.labels, b.labels) for a, b in found])
    value, low, high = interval
    return Agreement(
        one=one, other=other, examples=len(found), kind=kind, value=value, low=low, high=high
    )


def _mean(values: Sequence[float]) -> Bounds:
    """The mean with the 95 % interval of the normal distribution; no interval of few values."""
    value = fmean(values)
    if len(values) < 10:
        return value, None, None
    error = _Z * stdev(values) / math.sqrt(len(values))
    return value, max(value - error, 0.0), min(value + error, 1.0)


def _f1(ours: Sequence[Label], theirs: Sequence[Label]) -> float:
    """The share of marks that both made: 1 where neither made one.

    Those that are most alike are taken as one mark first, so that the order in which people marked
    them counts for nothing.
    """
    if not ours and not theirs:
        return 1.0
    alike_AB = _alike(ours, theirs)
    # Among pairs that are equally alike the marks decide, the same whoever is the first person.
    pairs = sorted(
        (-alike_AB[a, b], sorted((_key(ours[a]), _key(theirs[b]))), a, b)
        for a, b in np.argwhere(alike_AB > 0).tolist()
    )
    left, right = set(range(len(ours))), set(range(len(theirs)))
    same = 0
    for _, _, a, b in pairs:
        if a in left and b in right:
            left.remove(a)
            right.remove(b)
            same += 1
    return 2 * same / (len(ours) + len(theirs))


def _alike(ours: Sequence[Label], theirs: Sequence[Label]) -> np.ndarray:
    """How alike each two marks are, 0 to 1: A×B; 0 where they are not the same."""
    equal_AB = np.array([[_is_equal(a, b) for b in theirs] for a in ours], bool)
    equal_AB = equal_AB.reshape(len(ours), len(theirs))
    first = [one for one in ours if isinstance(one, Box)]
    second = [one for one in theirs if isinstance(one, Box)]
    if len(first) < len(ours) or len(second) < len(theirs):
        return equal_AB.astype(float)
    shared_AB = overlaps(_corners(first), _corners(second))
    return np.where(equal_AB & (shared_AB >= SAME_BOX), shared_AB, 0.0)


def _is_equal(one: Label, other: Label) -> bool:
    """Whether two marks say the same; of boxes, wherever they are."""
    if isinstance(one, Box) and isinstance(other, Box):
        return one.name == other.name
    if isinstance(one, Span) and isinstance(other, Span):
        return (one.start, one.end, one.name) == (other.start, other.end, other.name)
    return one == other


def _corners(boxes: Sequence[Box]) -> np.ndarray:
    rows = [(one.left, one.top, one.width, one.height) for one in boxes]
    return np.array(rows, np.float64).reshape(-1, 4)


def _key(label: Label) -> tuple[object, ...]:
    """What orders marks of a kind."""
    if isinstance(label, Box):
        return label.left, label.top, label.width, label.height, label.name
    return (label.start, label.end, label.name) if isinstance(label, Span) else (label.name,)


def worst(found: Iterable[Agreement]) -> Agreement | None:
    """The pair that agrees least; None where no pair has a value."""
    known = [one for one in found if one.value is not None]
    return min(known, key=lambda one: one.value or 0.0, default=None)
