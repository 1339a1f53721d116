"""Rounds of training: many kinds of chain briefly, the best of them for longer, and so on."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import time

from shoestring.core import Stage
from shoestring.kit import Trial
from shoestring.plan.aiming import FEWEST_STEPS, TAUGHT, Aiming, proposal_of
from shoestring.plan.arms import MARGIN, MIDDLE, Arms, shares_of_smaller, speed_limits
from shoestring.plan.moves import Arm, Move
from shoestring.plan.proposal import Proposal, open_proposals
from shoestring.plan.replacing import Replacing, is_new
from shoestring.plan.untrained import Untrained
from shoestring.plan.verdict import limit_of, quicker, quickness, wants_smaller

ROUNDS = ((0.2, 6), (0.3, 2), (0.85, 1))
"""For each round: its share of the time that is left, and the most kinds of chain that it tries."""
LAST = (0.95, 1)
"""The last round where bytes are not limited."""
TRIALS_AN_ARM = 4
"""About how many untrained trials it takes to aim a kind of chain."""
NEAR = 1.0
"""How much further over the limits, as a logarithm, a kind of chain may be and still go on."""
MOST_MORE = 3
"""How often at most the best is trained again."""
LEAST_MORE = 0.15
"""The share of the time that must be left for that."""
SHRINK = 4.0
"""Times smaller that the next file is to be, where size has no limit."""
MISSED = 1.25
"""Times the limit on bytes that a file may have and still be compared by its score."""


@dataclass
class Rounds:
    """The trainings of a search, after what it tried without.

    `first`: what was tried without training.
    `step`: seconds of a step of taught training.
    `passes`: steps of a pass over the training data.
    `share`: the index of this process among those that search together, and how many there are.
    """

    first: Untrained
    step: float
    passes: int
    share: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        self.standing, self.experiments = self.first.standing, self.first.standing.experiments
        self.budget, self.clock = self.standing.budget, self.standing.clock
        self.aiming = Aiming(self.first, self.step, self.passes)
        self.replacing = Replacing(self.aiming, self._with_structure, bool(self._passed()))

    def _with_structure(self, moves: Sequence[Move]) -> list[Arm]:
        """The kinds of chain that have one of these moves as their structure, if any."""
        others = [move for move in self.first.moves if move.stage is not Stage.STRUCTURE]
        return self._arms([*moves, *others])

    def _arms(self, moves: Sequence[Move] | None = None) -> list[Arm]:
        """The kinds of chain for this budget, the most promising first.

        `moves`: that may be in them; None for those of the search.
        """
        original = self.experiments.original
        limits = self._passed()
        shares: dict[str, float] = {}
        for move in self.first.moves:
            if move.trains:
                continue
            faster = [trial for trial in self.first.of(move) if quicker(trial, original, limits)]
            if faster:
                shares[move.name] = min(quickness(trial, original, limits) for trial in faster)
        speeds = sorted(shares, key=lambda name: shares[name])
        fast = any(
            not self._is_too_slow(trial)
            for move in self.first.moves
            if move.name in shares
            for trial in self.first.of(move)
        )
        known = self.first.moves if moves is None else moves
        return Arms(known, bool(limits), self._large(), speeds, fast, self.first.useless).all()

    def _passed(self) -> list[str]:
        """The limits on speed that the model that came in exceeds."""
        broken = self.standing.verdict(self.experiments.original).broken
        return [name for name in speed_limits(self.budget) if name in broken]

    def _large(self) -> bool:
        """Whether files must have fewer bytes than the model that came in."""
        size = self.experiments.original.cost.bytes or 0
        return wants_smaller(self.budget) or size > (self.standing.most_bytes or math.inf)

    def _look_at_structure(self) -> None:
        """Find the trained moves that make no file faster; they are `useless` from then on.

        Each is tried without training, and only where a limit on speed is exceeded.
        """
        if not self._passed():
            return
        limits = speed_limits(self.budget)
        stages = (Stage.STRUCTURE,) if self._large() else (Stage.STRUCTURE, Stage.NUMBERS)
        for move in self.first.moves:
            if move.stage in stages and move.trains and not self.clock.is_up:
                trial = self.first.attempt(
                    Proposal(techniques=(move.at(MIDDLE, 0),), arm=move.name, dials=(MIDDLE,))
                )
                if (
                    trial is None
                    or trial.score is None
                    or not quicker(trial, self.experiments.original, limits)
                ):
                    self.first.useless.add(move.name)
        if not any(
            quicker(trial, self.experiments.original, limits)
            for trial in self.standing.seen.values()
        ):
            self.standing.say(
                f"  nothing that was tried has less {' or '.join(self._passed())} than the model "
                "that came in"
            )

    def go_on(self) -> None:
        """Finish the trials that a stopped command had begun."""
        kinds = {arm.name: arm for arm in [*self._arms(), *self.replacing.resumed()]}
        for kept in open_proposals(self.experiments.folder, before=time() - self.clock.gone):
            arm = kinds.get(kept["arm"])
            if arm is None or len(kept["dials"]) != len(arm.moves):
                continue
            proposal = proposal_of(arm, kept["dials"], kept["steps"], kept["fidelity"])
            if proposal.name != kept["chain"]:  # it started from a model in memory
                self.standing.say(
                    f"  {arm.name}, which an earlier run had begun from a model in its memory, is "
                    "given up"
                )
                shutil.rmtree(kept["folder"], ignore_errors=True)
            elif self.experiments.known(proposal) is None:
                self.standing.say(f"  going on with {arm.name}, which an earlier run had begun")
                self.first.attempt(proposal, wait=False)

    def train(self) -> None:
        """Train in rounds, each with fewer kinds of chain for longer, until the time is up."""
        self._look_at_structure()
        arms = self._arms()
        arms = arms[self.share[0] :: self.share[1]] or arms
        if not arms and (wants_smaller(self.budget) or not self.replacing.kinds()):
            self.standing.say("  no technique that trains can move what the budget limits")
            return
        if wants_smaller(self.budget):
            self._ever_smaller(arms)
        else:
            self._fewer_for_longer(arms)
        if not self.aiming.begun:
            self.standing.say(
                "  nothing was trained: too little time was left for it, or no structure is fast "
                "enough; --minutes gives more time"
            )
        elif not self.aiming.made:
            self.standing.say(
                "  no training came to a file: `shoestring ledger` says what went wrong with each"
            )

    def _fewer_for_longer(self, arms: list[Arm]) -> None:
        """Aim files at the limits, by fewer kinds of chain in each round (successive halving).

        For budgets that limit a resource of having a model.
        """
        size = self.standing.most_bytes
        # Where bytes are limited, the best is aimed once more afterwards.
        last = LAST if size is None else ROUNDS[-1]
        target = None if size is None else MARGIN * size
        several = self._as_many_as_fit(ROUNDS[0][0], len(arms)) > 1
        rounds = (*ROUNDS[0 if several else 1 : -1], last)
        new: list[Arm] = []
        for number, (share, most) in enumerate(rounds, 1):
            most += len(new) if number < len(rounds) else 0
            results: list[tuple[Arm, Trial]] = []
            most = self._as_many_as_fit(share, min(most, len(arms)))
            ends, before = self.clock.gone + share * self.clock.left, self.aiming.begun
            # A kind of chain that no dial makes fast enough is skipped, and the next is trained.
            for arm in arms:
                begun = self.aiming.begun - before
                if self.clock.is_up or begun >= most or (self.clock.gone > ends and results):
                    break
                if number > 1 and self.standing.nothing_to_gain:
                    break
                each = share / (most - begun * share) if number < len(rounds) else share
                trial = self.aiming.train(arm, each, target)
                if trial is not None and trial.score is not None:
                    results.append((arm, trial))
            if results:
                self.standing.refresh()
                self.standing.round_over(
                    f"round {number} of {len(rounds)}",
                    [(arm.name, trial) for arm, trial in results],
                )
                arms = self._promising(results, rounds[min(number, len(rounds) - 1)][0])
                if self.clock.is_up or self.standing.nothing_to_gain:
                    return
            if number == 1 and len(rounds) > 1 and self.share[0] == 0:
                new = self.replacing.after(results)
                arms = [*arms[:1], *new, *arms[1:]] if results else [*new, *arms]
        if arms:
            self._once_more(arms[0])

    def _promising(self, results: Sequence[tuple[Arm, Trial]], share: float) -> list[Arm]:
        """The kinds of chain that go on, the best first.

        `share`: of the time left that the next training gets. Where a new network is among them,
        kinds are compared by what each is expected to come to in that time.
        """
        if any(is_new(arm) for arm, _ in results):
            results = [(arm, self.replacing.foreseen(arm, trial, share)) for arm, trial in results]
        promises = [(arm, self._if_aimed_again(arm, trial)) for arm, trial in results]
        promises.sort(key=lambda pair: (self._is_too_slow(pair[1]), self.standing.key(pair[1])))
        return [arm for arm, trial in promises if self._near(trial, promises[0][1])]

    def _once_more(self, arm: Arm) -> None:
        """Train the best kind of chain again while time is left, aimed at all the bytes allowed."""
        size = self.standing.most_bytes
        for _ in range(MOST_MORE):
            known = len(self.experiments.study.trials())
            if (
                size is None
                or self.clock.left < LEAST_MORE * self.clock.seconds
                or self.standing.nothing_to_gain
            ):
                return
            trial = self.aiming.train(arm, ROUNDS[-1][0], MARGIN * size, least=0.0)
            if (
                trial is None
                or trial.score is None
                or len(self.experiments.study.trials()) == known
            ):
                return
            self.standing.round_over("once more", [(arm.name, trial)])

    def _if_aimed_again(self, arm: Arm, trial: Trial) -> Trial:
        """The trial as if its file had met the limit on bytes, where it missed it by little.

        The next training of its kind is aimed better, so a chain with a better score must not be
        dropped for a few bytes too many.
        """
        size, reached = self.standing.most_bytes, trial.cost.bytes
        if (
            size is None
            or reached is None
            or not size < reached <= MISSED * size
            or not any(move.aims for move in arm.moves)
        ):
            return trial
        cost, flash = replace(trial.cost, bytes=int(size)), limit_of(self.budget, "flash")
        if flash is not None and cost.flash_bytes is not None:
            cost = replace(cost, flash_bytes=min(cost.flash_bytes, int(flash)))
        return replace(trial, cost=cost)

    def _near(self, trial: Trial, best: Trial) -> bool:
        """Whether longer training might bring a trial ahead of the best of its round."""
        mine, first = self.standing.verdict(trial), self.standing.verdict(best)
        slower = self._is_too_slow(trial) > self._is_too_slow(best)
        return (
            not slower
            and len(mine.broken) <= len(first.broken)
            and mine.excess <= first.excess + NEAR
        )

    def _is_too_slow(self, trial: Trial) -> bool:
        """Whether a trial breaks a limit on speed, which longer training does not mend."""
        return not set(self.standing.verdict(trial).broken).isdisjoint(speed_limits(self.budget))

    def _as_many_as_fit(self, share: float, most: int) -> int:
        """How many kinds of chain get `FEWEST_STEPS` steps each within a share of the time."""
        seconds = share * max(self.clock.left, 0)
        each = FEWEST_STEPS * self.step * TAUGHT + TRIALS_AN_ARM * self.first.overhead()
        return max(1, min(most, int(seconds / each)))

    def _ever_smaller(self, arms: Sequence[Arm]) -> None:
        """Make ever smaller files, for budgets that limit no resource of having a model.

        The bytes are searched between the smallest file that keeps the budget and the largest that
        does not. The first files are made by several kinds of chain, where there is time; then the
        best goes on alone.
        """
        target = (
            (self.standing.best.cost.bytes or 1) / SHRINK if self.standing.best is not None else 1.0
        )
        kept: float | None = None
        lost: float | None = None
        shares = shares_of_smaller(lambda share: self.aiming.steps(arms[0], share))
        others, arms = arms, arms[: self._as_many_as_fit(shares[0], 3) if len(shares) > 1 else 1]
        for number, share in enumerate(shares, 1):
            results: list[tuple[Arm, Trial]] = []
            for arm in arms:
                if self.clock.is_up or self.aiming.steps(arm, share / len(arms)) < 10:
                    break
                trial = self.aiming.train(arm, share / len(arms), target)
                if trial is not None and trial.score is not None:
                    results.append((arm, trial))
            if not results:  # they diverged, or no time was left: try another kind
                others = [arm for arm in others if arm not in arms]
                arms = others[:1]
                continue
            arm, trial = min(results, key=lambda pair: self.standing.key(pair[1]))
            arms = [arm]
            size = float(trial.cost.bytes or target)
            if self.standing.fits(trial):
                kept, lost = size, lost if lost is None or lost < size else None
            else:
                lost = size
            self.standing.round_over(
                f"round {number} of {len(shares)}", [(arm.name, trial) for arm, trial in results]
            )
            if lost is None:
                target = size / (SHRINK if number == 1 else 2.0)
            elif kept is None:
                target = lost * 2.0
            else:
                target = math.sqrt(lost * kept) if kept > lost else kept * 0.8
