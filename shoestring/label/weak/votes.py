"""Labelling functions and their votes: a class for each example, or none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from shoestring.label.example import Example

ABSTAIN = -1
"""The vote of a rule that says nothing of an example."""
Rule = Callable[[Any], "int | str | None"]
"""A labelling function: an example to its class, by number or name, or None where it abstains."""


class RuleError(RuntimeError):
    """A rule raised an exception, or voted for a class that there is none of; both are named."""


@final
@dataclass(frozen=True, kw_only=True)
class Votes:
    """What each rule says of each example.

    `matrix`: N rows of F numbers of classes, 0 to C-1, or `ABSTAIN`.
    `rules`: their names, F.
    `classes`: their names, C.

    Raises ValueError for rows of another length, and for votes that are no class.
    """

    matrix: tuple[tuple[int, ...], ...]
    rules: tuple[str, ...]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("there are no rules, so nothing votes: give one or more")
        if len(self.classes) < 2:
            raise ValueError(f"the classes are {self.classes}: rules tell two or more apart")
        for place, row in enumerate(self.matrix):
            if len(row) != len(self.rules):
                raise ValueError(
                    f"example {place} has {len(row)} votes of {len(self.rules)} rules: give "
                    "ABSTAIN where a rule says nothing"
                )
            if not all(ABSTAIN <= vote < len(self.classes) for vote in row):
                raise ValueError(
                    f"example {place} has the votes {row}: a vote is a number of one of the "
                    f"{len(self.classes)} classes, or ABSTAIN"
                )

    def __repr__(self) -> str:
        digest = hashlib.sha256(repr(self.matrix).encode()).hexdigest()[:12]
        return f"<votes of {len(self.rules)} rules on {len(self.matrix)} examples, {digest}>"

    def array(self) -> np.ndarray:
        """The matrix, N×F (int64)."""
        return np.array(self.matrix, dtype=np.int64).reshape(-1, len(self.rules))

    def covered(self) -> np.ndarray:
        """Whether some rule votes on an example, N (bool)."""
        return (self.array() != ABSTAIN).any(1)

    def at(self, places: Sequence[int] | np.ndarray) -> Votes:
        """The votes on some of the examples, in this order."""
        rows = tuple(self.matrix[int(place)] for place in places)
        return Votes(matrix=rows, rules=self.rules, classes=self.classes)


def votes_of(
    rules: Mapping[str, Rule] | Sequence[Rule],
    examples: Sequence[Any],
    classes: Sequence[str],
    names: Sequence[str] | None = None,
) -> Votes:
    """The votes of rules on examples.

        def praises(example):
            return "pos" if "superb" in example.text else None

        votes = votes_of([praises], collection.examples, ("neg", "pos"))

    `rules`: called with one example each; by name, or named after the functions.
    `examples`: whatever the rules take: Example, texts, tensors.
    `classes`: their names, in the order of their numbers.
    `names`: of the examples, for errors; None for their numbers, or `name` of an Example.

    Raises RuleError where a rule raises or votes for no class, with the rule, the example and the
    exception; ValueError for two rules of one name.
    """
    named = _named(rules)
    numbers = {name: number for number, name in enumerate(classes)}
    rows = []
    for place, example in enumerate(examples):
        row = []
        for name, rule in named.items():
            try:
                vote = rule(example)
            except Exception as error:
                raise RuleError(
                    f"the rule {name!r} raised {type(error).__name__} ({error}) on "
                    f"{_called(example, place, names)}: have it return None where it cannot say"
                ) from error
            row.append(_number(vote, numbers, name, _called(example, place, names)))
        rows.append(tuple(row))
    return Votes(matrix=tuple(rows), rules=tuple(named), classes=tuple(classes))


def _named(rules: Mapping[str, Rule] | Sequence[Rule]) -> dict[str, Rule]:
    if isinstance(rules, Mapping):
        return dict(rules)
    found: dict[str, Rule] = {}
    for rule in rules:
        name = getattr(rule, "__name__", None) or repr(rule)
        if name in found:
            raise ValueError(f"two rules are named {name!r}: give them by name, in a mapping")
        found[name] = rule
    return found


def _number(vote: Any, numbers: Mapping[str, int], rule: str, example: str) -> int:
    if vote is None:
        return ABSTAIN
    number = numbers.get(vote, -2) if isinstance(vote, str) else vote
    is_whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    if not is_whole or not ABSTAIN <= int(number) < len(numbers):
        raise RuleError(
            f"the rule {rule!r} votes {vote!r} on {example}: the classes are "
            f"{', '.join(map(repr, numbers))}; None abstains"
        )
    return int(number)


def _called(example: Any, place: int, names: Sequence[str] | None) -> str:
    if names is not None:
        return f"the example {names[place]!r}"
    return f"the example {example.name!r}" if isinstance(example, Example) else f"example {place}"
