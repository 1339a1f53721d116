"""When a search tries a new network: where what it has thinned fails, and time is left to train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from shoestring.core import seeded
from shoestring.core.budget import is_of_score
from shoestring.distill import Replace
from shoestring.kit import Trial
from shoestring.plan.aiming import TAUGHT, Aiming
from shoestring.plan.moves import Arm, Move
from shoestring.plan.proposal import open_proposals
from shoestring.plan.replacements import replacements
from shoestring.plan.training_time import step_seconds, steps_of_a_pass
from shoestring.plan.verdict import BYTES

LEAST_PASSES, LEAST_STEPS = 4.0, 300
"""Passes over the training data, and steps, without which a new network is not worth a try.

After two passes over CIFAR-10 it was far behind its teacher, after five over SST-2 it was not.
"""
LAST_SHARE = 0.6
"""About the share of the time left after the first round that the last training gets."""
CHEAPEST_STEP = 0.3
"""Times a step of the original that a step of a new network takes at least: the teacher runs too.
"""
COUNTED = 0.02
"""The most share of the time left for counting the steps of a pass."""
LOST = 0.02
"""Share of the score whose loss counts as failing where the budget does not limit the score."""
FAR = 1.25
"""Times the limit on bytes beyond which thinning counts as failing."""
NEW, THINNED = 0.7, 0.3
"""Exponents by which what is lost falls with the steps: of a new network and of a thinned one.

Guesses, of which none is measured.
"""


@dataclass
class Replacing:
    """Finds new networks for a model, and compares them with what was thinned.

    `aiming`: of the search, which aims their widths too.
    `arms`: makes the kinds of chain that have one of these moves as their structure.
    `slow`: whether the model that came in exceeds a limit on speed.
    """

    aiming: Aiming
    arms: Callable[[Sequence[Move]], list[Arm]]
    slow: bool

    def __post_init__(self) -> None:
        self.standing = self.aiming.first.standing
        self.experiments, self.clock = self.standing.experiments, self.standing.clock
        self._kinds: list[Arm] | None = None
        self._pass = self.aiming.passes

    def kinds(self) -> list[Arm]:
        """A kind of chain for each family of networks that fits the model, the likeliest first."""
        if self._kinds is None:
            self._kinds = []
            for move in replacements(
                self.experiments.model, self.experiments.sealed, say=self.standing.say
            ):
                made = [arm for arm in self.arms([move]) if move in arm.moves]
                self._kinds += made[:1]
        return self._kinds

    def resumed(self) -> list[Arm]:
        """The same, where a stopped command was training one of them; else none."""
        notes = open_proposals(self.experiments.folder)
        return self.kinds() if any(note["arm"].startswith("Replace ") for note in notes) else []

    def after(self, results: Sequence[tuple[Arm, Trial]]) -> list[Arm]:
        """The new network to try after a first round of training, as a list of one or none.

        It is the first family of which some width keeps the limits on speed. None is tried where
        the round came to a file that does, where time is too short, or where none fits.
        """
        if self.clock.is_up or not self._failed(results) or not self._suffices(CHEAPEST_STEP):
            return []
        # The first look at the model counted for a second, which may not reach the end of a pass.
        counting = COUNTED * self.clock.left
        self._pass = steps_of_a_pass(
            self.experiments.sealed, self.experiments.model, seconds=counting
        )
        for arm in self.kinds():
            if self.clock.is_up:
                return []
            dials = self.aiming.fast_enough(arm)
            if dials is None:
                continue
            self.aiming.step_seconds[arm.name] = each = self._step(arm, dials)
            if not self._suffices(each / max(self.aiming.step, 1e-9)):
                continue
            self.standing.say(
                f"  nothing that was thinned keeps the budget so far: {arm.name} is tried beside it"
            )
            return [arm]
        return []

    def _failed(self, results: Sequence[tuple[Arm, Trial]]) -> bool:
        """Whether what was trained will break limits, also after the longest training.

        Not where only bytes are too many by a little: the next training is aimed better.
        """
        if not results:
            return True
        size = self.standing.most_bytes
        foreseen = [self.foreseen(arm, trial, LAST_SHARE) for arm, trial in results]
        best = min(foreseen, key=self.standing.key)
        if size is not None and (best.cost.bytes or 0) > FAR * size:
            return True
        if not self.slow:
            return False
        if set(self.standing.verdict(best).broken) - set(BYTES):
            return True
        base, limits = self.experiments.base, self.standing.budget
        limited = limits.drop is not None or limits.score is not None
        limited = limited or any(map(is_of_score, limits.named))
        return not limited and base - (best.score or 0.0) > LOST * abs(base)

    def _suffices(self, share: float) -> bool:
        """Whether the last training has enough steps, each `share` times a step of the original."""
        seconds = LAST_SHARE * max(self.clock.left, 0.0)
        steps = seconds / max(share * self.aiming.step, 1e-9)
        return steps >= max(LEAST_PASSES * self._pass, LEAST_STEPS)

    def _step(self, arm: Arm, dials: Sequence[float]) -> float:
        """Seconds of a step of a new network that the model teaches."""
        [technique] = [one for one in arm.chain(dials, 0) if isinstance(one, Replace)]
        seed = self.experiments.seed
        with seeded(seed):
            new = technique(self.experiments.model, self.experiments.sealed)
        return TAUGHT * step_seconds(new, self.experiments.taught, seed)

    def foreseen(self, arm: Arm, trial: Trial, share: float) -> Trial:
        """The trial with the score that its kind is expected to have after a longer training.

        What is lost falls as a power of the steps. It does so faster for a new network, which has
        everything to learn, than for a thinned one.

        `share`: of the time that is left, which the longer training gets.
        """
        steps = next(
            (of.steps for one, of in self.aiming.made.get(arm.name, ()) if one is trial), 0
        )
        lost = self.experiments.base - (trial.score or 0.0)
        more = self.aiming.steps(arm, share)
        if trial.score is None or not steps or more <= steps or lost <= 0:
            return trial
        expected = lost * (more / steps) ** -(NEW if is_new(arm) else THINNED)
        return replace(trial, score=self.experiments.base - expected)


def is_new(arm: Arm) -> bool:
    """Whether a kind of chain begins with a new network."""
    return any(isinstance(move.technique, Replace) for move in arm.moves)
