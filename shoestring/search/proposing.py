"""Proposals: networks that are new and keep the limits, from a searcher that hears of results."""

from __future__ import annotations

import random
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import final

from shoestring.core import seeded
from shoestring.kit import Trial
from shoestring.search.limits import Feasible
from shoestring.search.searchers import Searcher
from shoestring.search.space import Picks
from shoestring.search.zero_cost import ZeroCost

ASKED = 30
"""How often a searcher is asked for a network that is new and keeps the limits."""


class SearchWarning(UserWarning):
    """A search does not do what it should; the message says why, and what to do."""


@final
@dataclass(frozen=True)
class Screening:
    """A first round without training: of several proposals, the one with the best score is tried.

    Source: Abdelfattah et al. 2021, section 4.2.1 (warm-up and move proposal by a zero-cost score).

    `score`: of an untrained network.
    `of`: how many networks are proposed for each that is trained, 2 or more.

    Raises ValueError for a number out of range.
    """

    score: ZeroCost
    of: int = 8

    def __post_init__(self) -> None:
        if self.of < 2:
            raise ValueError(f"screening of {self.of!r} networks: give 2 or more")


class Proposals:
    """What a searcher proposes, without what breaks a limit or was tried.

    `searcher`: is asked.
    `screening`: of several proposals; None takes each as it comes.
    `shortest`: the share of a training after which it hears how good a network is.
    `seed`: of its draws.
    """

    def __init__(
        self,
        feasible: Feasible,
        searcher: Searcher,
        screening: Screening | None,
        shortest: float,
        seed: int,
    ) -> None:
        self.feasible, self.searcher, self.shortest = feasible, searcher, shortest
        self.screening, self.seed = screening, seed
        self._course, self._draw = searcher.begun(feasible.space, seed), random.Random(seed)
        self._told, self._refused, self._has_collapsed = set[str](), set[str](), False

    def tell(self, trials: Sequence[Trial]) -> None:
        """Tell the searcher what is new among these; a network that failed is as bad as the worst.

        One whose file breaks a limit is refused, however good it is.

        `trials`: of this process and of others.
        """
        scores = [one.score for one in trials if one.score is not None]
        for trial in trials:
            picks = picks_of(trial.technique)
            if self.feasible.refuses(picks, trial.cost):
                if trial.technique not in self._refused:
                    self._refused.add(trial.technique)
                    self._told.add(trial.technique)
                    self._course.refused(picks)
                continue
            if trial.fidelity != self.shortest or trial.technique in self._told or not scores:
                continue
            self._told.add(trial.technique)
            reward = min(scores) if trial.score is None else trial.score
            self._course.tell(picks, reward)

    def next(self, known: Collection[str]) -> Picks | None:
        """A network whose code is not among those known; None where none is left.

        Picks and architectures that differ may make one network, as in a stage without layers.
        Raises BudgetError where none keeps the limits.
        """
        if self.screening is None:
            return self._one(known)
        seen, some = set(known), list[Picks]()
        while len(some) < self.screening.of and (picks := self._one(seen)) is not None:
            some.append(picks)
            seen.add(self.feasible.space.made(picks).code())
        return max(some, key=self._score, default=None)

    def _score(self, picks: Picks) -> float:
        """The score of a network without training."""
        assert self.screening is not None
        with seeded(self.seed):
            network = self.feasible.space.made(picks).network()
        return self.screening.score(network, self.feasible.task, self.seed)

    def _one(self, known: Collection[str]) -> Picks | None:
        repeated, made = 0, self.feasible.space.made
        for _ in range(ASKED):
            picks = self._course.ask()
            if made(picks).code() in known:
                repeated += 1
            elif self.feasible.keeps(picks):
                return picks
            else:
                self._course.refused(picks)
        if repeated > ASKED // 2 and len(known) < self.feasible.space.count / 2:
            self._warn(repeated)
        for _ in range(ASKED):
            if made(picks := self.feasible.drawn(self._draw)).code() not in known:
                return picks
        return None

    def _warn(self, repeated: int) -> None:
        """Warn, once, of a searcher that only repeats itself."""
        if not self._has_collapsed:
            warnings.warn(
                f"{self.searcher!r} proposed networks that it had tried, {repeated} times of "
                f"{ASKED}: it has collapsed, and others are drawn at random instead. More "
                "uncertainty, or a larger population, would keep it searching",
                SearchWarning,
                stacklevel=4,
            )
        self._has_collapsed = True


def picks_of(technique: str) -> Picks:
    """The picks of a trial by its technique, which is their repr."""
    return tuple(int(one) for one in technique.strip("()").split(",") if one.strip())
