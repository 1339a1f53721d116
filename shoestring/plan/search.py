"""The search: files without training within seconds, then rounds of training."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from shoestring.kit import compressible
from shoestring.kit.clock import TimeUpError
from shoestring.meters import Operations, UnmeasuredWarning
from shoestring.plan.arms import speed_limits
from shoestring.plan.moves import LARGE, Move, moves, sooner
from shoestring.plan.rounds import Rounds
from shoestring.plan.standing import Standing
from shoestring.plan.training_time import step_seconds, steps_of_a_pass
from shoestring.plan.untrained import Untrained

FIRST_SHARE, FIRST_SECONDS = 0.15, 60.0
"""The most time for files without training: a share of all, and seconds."""


NOTHING_TO_GAIN = (
    "  the search ends before its time: every limit is kept, and nothing of the score is lost; "
    "tighter limits, or a limit on the drop alone, look for smaller files"
)


@dataclass
class Search:
    """Makes trials until the time is up or nothing is left to gain.

    `standing`: has the experiments, the budget and the clock.
    `share`: the index of this process among those that search together, and how many there are.
    `moves`: that may be tried.
    `step`: seconds of a step of taught training, and `passes`, steps of a pass over the training
        data; `look` finds both.
    """

    standing: Standing
    share: tuple[int, int] = (0, 1)
    moves: Sequence[Move] = field(default_factory=moves)
    step: float = 0.0
    passes: int = 1

    def __post_init__(self) -> None:
        self.untrained = Untrained(self.standing, self.moves)

    def look(self, until: float) -> None:
        """Note the trials that are known and the seconds of a step, and make the first files.

        Files without training are made until so many seconds of the command are gone. Of a large
        network none are made, since one takes longer.
        """
        experiments, clock = self.standing.experiments, self.standing.clock
        self.standing.begin(experiments.trials())
        self.step = step_seconds(experiments.model, experiments.taught, experiments.seed)
        self.passes = steps_of_a_pass(experiments.sealed, experiments.model)
        shapes = [
            (weight.raw[0].numel(), len(weight.raw))
            for weight in compressible(experiments.model, "compress")
        ]
        products = self._products(len(shapes))
        self.untrained.moves = sooner(self.moves, products, shapes, clock.seconds)
        if products >= LARGE:
            return
        with self._while_there_is_time():
            self.untrained.first_files(max(until - clock.gone, 0.0))

    def _products(self, layers: int) -> int:
        """Operations on an example times layers; 0 where they cannot be counted."""
        experiments, counted = self.standing.experiments, None
        with warnings.catch_warnings(), suppress(Exception):  # it is only a hint
            warnings.simplefilter("ignore", UnmeasuredWarning)
            counted = Operations()(experiments.reference, experiments.sealed).operations
        return (counted or 0) * layers

    def run(self) -> None:
        """Search until the time is up or nothing is left to gain."""
        clock = self.standing.clock
        with self._while_there_is_time():
            seconds = min(FIRST_SHARE * clock.seconds, FIRST_SECONDS)
            # Where speed is limited, files without training rarely keep the budget.
            tried = self.untrained.first_files(
                seconds, 0.0 if speed_limits(self.standing.budget) else seconds
            )
            best = min(tried, key=lambda pair: self.standing.key(pair[1]), default=None)
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
        if self.standing.nothing_to_gain and not clock.is_up:
            self.standing.say(NOTHING_TO_GAIN)

    @contextmanager
    def _while_there_is_time(self) -> Iterator[None]:
        """A context in which TimeUpError ends what runs, and is reported; all else goes on."""
        try:
            yield
        except TimeUpError as error:
            self.standing.say(f"  {error}")
