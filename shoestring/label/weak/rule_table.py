"""What each rule covers, where it meets others, and how often it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from shoestring.artifact.html import table as as_html
from shoestring.label.weak.votes import ABSTAIN, Votes


@final
@dataclass(frozen=True, kw_only=True)
class RuleRow:
    """A rule.

    `name`: of the rule.
    `votes_for`: the classes that it votes for at least once.
    `coverage`: the share of examples on which it votes, 0 to 1.
    `overlap`: the share of examples on which it and another rule vote.
    `conflict`: the share of examples on which another rule votes for another class.
    `accuracy`: the share of its votes that are right, 0 to 1; None where no true label is known.
    `checked`: on how many true labels that rests.
    """

    name: str
    votes_for: tuple[str, ...]
    coverage: float
    overlap: float
    conflict: float
    accuracy: float | None
    checked: int


@final
@dataclass(frozen=True)
class RuleTable:
    """A row for each rule.

    `rows`: in the order of the rules.
    `covered`: the share of examples on which some rule votes, 0 to 1.
    `notes`: rules that never vote, that only contradict, or that are worse than chance.
    """

    rows: tuple[RuleRow, ...]
    covered: float
    notes: tuple[str, ...]

    def cells(self) -> list[list[str]]:
        """The rows as text."""
        return [
            [
                row.name,
                ", ".join(row.votes_for),
                f"{row.coverage:.1%}",
                f"{row.overlap:.1%}",
                f"{row.conflict:.1%}",
                "" if row.accuracy is None else f"{row.accuracy:.1%} of {row.checked:,}",
            ]
            for row in self.rows
        ]

    def __str__(self) -> str:
        lines = [list(HEADS), *self.cells()]
        widths = [max(len(line[place]) for line in lines) for place in range(len(HEADS))]
        told = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([*told, f"all together: {self.covered:.1%}", *self.notes])

    def _repr_html_(self) -> str:
        return as_html(list(HEADS), self.cells())


HEADS = ("rule", "votes for", "coverage", "overlap", "conflict", "right")


def rule_table(votes: Votes, truth: Sequence[int | None] | None = None) -> RuleTable:
    """How much each rule covers, overlaps and contradicts the others, and how often it is right.

    `truth`: the numbers of the true classes, N, with None where it is not known; None for none.
    Raises ValueError for another number of labels than of examples.
    """
    matrix = votes.array()
    if truth is not None and len(truth) != len(matrix):
        raise ValueError(f"there are {len(truth)} labels for {len(matrix)} examples: give as many")
    given = [None] * len(matrix) if truth is None else list(truth)
    true = np.array([-2 if one is None else one for one in given])
    says = matrix != ABSTAIN
    rows = []
    for place, name in enumerate(votes.rules):
        own, others = says[:, place], np.delete(says, place, 1)
        other_votes = np.delete(matrix, place, 1)
        differs = (others & (other_votes != matrix[:, [place]])).any(1)
        checked = own & (true >= 0)
        right = matrix[checked, place] == true[checked]
        rows.append(
            RuleRow(
                name=name,
                votes_for=tuple(votes.classes[one] for one in np.unique(matrix[own, place])),
                coverage=_share(own),
                overlap=_share(own & others.any(1)),
                conflict=_share(own & differs),
                accuracy=float(right.mean()) if len(right) else None,
                checked=len(right),
            )
        )
    return RuleTable(tuple(rows), _share(says.any(1)), tuple(_notes(rows, votes)))


def _share(mask: np.ndarray) -> float:
    return float(mask.mean()) if len(mask) else 0.0


def _notes(rows: Sequence[RuleRow], votes: Votes) -> list[str]:
    found = []
    for row in rows:
        if not row.coverage:
            found.append(f"{row.name} never votes: it can be deleted, or is misspelt.")
        chance = 1 / len(votes.classes)
        if row.accuracy is not None and row.checked >= 20 and row.accuracy <= chance:
            found.append(f"{row.name} is right in {row.accuracy:.0%}, no more than by chance.")
        if row.coverage and row.conflict == row.coverage:
            found.append(f"Another rule contradicts {row.name} wherever it votes.")
    voted = {name for row in rows for name in row.votes_for}
    for name in votes.classes:
        if name not in voted:
            found.append(f"No rule votes for {name!r}: the rules never find that class.")
    return found
