"""Rounds of training: many kinds of chain for a short time, the best of them for longer, the best
of these for what is left.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import time
from typing import Any

from shoestring.core import Stage, Technique
from shoestring.kit import Trial
from shoestring.plan.arms import (
    MARGIN,
    MIDDLE,
    Arms,
    bytes_place,
    default_dials,
    gentlest,
    shares_of_smaller,
    speed_limits,
)
from shoestring.plan.moves import Arm, Move, round_steps
from shoestring.plan.proposal import Proposal, open_proposals
from shoestring.plan.untrained import Untrained
from shoestring.plan.verdict import judge, limit_of, quicker, quickness, wants_smaller

ROUNDS, LAST = ((0.2, 6), (0.3, 2), (0.85, 1)), (0.95, 1)
"""Of the time that is left, what a round may take, and how many kinds of chain it tries at most.

The last one where bytes are not limited.
"""
FEWEST, FEWEST_STEPS = (
    5,
    60,
)  # of training, for a trial to tell anything, and for a kind of chain to be tried at all
TRIALS_AN_ARM = 4  # without training, that it takes to aim a kind of chain, about
MOST_PASSES, MOST_STEPS = (
    200,
    4000,
)  # over the training data, and in steps where that is more, in one trial
TAUGHT = 1.15  # how much longer a step within a technique takes than a plain taught one
CLOSE = (
    0.07  # to a limit on milliseconds, as a logarithm, that a file is timed again before it decides
)
LOOKED_AGAIN = 3  # times as long, then
# how much further over the limits, as a logarithm, a kind of chain may be that is tried again
NEAR = 1.0
MOST_MORE, LEAST_MORE = (
    3,
    0.15,
)  # how often the best is trained again, and the share of the time that must be left for it
SHRINK = 4.0  # how much smaller the next file is to be, where size has no limit
# times the bytes that a kind of chain was aimed at, that it may have and still be compared by its
# score
MISSED = 1.25
# of the bytes that are aimed at, that a model must have for its training to go on towards them
GROWN = 0.8
SLOWER = 3.0  # by how much less a training that goes on moves the weights


@dataclass
class Rounds:
    """Training within a search, after what it tried without: `first`.

    `step`: seconds of a step of taught training; `passes`: steps of a pass over the training data.
    `share`: of several processes that search together, which this is, and how many there are.
    """

    first: Untrained
    step: float
    passes: int
    share: tuple[int, int] = (0, 1)
    gains: dict[str, float] = field(default_factory=dict)
    """Of a kind of chain, how many bytes its file had for each that it was told to end at."""
    relative_latencies: dict[str, float] = field(default_factory=dict)
    """Of a kind of chain, the seconds of a step of its training."""
    made: dict[str, list[tuple[Trial, Proposal]]] = field(default_factory=dict)
    """Of a kind of chain, what was trained here."""
    begun: int = 0
    """How many trainings were."""

    def __post_init__(self) -> None:
        self.standing, self.experiments = self.first.standing, self.first.standing.experiments
        self.budget, self.clock, self.attempt = (
            self.standing.budget,
            self.standing.clock,
            self.first.attempt,
        )

    def _arms(self) -> list[Arm]:
        original = self.experiments.original
        limits = self._passed()
        found: dict[str, float] = {}
        for move in [one for one in self.first.moves if not one.trains]:
            faster = [trial for trial in self.first.of(move) if quicker(trial, original, limits)]
            if faster:
                found[move.name] = min(quickness(trial, original, limits) for trial in faster)
        speeds = sorted(found, key=lambda name: found[name])
        fast = any(
            not self._is_too_slow(trial)
            for move in self.first.moves
            if move.name in found
            for trial in self.first.of(move)
        )
        return Arms(
            self.first.moves, bool(limits), self._large(), speeds, fast, self.first.useless
        ).all()

    def _passed(self) -> list[str]:
        """The limits on speed that the model that came in exceeds."""
        broken = self.standing.verdict(self.experiments.original).broken
        return [name for name in speed_limits(self.budget) if name in broken]

    def _large(self) -> bool:
        """Whether files must have fewer bytes than the model that came in."""
        size = self.experiments.original.cost.bytes or 0
        return wants_smaller(self.budget) or size > (limit_of(self.budget, "size") or math.inf)

    def _look_at_structure(self) -> None:
        """Which of what trains makes this model faster, as it is without training.

        Looked at only where speed is limited.
        """
        if not self._passed():
            return
        limits = speed_limits(self.budget)
        stages = (Stage.STRUCTURE,) if self._large() else (Stage.STRUCTURE, Stage.NUMBERS)
        for move in self.first.moves:
            if move.stage in stages and move.trains and not self.clock.is_up:
                trial = self.attempt(
                    Proposal(techniques=(move.at(MIDDLE, 0),), arm=move.name, dials=(MIDDLE,))
                )
                if (
                    trial is None
                    or trial.score is None
                    or not quicker(trial, self.experiments.original, limits)
                ):
                    self.first.useless.add(move.name)
        if not any(
            quicker(one, self.experiments.original, limits) for one in self.standing.seen.values()
        ):
            self.standing.say(
                f"  nothing that was tried has less {' or '.join(self._passed())} than the model "
                "that came in"
            )

    def go_on(self) -> None:
        """Finish what a command that was stopped had begun."""
        kinds = {arm.name: arm for arm in self._arms()}
        for kept in open_proposals(self.experiments.folder, before=time() - self.clock.gone):
            arm = kinds.get(kept["arm"])
            if arm is None or len(kept["dials"]) != len(arm.moves):
                continue
            proposal = self._proposal(arm, kept["dials"], kept["steps"], kept["fidelity"])
            if proposal.name != kept["chain"]:  # it went on from a model that was in memory then
                self.standing.say(
                    f"  {arm.name}, which an earlier run had begun from a model in its memory, is "
                    "given up"
                )
                shutil.rmtree(kept["folder"], ignore_errors=True)
            elif self.experiments.known(proposal) is None:
                self.standing.say(f"  going on with {arm.name}, which an earlier run had begun")
                self.attempt(proposal, wait=False)

    def _proposal(self, arm: Arm, dials: Sequence[float], steps: int, fidelity: float) -> Proposal:
        return Proposal(
            techniques=arm.chain(dials, steps),
            arm=arm.name,
            dials=tuple(dials),
            steps=steps,
            fidelity=fidelity if steps else 0.0,
        )

    def train(self) -> None:
        """Rounds: many kinds of chain for a short time, the best of them for longer, the best of
        these for what is left.
        """
        self._look_at_structure()
        arms = self._arms()
        arms = arms[self.share[0] :: self.share[1]] or arms
        if not arms:
            self.standing.say("  no technique that trains can move what the budget limits")
            return
        if wants_smaller(self.budget):
            self._ever_smaller(arms)
        else:
            self._fewer_for_longer(arms)
        if not self.begun:
            self.standing.say(
                "  nothing was trained: too little time was left for it, or no structure is fast "
                "enough; --minutes gives more time"
            )
        elif not self.made:
            self.standing.say(
                "  no training came to a file: `shoestring ledger` says what went wrong with each"
            )

    def _fewer_for_longer(self, arms: list[Arm]) -> None:
        """Where a resource is limited.

        Files that are aimed at the limits, by ever fewer kinds of chain (successive halving).
        """
        last = (
            LAST if limit_of(self.budget, "size") is None else ROUNDS[-1]
        )  # where nothing is aimed once more
        several = self._as_many_as_fit(ROUNDS[0][0], len(arms)) > 1
        rounds = (*ROUNDS[0 if several else 1 : -1], last)
        for number, (share, most) in enumerate(rounds, 1):
            results: list[tuple[Arm, Trial]] = []
            most = self._as_many_as_fit(share, min(most, len(arms)))
            ends, before = self.clock.gone + share * self.clock.left, self.begun
            for arm in (
                arms
            ):  # one that no dial makes fast enough is not trained, and another takes its place
                place = self.begun - before
                if self.clock.is_up or place >= most or (self.clock.gone > ends and results):
                    break
                if number > 1 and self.standing.nothing_to_gain:
                    break
                each = share / (most - place * share) if number < len(rounds) else share
                trial = self._aimed(
                    arm,
                    each,
                    None if (size := limit_of(self.budget, "size")) is None else MARGIN * size,
                )
                if trial is not None and trial.score is not None:
                    results.append((arm, trial))
            if not results:
                continue
            self.standing.refresh()
            self.standing.round_over(
                f"round {number} of {len(rounds)}", [(arm.name, trial) for arm, trial in results]
            )
            promises = [(arm, self._if_aimed_again(arm, trial)) for arm, trial in results]
            promises.sort(key=lambda one: (self._is_too_slow(one[1]), self.standing.key(one[1])))
            arms = [arm for arm, trial in promises if self._near(trial, promises[0][1])]
            if self.clock.is_up or self.standing.nothing_to_gain:
                return
        if arms:
            self._once_more(arms[0])

    def _once_more(self, arm: Arm) -> None:
        """The best kind of chain again while there is time, aimed by what came of it before.

        At all the bytes that it may have.
        """
        size = limit_of(self.budget, "size")
        for _ in range(MOST_MORE):
            known = len(self.experiments.study.trials())
            if (
                size is None
                or self.clock.left < LEAST_MORE * self.clock.seconds
                or self.standing.nothing_to_gain
            ):
                return
            trial = self._aimed(arm, ROUNDS[-1][0], MARGIN * size, least=0.0)
            if (
                trial is None
                or trial.score is None
                or len(self.experiments.study.trials()) == known
            ):
                return
            self.standing.round_over("once more", [(arm.name, trial)])

    def _if_aimed_again(self, arm: Arm, trial: Trial) -> Trial:
        """The trial as if it had hit the bytes that it was aimed at, where it missed them by
        little: the next of its kind is aimed by that.

        Who learned better must not be out of the race for a few bytes too many.
        """
        size, found = limit_of(self.budget, "size"), trial.cost.bytes
        if (
            size is None
            or found is None
            or not size < found <= MISSED * size
            or not any(move.aims for move in arm.moves)
        ):
            return trial
        return replace(trial, cost=replace(trial.cost, bytes=int(size)))

    def _near(self, trial: Trial, best: Trial) -> bool:
        """Whether a trial is so near to the best of a round that longer training might bring it
        before that.
        """
        mine, first = self.standing.verdict(trial), self.standing.verdict(best)
        slower = self._is_too_slow(trial) > self._is_too_slow(best)
        return (
            not slower
            and len(mine.broken) <= len(first.broken)
            and mine.excess <= first.excess + NEAR
        )

    def _is_too_slow(self, trial: Trial) -> bool:
        """Whether a trial breaks a limit on speed.

        Longer training mends a score, but makes nothing faster.
        """
        return not set(self.standing.verdict(trial).broken).isdisjoint(speed_limits(self.budget))

    def _as_many_as_fit(self, share: float, most: int) -> int:
        """How many kinds of chain get a sensible number of steps within a share of the time."""
        seconds = share * max(self.clock.left, 0)
        each = FEWEST_STEPS * self.step * TAUGHT + TRIALS_AN_ARM * self.first.overhead()
        return max(1, min(most, int(seconds / each)))

    def _steps(self, arm: Arm, share: float) -> int:
        """So many steps of a chain take this share of the time that is left."""
        seconds = share * max(self.clock.left, 0) - self.first.overhead()
        each = self.relative_latencies.get(arm.name, self.step * TAUGHT)
        return round_steps(min(max(seconds / each, 1), max(MOST_PASSES * self.passes, MOST_STEPS)))

    def _aimed(
        self, arm: Arm, share: float, target: float | None, *, least: float = 1.0
    ) -> Trial | None:
        """A trial of a kind of chain, its dials where its file should keep the limits, trained for
        a share of the time left.

        `least`: of the gain that is reckoned with. What ended too small is not aimed higher as a
            rule: a longer training gets nearer by itself.
        """
        dials = default_dials(arm)
        place = arm.place(Stage.STRUCTURE)
        limits = speed_limits(self.budget)
        if place is not None and limits:
            found = gentlest(lambda press: self._keeps(arm, dials, place, press, limits))
            if found is None:  # not even the harshest is fast enough
                return None
            dials[place] = found
        turned = bytes_place(arm)
        if turned is not None and target is not None:
            if arm.moves[turned].aims:
                dials[turned] = max(target / max(self.gains.get(arm.name, 1.0), least), 2.0)
            else:
                dials[turned] = (
                    gentlest(lambda press: self._keeps(arm, dials, turned, press, ["size"], target))
                    or 1.0
                )
        if (steps := self._steps(arm, share)) < FEWEST:
            return None
        proposal = self._proposal(arm, dials, steps, share)
        if turned is not None and target is not None and arm.moves[turned].aims:
            proposal = self._going_on(proposal, arm.moves[turned], target) or proposal
        self.begun += 1
        began = self.clock.gone
        trial = self.attempt(proposal)
        if trial is not None and trial.score is not None:
            self.made.setdefault(arm.name, []).append((trial, proposal))
            if turned is not None and target is not None and arm.moves[turned].aims:
                self.gains[arm.name] = min(max((trial.cost.bytes or 1) / dials[turned], 0.8), 3.0)
            if proposal.steps >= FEWEST_STEPS and self.clock.gone - began > 1:
                self.relative_latencies[arm.name] = max(
                    (self.clock.gone - began - self.first.overhead()) / proposal.steps, 1e-5
                )
        return trial

    def _going_on(self, proposal: Proposal, move: Move, target: float) -> Proposal | None:
        """The same, but on from where training of this kind of chain ended, if that model is in
        memory.

        Only where files are to be ever smaller, or where there is time for no more steps than that
        had: a longer training that begins anew ends better, for it chooses anew what to leave out.
        Of several the one whose bytes are nearest to those that are aimed at.
        """

        def cut(techniques: Sequence[Technique]) -> int:
            return max(
                i for i, one in enumerate(techniques, 1) if type(one) is type(move.technique)
            )

        candidates = [
            (trial, before.techniques)
            for trial, before in self.made.get(proposal.arm, ())
            if (trial.cost.bytes or 0) >= GROWN * target
            and (wants_smaller(self.budget) or proposal.steps <= before.steps)
            and self.experiments.holds(before.techniques[: cut(before.techniques)])
        ]
        if not candidates:
            return None
        _, techniques = min(
            candidates, key=lambda one: abs(math.log((one[0].cost.bytes or 1) / target))
        )
        place = cut(techniques)
        again: Any = next(one for one in proposal.techniques if type(one) is type(move.technique))
        optimizer = again.training.optimizer
        slower = replace(optimizer, learning_rate=optimizer.learning_rate / SLOWER)
        again = replace(
            again, training=replace(again.training, steps=proposal.steps, optimizer=slower)
        )
        return replace(proposal, techniques=(*techniques[:place], again, *techniques[place:]))

    def _keeps(
        self,
        arm: Arm,
        dials: Sequence[float],
        place: int,
        press: float,
        limits: Sequence[str],
        target: float | None = None,
    ) -> bool | None:
        """Whether the chain, untrained and turned so far at one place, keeps these limits."""
        if self.clock.is_up:
            return None
        # Not pressed for bytes here: what trains for them has not trained.
        turned = [
            press if i == place else 0.0 if dial > 1 else dial for i, dial in enumerate(dials)
        ]
        moves_ = [m for i, m in enumerate(arm.moves) if not (m.aims and i != place)]
        kept = [d for m, d in zip(arm.moves, turned, strict=True) if m in moves_]
        trial = self.attempt(self._proposal(Arm(tuple(moves_)), kept, 0, 0.0))
        if trial is None or trial.score is None:
            return False
        latency = limit_of(self.budget, "latency")
        if (
            "latency" in limits
            and latency
            and abs(math.log((trial.cost.milliseconds or 1.0) / latency)) < CLOSE
        ):
            trial = self.experiments.again(trial, LOOKED_AGAIN * self.experiments.timing_seconds)
        budget = self.budget if target is None else replace(self.budget, size=target)
        # By the median: what is but just fast enough has lost the least, and is timed for longer at
        # the end.
        return not set(judge(budget, replace(trial, noise={}), self.experiments.base).broken) & set(
            limits
        )

    def _ever_smaller(self, arms: Sequence[Arm]) -> None:
        """Where no resource is limited.

        Files smaller and smaller, between the smallest that does and the largest that does not.
        The first are made by several kinds of chain, where there is time; the best goes on.
        """
        target = (
            (self.standing.best.cost.bytes or 1) / SHRINK if self.standing.best is not None else 1.0
        )
        kept: float | None = None
        lost: float | None = None
        shares = shares_of_smaller(lambda share: self._steps(arms[0], share))
        others, arms = arms, arms[: self._as_many_as_fit(shares[0], 3) if len(shares) > 1 else 1]
        for number, share in enumerate(shares, 1):
            results: list[tuple[Arm, Trial]] = []
            for arm in arms:
                if self.clock.is_up or self._steps(arm, share / len(arms)) < 10:
                    break
                trial = self._aimed(arm, share / len(arms), target)
                if trial is not None and trial.score is not None:
                    results.append((arm, trial))
            if not results:  # they diverged, or there is no time: another may do
                others = [arm for arm in others if arm not in arms]
                arms = others[:1]
                continue
            arm, trial = min(results, key=lambda one: self.standing.key(one[1]))
            arms = [arm]
            size = float(trial.cost.bytes or target)
            if self.standing.fits(trial):
                kept, lost = size, lost if lost is None or lost < size else None
            else:
                lost = size
            self.standing.round_over(
                f"round {number} of {len(shares)}", [(one.name, made) for one, made in results]
            )
            if lost is None:
                target = size / (SHRINK if number == 1 else 2.0)
            else:
                target = (
                    lost * 2.0
                    if kept is None
                    else math.sqrt(lost * kept)
                    if kept > lost
                    else kept * 0.8
                )
