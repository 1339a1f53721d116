"""How many examples each class has, and how a model treats the groups of an attribute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from shoestring.label.audit.rates import Rate, chance_of_difference, holm, rate


@final
@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """The examples of a class.

    `name`: of the class.
    `count`: how many examples have it.
    `share`: of all examples, 0 to 1.
    `rare`: whether it has less than a tenth of its even share, or fewer than the least examples.
    """

    name: str
    count: int
    share: float
    rare: bool


def balance(labels: Any, names: Sequence[str], *, least: int = 20) -> tuple[ClassCount, ...]:
    """How many examples each class has, the rarest first.

    `labels`: N integers from 0; a negative one where there is none.
    `names`: of the classes.
    `least`: a class with fewer examples is rare.

    Raises ValueError for a label without a name.
    """
    given = np.asarray(labels)
    given = given[given >= 0]
    if len(given) and given.max() >= len(names):
        raise ValueError(
            f"a label is {given.max()}, and there are {len(names)} names: give one for each class"
        )
    counts = np.bincount(given, minlength=len(names))
    even = len(given) / max(len(names), 1)
    rows = [
        ClassCount(
            name=name,
            count=int(count),
            share=float(count) / max(len(given), 1),
            rare=bool(count < max(even / 10, min(least, even))),
        )
        for name, count in zip(names, counts, strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (row.count, row.name)))


@final
@dataclass(frozen=True, kw_only=True)
class GroupRate:
    """A rate in one group of an attribute, beside all other groups.

    `group`: the value of the attribute.
    `what`: "errors", "missed CLASS" (of its examples), "labelled CLASS" or "predicted CLASS".
    `rate`, `rest`: in the group and in all others.
    `chance`: of a difference like this by luck, adjusted for the number of rates.
    """

    group: str
    what: str
    rate: Rate
    rest: Rate
    chance: float


def group_rates(
    predictions: Any,
    labels: Any,
    attribute: Sequence[str],
    names: Sequence[str],
    *,
    least: int = 10,
) -> tuple[GroupRate, ...]:
    """How a model and its labels treat the groups of an attribute, the surest differences first.

    For each group: the rate of errors; of each class the share of its examples that is missed, the
    share of the group that has this label, and the share that the model gives it. Which of these
    ought to be equal is for you to say: they cannot all be.

    `predictions`, `labels`: N integers from 0, of examples that the model was not trained on.
    `attribute`: its value in each example, N texts; "" where it is unknown, which is left out.
    `names`: of the classes.
    `least`: rates of fewer examples, inside or outside, are left out.

    Source: Hardt, Price & Srebro 2016, "Equality of opportunity in supervised learning", for the
    missed examples; Wilson's intervals; Fisher's exact test with Holm's correction.
    Raises ValueError for lengths that differ, and for an attribute with a single value.
    """
    said, given = np.asarray(predictions), np.asarray(labels)
    groups = np.asarray(attribute, dtype=str)
    if not said.shape == given.shape == groups.shape:
        raise ValueError(
            f"there are {said.size} predictions, {given.size} labels and {groups.size} values of "
            "the attribute: give one of each for every example"
        )
    known = [str(one) for one in np.unique(groups) if one]
    if len(known) < 2:
        raise ValueError(
            f"the attribute has {'no value' if not known else f'the single value {known[0]!r}'}: "
            "groups can be compared where there are two or more"
        )
    tested = []
    for group in known:
        inside, outside = groups == group, (groups != group) & (groups != "")
        for what, hit, of in _rates(said, given, names):
            a, b = hit[inside & of], hit[outside & of]
            if min(len(a), len(b)) >= least:
                tested.append((group, what, a, b))
    chances = [
        chance_of_difference(int(a.sum()), len(a), int(b.sum()), len(b)) for *_, a, b in tested
    ]
    rows = [
        GroupRate(
            group=group,
            what=what,
            rate=rate(int(a.sum()), len(a)),
            rest=rate(int(b.sum()), len(b)),
            chance=float(adjusted),
        )
        for (group, what, a, b), adjusted in zip(tested, holm(chances), strict=True)
    ]
    return tuple(sorted(rows, key=lambda row: (row.chance, -abs(row.rate.value - row.rest.value))))


def _rates(said: np.ndarray, given: np.ndarray, names: Sequence[str]) -> Any:
    """(what, hits, of which examples) for each rate."""
    everything = np.ones(len(given), bool)
    yield "errors", said != given, everything
    for number, name in enumerate(names):
        yield f"missed {name}", said != number, given == number
        yield f"labelled {name}", given == number, everything
        yield f"predicted {name}", said == number, everything
