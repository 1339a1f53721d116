"""Successive halving: many networks are trained for a short time, and the better ones longer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from shoestring.kit import Trial

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


@final
@dataclass(frozen=True, kw_only=True)
class Halving:
    """Which trial is trained longer, as soon as there is one that deserves it.

    Source: Li et al. 2020, "A system for massively parallel hyperparameter tuning", algorithm 2
    (ASHA). No process waits for another.
    Differs: in a search of networks, a longer training begins anew, since its rate falls along a
    curve of its own. In a tuning, where a training goes on, one that was stopped is not taken up
    again when others turn out worse.

    `factor`: the best of so many go on, and train so many times as long, 2 or more.
    `rungs`: how often a trial may be left behind, 0 or more. With 2 and a factor of 3, after a
        ninth and after a third of a training; with 0 never: everything is trained fully.

    Raises ValueError for numbers out of range.
    """

    factor: int = 3
    rungs: int = 2

    def __post_init__(self) -> None:
        if self.factor < 2 or self.rungs < 0:
            raise ValueError(f"{self!r}: give a factor of 2 or more and 0 rungs or more")

    @property
    def parts(self) -> list[int]:
        """How long the trainings are, rising, in parts of which the shortest has one."""
        return [self.factor**rung for rung in range(self.rungs + 1)]

    @property
    def shares(self) -> list[float]:
        """The same as shares of a full training; the last is 1."""
        return [part / self.parts[-1] for part in self.parts]

    def next(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, float]]:
        """The trials that deserve a longer training, with its share; the longest ones first."""
        for share, longer in reversed(list(zip(self.shares, self.shares[1:], strict=False))):
            here = [one for one in trials if one.fidelity == share and one.score is not None]
            here.sort(key=lambda one: -(one.score or 0.0))
            further = {one.technique for one in trials if one.fidelity >= longer}
            for trial in here[: len(here) // self.factor]:
                if trial.technique not in further:
                    yield trial, longer

    def looks(self, steps: int) -> dict[int, int]:
        """From the step before which a training is judged to the parts that it has by then."""
        *parts, whole = self.parts
        return {max(1, round(steps * part / whole)): part for part in parts}

    def pruner(self) -> BasePruner:
        """Optuna's, which hears of these parts."""
        from optuna.pruners import SuccessiveHalvingPruner

        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=self.factor)
