"""Aiming: one training of a kind of chain, with its dials where its file should keep the limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shoestring.core import Stage, Technique
from shoestring.distill import Replace
from shoestring.kit import Trial
from shoestring.plan.arms import bytes_index, default_dials, gentlest, gentlest_by, speed_limits
from shoestring.plan.moves import Arm, Move, round_steps
from shoestring.plan.proposal import Proposal
from shoestring.plan.untrained import Untrained
from shoestring.plan.verdict import judge, limit_of, wants_smaller

FEWEST = 5
"""The fewest steps of training for which a trial is made."""
FEWEST_STEPS = 60
"""The fewest steps for which a kind of chain is worth trying."""
MOST_PASSES, MOST_STEPS = 200, 4000
"""A training has at most so many passes over the training data, or steps where that is more."""
TAUGHT = 1.15
"""Times a plain step of taught training that a step within a technique takes."""
CLOSE = 0.07
"""Distance to a limit on milliseconds, as a logarithm, below which a file is timed again."""
LOOKED_AGAIN = 3
"""Times the usual seconds that it is then timed for."""
GROWN = 0.8
"""Share of the bytes aimed at that a model must have for its training to go on towards them."""
SLOWER = 3.0
"""The learning rate is divided by this where a training goes on."""


@dataclass
class Aiming:
    """Trains kinds of chain, and learns from each how to aim the next of its kind.

    `first`: what was tried without training.
    `step`: seconds of a step of taught training.
    `passes`: steps of a pass over the training data.
    """

    first: Untrained
    step: float
    passes: int
    gains: dict[str, float] = field(default_factory=dict)
    """By kind of chain: the bytes of its file, divided by those that it was aimed at."""
    step_seconds: dict[str, float] = field(default_factory=dict)
    """By kind of chain: seconds of a step of its training."""
    made: dict[str, list[tuple[Trial, Proposal]]] = field(default_factory=dict)
    """By kind of chain: what was trained in this process."""
    begun: int = 0
    """How many trainings were begun."""

    def __post_init__(self) -> None:
        self.experiments = self.first.standing.experiments
        self.budget, self.clock = self.first.standing.budget, self.first.standing.clock

    def steps(self, arm: Arm, share: float) -> int:
        """How many steps of a chain fit into this share of the time that is left."""
        seconds = share * max(self.clock.left, 0) - self.first.overhead()
        each = self.step_seconds.get(arm.name, self.step * TAUGHT)
        return round_steps(min(max(seconds / each, 1), max(MOST_PASSES * self.passes, MOST_STEPS)))

    def train(
        self, arm: Arm, share: float, target: float | None, *, least: float = 1.0
    ) -> Trial | None:
        """A trial of a kind of chain, trained for a share (0 to 1) of the time that is left.

        Returns None where no dial makes it fast enough, or the time is too short.

        `target`: the bytes to aim at; None for any.
        `least`: the smallest gain to reckon with. At 1 a chain whose last file was too small is
            not aimed higher: a longer training gets nearer by itself.
        """
        dials = self.fast_enough(arm)
        if dials is None:
            return None
        turned = None if target is None else bytes_index(arm)
        aimed: Move | None = None
        if turned is not None and target is not None:
            if arm.moves[turned].aims:
                aimed = arm.moves[turned]
                dials[turned] = max(target / max(self.gains.get(arm.name, 1.0), least), 2.0)
            else:
                dials[turned] = (
                    gentlest(lambda press: self._keeps(arm, dials, turned, press, ["size"], target))
                    or 1.0
                )
        if (steps := self.steps(arm, share)) < FEWEST:
            return None
        proposal = proposal_of(arm, dials, steps, share)
        if aimed is not None and target is not None:
            proposal = self._going_on(proposal, aimed, target) or proposal
        self.begun += 1
        began = self.clock.gone
        trial = self.first.attempt(proposal)
        if trial is not None and trial.score is not None:
            self.made.setdefault(arm.name, []).append((trial, proposal))
            if aimed is not None and turned is not None:
                self.gains[arm.name] = min(max((trial.cost.bytes or 1) / dials[turned], 0.8), 3.0)
            if proposal.steps >= FEWEST_STEPS and self.clock.gone - began > 1:
                self.step_seconds[arm.name] = max(
                    (self.clock.gone - began - self.first.overhead()) / proposal.steps, 1e-5
                )
        return trial

    def fast_enough(self, arm: Arm) -> list[float] | None:
        """The dials of a chain with the gentlest structure that keeps the limits on speed.

        None where not even the harshest does.
        """
        dials = default_dials(arm)
        index = arm.index(Stage.STRUCTURE)
        limits = speed_limits(self.budget)
        if index is not None and limits:
            if isinstance(arm.moves[index].technique, Replace) and limits == ["latency"]:
                gentle = gentlest_by(lambda press: self._slower(arm, dials, index, press))
            else:
                gentle = gentlest(lambda press: self._keeps(arm, dials, index, press, limits))
            if gentle is None:
                return None
            dials[index] = gentle
        return dials

    def _going_on(self, proposal: Proposal, move: Move, target: float) -> Proposal | None:
        """The same proposal, but starting where a training of this kind of chain ended.

        None where no such model is in memory. A longer training ends better where it begins anew,
        since it chooses anew what to leave out. So this is done only where files are to be ever
        smaller, or where there is time for no more steps than that training had. Of several models
        the one is taken whose bytes are nearest to the target.
        """

        def cut(techniques: Sequence[Technique]) -> int:
            return max(
                i
                for i, technique in enumerate(techniques, 1)
                if type(technique) is type(move.technique)
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
            candidates, key=lambda pair: abs(math.log((pair[0].cost.bytes or 1) / target))
        )
        end = cut(techniques)
        again: Any = next(
            technique
            for technique in proposal.techniques
            if type(technique) is type(move.technique)
        )
        optimizer = again.training.optimizer
        slower = replace(optimizer, learning_rate=optimizer.learning_rate / SLOWER)
        again = replace(
            again, training=replace(again.training, steps=proposal.steps, optimizer=slower)
        )
        return replace(proposal, techniques=(*techniques[:end], again, *techniques[end:]))

    def _keeps(
        self,
        arm: Arm,
        dials: Sequence[float],
        index: int,
        press: float,
        limits: Sequence[str],
        target: float | None = None,
    ) -> bool | None:
        """Whether the untrained chain keeps these limits with the dial at `index` set to `press`.

        None where the time is up.
        """
        if self.clock.is_up:
            return None
        trial = self._untrained(arm, dials, index, press)
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
        # By the median, not the interval: a file that is just fast enough has lost the least, and
        # it is timed for longer at the end.
        verdict = judge(budget, replace(trial, noise={}), self.experiments.base)
        return set(verdict.broken).isdisjoint(limits)

    def _untrained(
        self, arm: Arm, dials: Sequence[float], index: int, press: float
    ) -> Trial | None:
        """The trial of the untrained chain with the dial at `index` set to `press`."""
        # Moves that aim at bytes are left out: they reach them by training, and this has none.
        turned = [
            press if i == index else 0.0 if dial > 1 else dial for i, dial in enumerate(dials)
        ]
        kept = [i for i, move in enumerate(arm.moves) if i == index or not move.aims]
        untrained = Arm(tuple(arm.moves[i] for i in kept))
        return self.first.attempt(proposal_of(untrained, [turned[i] for i in kept], 0, 0.0))

    def _slower(self, arm: Arm, dials: Sequence[float], index: int, press: float) -> float | None:
        """How much slower than its limit the untrained chain is, as a logarithm.

        None where the time is up, or the chain comes to no file.
        """
        latency = limit_of(self.budget, "latency")
        trial = None if self.clock.is_up else self._untrained(arm, dials, index, press)
        if not latency or trial is None or not trial.cost.milliseconds:
            return None
        return math.log(trial.cost.milliseconds / latency)


def proposal_of(arm: Arm, dials: Sequence[float], steps: int, fidelity: float) -> Proposal:
    """A kind of chain at these dials, trained for so many steps."""
    return Proposal(
        techniques=arm.chain(dials, steps),
        arm=arm.name,
        dials=tuple(dials),
        steps=steps,
        fidelity=fidelity if steps else 0.0,
    )
