"""The search: a first file in seconds, then rounds of ever longer training on ever fewer kinds of chain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import sleep
from typing import Any

from shoestring.core import Stage
from shoestring.kit import Trial
from shoestring.plan.arms import (
    MARGIN,
    MIDDLE,
    UNTRAINED_DIALS,
    Arms,
    bytes_place,
    default_dials,
    gentlest,
    speed_limits,
)
from shoestring.plan.clock import TimeUpError
from shoestring.plan.fallback import fallback
from shoestring.plan.moves import Arm, Move, moves, round_steps
from shoestring.plan.proposal import Proposal, open_proposals
from shoestring.plan.standing import Standing
from shoestring.plan.training_time import step_seconds, steps_of_a_pass
from shoestring.plan.verdict import judge, limit_of, quicker, wants_smaller

FIRST_SHARE, FIRST_SECONDS = 0.15, 60.0  # of the time, that goes into files without training at most
ROUNDS = ((0.2, 6), (0.3, 2), (0.85, 1))
"""Of the time that is left, what a round may take, and how many kinds of chain it tries at most."""
FEWEST_STEPS = 60  # of training, for a kind of chain to be tried at all
TRIALS_AN_ARM = 4  # without training, that it takes to aim a kind of chain, about
MOST_PASSES = 60  # over the training data, in one trial
TAUGHT = 1.15  # how much longer a step within a technique takes than a plain taught one
POLISH = (0.35, 0.6)  # how hard what codes closer presses
POLISH_STEPS = 200  # of training take as long as that, about
SPEED_MARGIN = 0.95  # of a limit on speed, that structure is aimed at
REFINED = 5.0  # times the drop that may be lost, beyond which leaving layers alone is not tried
SHRINK = 4.0  # how much smaller the next file is to be, where size has no limit


@dataclass
class Search:
    """Trials until the time is up or nothing is left to gain; `standing` has the experiments, the budget and the clock."""

    standing: Standing
    share: tuple[int, int] = (0, 1)
    """Of several processes that search together, which this is, and how many there are."""
    moves: Sequence[Move] = field(default_factory=moves)
    useless: set[str] = field(default_factory=set)
    gains: dict[str, float] = field(default_factory=dict)
    """Of a kind of chain, how many bytes its file had for each that it was told to end at."""
    paces: dict[str, float] = field(default_factory=dict)
    """Of a kind of chain, the seconds of a step of its training."""
    step: float = 0.0
    """Seconds of a step of training, once `look` was called."""
    passes: int = 1
    """Steps of a pass over the training data."""
    _overheads: list[float] = field(default_factory=list)
    _prepared: dict[str, Move] = field(default_factory=dict)
    _proposals: dict[str, Proposal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.experiments, self.budget, self.clock = self.standing.experiments, self.standing.budget, self.standing.clock

    def run(self) -> None:
        """The search, as far as time goes."""
        try:
            self._first_files(min(FIRST_SHARE * self.clock.seconds, FIRST_SECONDS))
            self._refine()
            if not self.standing.nothing_to_gain and not self.clock.is_up:
                self._go_on()
                self._train()
            self._polish()
        except TimeUpError as error:
            self.standing.say(f"  {error}")

    def look(self, until: float | None = None) -> None:
        """Take note of what is known, and of how long a step of training takes; then try files without training until so many seconds
        of the command are gone."""
        self.standing.begin(self.experiments.trials())
        self.step = step_seconds(self.experiments.model, self.experiments.taught, self.experiments.seed)
        self.passes = steps_of_a_pass(self.experiments.sealed)
        if until is not None:
            self._first_files(max(until - self.clock.gone, 0.0))

    def _try(self, proposal: Proposal, *, wait: bool = True) -> Trial | None:
        """What comes of a proposal. Where another process is at it: waits, and takes it over where that goes away, or None."""
        self.clock.what = proposal.arm
        self._proposals[proposal.name] = proposal
        while True:
            new = self.experiments.known(proposal) is None
            trial = self.experiments(proposal)
            if trial is not None:
                break
            if self.clock.is_up or not wait:
                return None
            sleep(0.2)
        if new and not proposal.fidelity and trial.score is not None:
            self._overheads.append(trial.cost.seconds or 0.0)
        self.standing.take(trial)
        return trial

    # Without training -------------------------------------------------------------------------------------------------------

    def _first_files(self, seconds: float) -> None:
        """Files that take no training, the most promising settings first, for so many seconds; one at least."""
        ends = self.clock.gone + seconds
        last: dict[str, Trial] = {}
        busy: list[tuple[Move, float]] = []
        # What shares levels needs no new graph and takes a second: the first file is there soonest.
        candidates = sorted((m for m in self.moves if m.works_untrained), key=lambda m: m.first, reverse=True)

        def attempt(move: Move, dial: float, *, wait: bool) -> bool:
            """Whether there is time for more."""
            if move.name in self.useless or (not move.turns and dial != UNTRAINED_DIALS[0]):
                return True
            if (before := last.get(move.name)) is not None and dial > 0.667 and self._is_lost(before):
                return True
            if (self.clock.gone > ends and last) or self.standing.nothing_to_gain:
                return False
            trial = self._try(Proposal(techniques=(move.at(dial, 0),), arm=move.name, dials=(dial,)), wait=wait)
            if trial is None:
                busy.append((move, dial))
            elif trial.score is None or trial.sha256 == self.experiments.sha256:
                self.useless.add(move.name)
            else:
                last[move.name] = trial
                tried.append((move.name, trial))
            return True

        tried: list[tuple[str, Trial]] = []
        all(attempt(move, dial, wait=False) for dial in UNTRAINED_DIALS for move in map(self._ready, candidates))
        all(attempt(move, dial, wait=True) for move, dial in list(busy))
        known = min(tried, key=lambda one: self.standing.key(one[1]), default=None)
        self.standing.round_over(f"without training, {len(tried)} files", [known] if known else [])

    def _ready(self, move: Move) -> Move:
        """The move with what it needs of the model worked out once, for all its trials."""
        if move.trains or move.name in self.useless:
            return move
        if move.name not in self._prepared:
            try:
                technique = move.technique.prepared(self.experiments.model, self.experiments.sealed)
            except (ValueError, RuntimeError):  # the trial will say why
                technique = move.technique
            self._prepared[move.name] = Move(technique)
        return self._prepared[move.name]

    def _refine(self) -> None:
        """Where whole numbers keep all limits but the one on the score, and that nearly: leave the layers alone that hurt most."""
        drop, base = limit_of(self.budget, "drop"), self.experiments.base
        if drop is None or self.standing.fits(self.standing.best) or self.clock.left < 20 * self._overhead():
            return
        for move in self.moves:
            trial = next(iter(self._of(move)), None) if not move.trains and move.stage is Stage.NUMBERS else None
            if trial is None or trial.score is None or set(judge(self.budget, trial, base).broken) != {"drop"}:
                continue
            if base - trial.score > REFINED * max(drop, self.experiments.judge.base_error or 0.0):
                continue
            action: Any = self._ready(move).at(UNTRAINED_DIALS[0], 0)
            most = max(4, min(30, int(0.2 * self.clock.left / self._overhead())))
            found = fallback(
                self.experiments.model, self.experiments.sealed, action, drop=drop, most=most, seed=self.experiments.seed
            )
            refined = self._try(Proposal(techniques=(found.technique,), arm=f"{move.name}, {len(found.kept)} layers kept"))
            self.standing.round_over(f"{move.name}, layer by layer", [(f"{len(found.kept)} layers kept", refined)])
            return

    def _is_lost(self, trial: Trial) -> bool:
        """Whether so much of the score is gone that nothing harsher is worth a trial."""
        base = self.experiments.base
        return trial.score is None or trial.score < base - 0.25 * max(abs(base), 1e-9)

    # With training ----------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Finish what a command that was stopped had begun."""
        kinds = {arm.name: arm for arm in self._arms()}
        for kept in open_proposals(self.experiments.folder):
            arm = kinds.get(kept["arm"])
            if arm is None or len(kept["dials"]) != len(arm.moves):
                continue
            proposal = self._proposal(arm, kept["dials"], kept["steps"], kept["fidelity"])
            if proposal.name == kept["chain"] and self.experiments.known(proposal) is None:
                self.standing.say(f"  going on with {arm.name}, which an earlier run had begun")
                self._try(proposal)

    def _arms(self) -> list[Arm]:
        original, base = self.experiments.original, self.experiments.base
        over = judge(self.budget, original, base).broken
        limits = speed_limits(self.budget)
        speeds = [
            move.name
            for move in self.moves
            if not move.trains and any(quicker(trial, self.experiments.original, limits) for trial in self._of(move))
        ]
        return Arms(self.moves, bool(set(over) & set(limits)), self._large(), speeds, self.useless).all()

    def _large(self) -> bool:
        """Whether files must have fewer bytes than the model that came in."""
        size = self.experiments.original.cost.bytes or 0
        return wants_smaller(self.budget) or size > (limit_of(self.budget, "size") or math.inf)

    def _look_at_structure(self) -> None:
        """Which of what trains makes this model faster, as it is without training; looked at only where speed is limited."""
        limits = speed_limits(self.budget)
        if not set(judge(self.budget, self.experiments.original, self.experiments.base).broken) & set(limits):
            return
        stages = (Stage.STRUCTURE,) if self._large() else (Stage.STRUCTURE, Stage.NUMBERS)
        for move in self.moves:
            if move.stage in stages and move.trains and not self.clock.is_up:
                trial = self._try(Proposal(techniques=(move.at(MIDDLE, 0),), arm=move.name, dials=(MIDDLE,)))
                if trial is None or trial.score is None or not quicker(trial, self.experiments.original, limits):
                    self.useless.add(move.name)

    def _of(self, move: Move) -> list[Trial]:
        names = [Proposal(techniques=(move.at(dial, 0),)).name for dial in UNTRAINED_DIALS]
        return [self.standing.seen[name] for name in names if name in self.standing.seen]

    def _proposal(self, arm: Arm, dials: Sequence[float], steps: int, fidelity: float) -> Proposal:
        return Proposal(
            techniques=arm.chain(dials, steps),
            arm=arm.name,
            dials=tuple(dials),
            steps=steps,
            fidelity=fidelity if steps else 0.0,
        )

    def _train(self) -> None:
        """Rounds: many kinds of chain for a short time, the best of them for longer, the best of these for what is left."""
        self._look_at_structure()
        arms = self._arms()
        place, count = self.share
        arms = arms[place::count] or arms
        if not arms:
            self.standing.say("  no technique that trains can move what the budget limits")
            return
        if wants_smaller(self.budget):
            self._ever_smaller(arms)
            return
        rounds = ROUNDS if self._as_many_as_fit(ROUNDS[0][0], len(arms)) > 1 else ROUNDS[1:]
        for number, (share, most) in enumerate(rounds, 1):
            results: list[tuple[Arm, Trial]] = []
            most = self._as_many_as_fit(share, min(most, len(arms)))
            ends = self.clock.gone + share * self.clock.left
            for place, arm in enumerate(arms[:most]):
                if (self.clock.is_up or self.clock.gone > ends) and results:
                    break
                if self.clock.is_up or (number > 1 and self.standing.nothing_to_gain):
                    break
                each = share / (most - place * share) if number < len(rounds) else share
                trial = self._aimed(arm, each, None if (size := limit_of(self.budget, "size")) is None else MARGIN * size)
                if trial is not None and trial.score is not None:
                    results.append((arm, trial))
            if not results:
                continue
            self.standing.refresh()
            self.standing.round_over(f"round {number} of {len(rounds)}", [(arm.name, trial) for arm, trial in results])
            results.sort(key=lambda one: self.standing.key(one[1]))
            arms = [arm for arm, trial in results if self._broken(trial) <= self._broken(results[0][1])]
            if self.clock.is_up or self.standing.nothing_to_gain:
                return

    def _broken(self, trial: Trial) -> int:
        return len(judge(self.budget, trial, self.experiments.base).broken)

    def _as_many_as_fit(self, share: float, most: int) -> int:
        """How many kinds of chain get a sensible number of steps within a share of the time."""
        seconds = share * max(self.clock.left, 0)
        each = FEWEST_STEPS * self.step * TAUGHT + TRIALS_AN_ARM * self._overhead()
        return max(1, min(most, int(seconds / each)))

    def _overhead(self) -> float:
        """Seconds that a trial takes besides training."""
        ordered = sorted(self._overheads) or [1.0]
        return ordered[len(ordered) // 2]

    def _steps(self, arm: Arm, share: float) -> int:
        """So many steps of a chain take this share of the time that is left."""
        seconds = share * max(self.clock.left, 0) - self._overhead()
        each = self.paces.get(arm.name, self.step * TAUGHT)
        return round_steps(min(max(seconds / each, 1), MOST_PASSES * self.passes))

    def _aimed(self, arm: Arm, share: float, target: float | None) -> Trial | None:
        """A trial of a kind of chain, its dials where its file should keep the limits, trained for a share of the time left."""
        dials = default_dials(arm)
        place = arm.place(Stage.STRUCTURE)
        limits = speed_limits(self.budget)
        if place is not None and limits:
            dials[place] = gentlest(lambda press: self._keeps(arm, dials, place, press, limits))
        turned = bytes_place(arm)
        if turned is not None and target is not None:
            if arm.moves[turned].aims:
                dials[turned] = max(target / self.gains.get(arm.name, 1.0), 2.0)
            else:
                dials[turned] = gentlest(lambda press: self._keeps(arm, dials, turned, press, ["size"], target))
        proposal = self._proposal(arm, dials, self._steps(arm, share), share)
        began = self.clock.gone
        trial = self._try(proposal)
        if trial is not None and trial.score is not None:
            if turned is not None and target is not None and arm.moves[turned].aims:
                # What ended too small is not aimed higher: the next training is longer, and gets nearer by itself.
                self.gains[arm.name] = min(max((trial.cost.bytes or 1) / dials[turned], 1.0), 3.0)
            if proposal.steps >= FEWEST_STEPS and self.clock.gone - began > 1:
                self.paces[arm.name] = max((self.clock.gone - began - self._overhead()) / proposal.steps, 1e-5)
        return trial

    def _keeps(
        self, arm: Arm, dials: Sequence[float], place: int, press: float, limits: Sequence[str], target: float | None = None
    ) -> bool | None:
        """Whether the chain, untrained and turned so far at one place, keeps these limits."""
        if self.clock.is_up:
            return None
        # Not pressed for bytes here: what trains for them has not trained.
        turned = [press if i == place else 0.0 if dial > 1 else dial for i, dial in enumerate(dials)]
        moves_ = [m for i, m in enumerate(arm.moves) if not (m.aims and i != place)]
        kept = [d for m, d in zip(arm.moves, turned, strict=True) if m in moves_]
        trial = self._try(self._proposal(Arm(tuple(moves_)), kept, 0, 0.0))
        if trial is None or trial.score is None:
            return False
        aimed: dict[str, Any] = {name: SPEED_MARGIN * (limit_of(self.budget, name) or 0) for name in limits if name != "size"}
        budget = replace(self.budget, **(aimed if target is None else {**aimed, "size": target}))
        broken = judge(budget, trial, self.experiments.base).broken
        return not set(broken) & set(limits)

    def _ever_smaller(self, arms: Sequence[Arm]) -> None:
        """Where no resource is limited: files smaller and smaller, between the smallest that does and the largest that does not."""
        arm, target = arms[0], (self.standing.best.cost.bytes or 1) / SHRINK if self.standing.best is not None else 1.0
        kept: float | None = None
        lost: float | None = None
        for number, share in enumerate((0.15, 0.25, 0.4, 0.85), 1):
            if self.clock.is_up or self._steps(arm, share) < 10:
                return
            trial = self._aimed(arm, share, target)
            if trial is None or trial.score is None:
                return
            size = float(trial.cost.bytes or target)
            if self.standing.fits(trial):
                kept, lost = size, lost if lost is None or lost < size else None
            else:
                lost = size
            self.standing.round_over(f"round {number} of 4", [(arm.name, trial)])
            if lost is None:
                target = size / (SHRINK if number == 1 else 2.0)
            else:
                target = math.sqrt(lost * kept) if kept is not None and kept > lost else lost * 2.0

    # After ------------------------------------------------------------------------------------------------------------------

    def _polish(self) -> None:
        """What codes better without training, put behind the best chain, where files are to be smaller and its model is in memory."""
        best = self.standing.best
        if best is None or best.technique not in self._proposals:
            return
        large = "size" in self.standing.verdict(best).broken
        if not (large or wants_smaller(self.budget)):
            return
        before = self._proposals[best.technique]
        if not self.experiments.holds(before.techniques):
            return
        coders = [move for move in self.moves if move.stage is Stage.CODE and not move.trains]
        tried: list[tuple[str, Trial | None]] = []
        for move in coders:
            for dial in POLISH:
                if self.clock.left < POLISH_STEPS * self.step:
                    break
                chain_ = (*before.techniques, move.at(dial, 0))
                trial = self._try(replace(before, techniques=chain_, arm=f"{before.arm} + {move.name}", dials=()))
                tried.append((f"{before.arm} + {move.name}", trial))
                if not (large or self.standing.fits(trial)):
                    break
        if tried:
            self.standing.round_over("the same coded closer", tried[-1:])
