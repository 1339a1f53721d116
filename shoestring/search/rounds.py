"""Successive halving of candidates: few examples for many, more for the better third."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

from shoestring.artifact.progress import progress
from shoestring.search.space import Picks


class CollapsedError(RuntimeError):
    """The scores of candidates do not tell them apart; the message says what to do."""


@dataclass(frozen=True)
class Standing:
    """How a candidate did in the last round that it reached.

    `score`: in that round, higher is better.
    `examples`: of the validation split, by which it was scored; None: all.
    """

    picks: Picks
    score: float
    examples: int | None


@final
@dataclass(frozen=True)
class RankingRounds:
    """All candidates are scored on a few examples, the better third on more, and so on.

    Source: Jamieson & Talwalkar 2016, figure 1 (successive halving); Li et al. 2018, section 3 (a
    third is kept).
    Differs: the resource is validation examples, which the driver may read as training steps.

    `examples`: of each round, rising, 1 or more; None: all there are, in the last round only.
    `kept`: the share of candidates that reaches the next round, above 0, below 1; 1 at least.

    Raises ValueError for numbers out of range.
    """

    examples: tuple[int | None, ...] = (200, 600, None)
    kept: float = 1 / 3

    def __post_init__(self) -> None:
        numbers = [math.inf if one is None else one for one in self.examples]
        if not numbers or sorted(set(numbers)) != numbers or numbers[0] < 1:
            raise ValueError(
                f"rounds of {self.examples!r} examples: give rising numbers from 1 on, and None "
                "for all examples at most at the end"
            )
        if not 0 < self.kept < 1:
            raise ValueError(f"the share that is kept is {self.kept!r}: give above 0 and below 1")

    def counts(self, candidates: int) -> list[int]:
        """How many candidates each round has."""
        counts = [candidates]
        for _ in self.examples[1:]:
            counts.append(max(1, int(self.kept * counts[-1] + 1e-9)))
        return counts

    def ranked(
        self, candidates: Iterable[Picks], score: Callable[[Picks, int | None], float]
    ) -> list[Standing]:
        """All candidates, the best first: by the round that they reached, then by their score.

        `score`: of a candidate on so many examples; the same ones for all candidates of a round.

        Raises ValueError without candidates and for a score that is NaN, and CollapsedError where
        all of several candidates have the same score in the first round.
        """
        left = list(dict.fromkeys(candidates))
        if not left:
            raise ValueError("there are no candidates: give one or more")
        done, counts = list[Standing](), self.counts(len(left))
        with progress("scoring candidates", sum(counts)) as advance:
            for number, (examples, count) in enumerate(zip(self.examples, counts, strict=True)):
                scored = list[Standing]()
                for picks in left[:count]:
                    scored.append(Standing(picks, score(picks, examples), examples))
                    if math.isnan(scored[-1].score):
                        raise ValueError(
                            f"the score of {picks} is NaN on {examples or 'all'} examples: see "
                            "what the task's score does with such answers"
                        )
                    advance(f"{scored[-1].score:.4f}")
                scored.sort(key=lambda one: -one.score)
                if number == 0 and len(scored) > 1 and scored[0].score == scored[-1].score:
                    raise CollapsedError(
                        f"all {len(scored)} candidates score {scored[0].score:.4g} on "
                        f"{examples or 'all'} examples: nothing tells them apart. Give more "
                        "examples in the first round, or train the supernet for more steps"
                    )
                done = scored + done[count:]
                left = [one.picks for one in scored]
        return done
