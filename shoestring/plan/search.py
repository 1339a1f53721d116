"""The search: a first file in seconds, then rounds of ever longer training on ever fewer kinds of
chain.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from shoestring.kit import compressible
from shoestring.meters import Operations, UnmeasuredWarning
from shoestring.plan.arms import speed_limits
from shoestring.plan.clock import TimeUpError
from shoestring.plan.moves import LARGE, Move, moves, sooner
from shoestring.plan.rounds import Rounds
from shoestring.plan.standing import Standing
from shoestring.plan.training_time import step_seconds, steps_of_a_pass
from shoestring.plan.untrained import Untrained

FIRST_SHARE, FIRST_SECONDS = (
    0.15,
    60.0,
)  # of the time, that goes into files without training at most


@dataclass
class Search:
    """Trials until the time is up or nothing is left to gain.

    `standing` has the experiments, the budget and the clock.
    `share`: of several processes that search together, which this is, and how many there are.
    `step`: seconds of a step of taught training, once `look` was called.
    """

    standing: Standing
    share: tuple[int, int] = (0, 1)
    moves: Sequence[Move] = field(default_factory=moves)
    step: float = 0.0
    passes: int = 1

    def __post_init__(self) -> None:
        self.untrained = Untrained(self.standing, self.moves)

    def look(self, until: float) -> None:
        """Take note of what is known, and of how long a step of training takes.

        Then try files without training until so many seconds of the command are gone, but not of a
        large network, of which one takes longer.
        """
        experiments, clock = self.standing.experiments, self.standing.clock
        self.standing.begin(experiments.trials())
        self.step = step_seconds(experiments.model, experiments.taught, experiments.seed)
        self.passes = steps_of_a_pass(experiments.sealed, experiments.model)
        shapes = [
            (one.raw[0].numel(), len(one.raw))
            for one in compressible(experiments.model, "compress")
        ]
        products = self._products(len(shapes))
        self.untrained.moves = sooner(self.moves, products, shapes, clock.seconds)
        if products >= LARGE:
            return
        with self._while_there_is_time():
            self.untrained.first_files(max(until - clock.gone, 0.0))

    def _products(self, layers: int) -> int:
        """Operations on an example, times layers; 0 where nobody can count them."""
        experiments, counted = self.standing.experiments, None
        with warnings.catch_warnings(), suppress(Exception):  # a hint, no more
            warnings.simplefilter("ignore", UnmeasuredWarning)
            counted = Operations()(experiments.reference, experiments.sealed).operations
        return (counted or 0) * layers

    def run(self) -> None:
        """The search, as far as time goes."""
        clock = self.standing.clock
        with self._while_there_is_time():
            seconds = min(FIRST_SHARE * clock.seconds, FIRST_SECONDS)
            # Where speed is limited, what is not trained most often cannot do.
            tried = self.untrained.first_files(
                seconds, 0.0 if speed_limits(self.standing.budget) else seconds
            )
            best = min(tried, key=lambda one: self.standing.key(one[1]), default=None)
            self.standing.round_over(
                f"without training, {len(tried)} files", [] if best is None else [best]
            )
            self.untrained.between()
            self.untrained.refine()
            if not self.standing.nothing_to_gain and not clock.is_up:
                rounds = Rounds(self.untrained, self.step, self.passes, self.share)
                rounds.go_on()
                rounds.train()
            self.untrained.polish(self.step)

    @contextmanager
    def _while_there_is_time(self) -> Iterator[None]:
        """What is given up within, since the time is up, is said and ends nothing else.

        What was found is delivered all the same.
        """
        try:
            yield
        except TimeUpError as error:
            self.standing.say(f"  {error}")
