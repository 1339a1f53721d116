"""Successive halving: many networks are trained for a short time, and the better ones longer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

from shoestring.kit import Trial


@final
@dataclass(frozen=True)
class Halving:
    """Which network is trained longer, as soon as there is one that deserves it.

    Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2
    (ASHA). No process waits for another.
    Differs: a longer training begins anew, since its rate falls along a curve of its own.

    `shares`: of a full training, rising, the last one 1. `(1.0,)` trains every network fully.
    `kept`: the share of the networks of one length that is trained for the next, above 0, below 1.

    Raises ValueError for numbers out of range.
    """

    shares: tuple[float, ...] = (1 / 9, 1 / 3, 1.0)
    kept: float = 1 / 3

    def __post_init__(self) -> None:
        shares = self.shares
        if not shares or sorted(set(shares)) != list(shares) or shares[0] <= 0 or shares[-1] != 1:
            raise ValueError(
                f"shares of a full training {shares!r}: give rising numbers above 0, the last 1.0"
            )
        if not 0 < self.kept < 1:
            raise ValueError(f"the share that is kept is {self.kept!r}: give above 0 and below 1")

    def next(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, float]]:
        """The trials that deserve a longer training, with its share; the longest ones first."""
        for share, longer in reversed(list(zip(self.shares, self.shares[1:], strict=False))):
            here = [one for one in trials if one.fidelity == share and one.score is not None]
            here.sort(key=lambda one: -(one.score or 0.0))
            further = {one.technique for one in trials if one.fidelity >= longer}
            for trial in here[: int(self.kept * len(here) + 1e-9)]:
                if trial.technique not in further:
                    yield trial, longer

    def full_trainings(self, networks: int) -> float:
        """About how many full trainings the search of so many networks takes."""
        total, count = 0.0, float(networks)
        for share in self.shares:
            total += share * count
            count *= self.kept
        return total
