"""Files without training: the first within seconds, the most promising settings first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import sleep
from typing import Any

from shoestring.core import ActsOnLayers, Stage
from shoestring.core.budget import is_of_score
from shoestring.kit import Trial, compressible
from shoestring.kit.clock import TimeUpError
from shoestring.plan.arms import UNTRAINED_DIALS
from shoestring.plan.fallback import fallback
from shoestring.plan.moves import Move, moves
from shoestring.plan.proposal import Proposal
from shoestring.plan.standing import Standing
from shoestring.plan.verdict import BYTES, is_large, limit_of, wants_smaller
from shoestring.quantize import PostTraining

POLISH = (0.35, 0.6)
"""Dials of the techniques that code closer."""
POLISH_STEPS = 400
"""About how many steps of training take as long as one of these."""
REFINED_SHARE = 0.15
"""Share of the time left for finding which layers to keep as they were."""
FEWEST_TRIALS, MOST_TRIALS = 5, 30
"""How many trials that takes, at least and at most."""
HALVINGS = 4
"""Bisections between a setting whose file is too large and one whose score is too low."""
BETWEEN_LEFT = 4.0
"""Times the seconds of a trial that must be left for each of these."""
FEW, NEARLY_ALL = 0.3, 0.9
"""Shares of the weights that a technique reaches."""
REFINED = 5.0
"""Times the limit on the drop beyond which no layers to keep are looked for."""


@dataclass
class Untrained:
    """What a search tries without training, and what it learns from that.

    `standing`: of the search.
    `moves`: that may be tried.
    `useless`: names of moves that change nothing in this model, or fail on it.
    """

    standing: Standing
    moves: Sequence[Move] = field(default_factory=moves)
    useless: set[str] = field(default_factory=set)
    _overheads: list[float] = field(default_factory=list)
    _prepared: dict[str, Move] = field(default_factory=dict)
    _proposals: dict[str, Proposal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.experiments, self.budget, self.clock = (
            self.standing.experiments,
            self.standing.budget,
            self.standing.clock,
        )

    def attempt(self, proposal: Proposal, *, wait: bool = True) -> Trial | None:
        """The trial of a proposal, which is noted in the standing.

        Where another process is making it, this waits, and takes over if that process ends. Returns
        None where the time is up, and where `wait` is false.
        """
        self.clock.heed()
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

    def first_files(self, seconds: float, more: float = 0.0) -> list[tuple[str, Trial]]:
        """Make files without training, the most promising settings first; at least one.

        Settings that cannot keep the budget, going by those that were tried, are passed over. The
        gentlest setting of the first move is tried second: if the first setting was too harsh, the
        search can then look between the two, however little time there is.

        `seconds`: for all of them.
        `more`: seconds besides, while no file keeps the budget.

        Returns the name of the move and the trial of each file, also of those that were known.
        """
        ends = self.clock.gone + seconds
        known: dict[str, list[tuple[float, Trial]]] = {}
        busy: list[tuple[Move, float]] = []
        candidates = sorted(
            (m for m in self.moves if m.works_untrained), key=self._how_early, reverse=True
        )

        def attempt(move: Move, dial: float, *, wait: bool) -> bool:
            """Try a setting; whether there is time for more."""
            if move.name in self.useless or (not move.turns and dial != UNTRAINED_DIALS[0]):
                return True
            if any(self._says_enough(dial, *tried_at) for tried_at in known.get(move.name, ())):
                return True
            is_late = self.clock.gone > ends + (
                0.0 if self.standing.fits(self.standing.best) else more
            )
            if (is_late and known) or self.standing.nothing_to_gain:
                return False
            trial = self.attempt(
                Proposal(techniques=(move.at(dial, 0),), arm=move.name, dials=(dial,)), wait=wait
            )
            if trial is None:
                busy.append((move, dial))
            elif trial.score is None or trial.sha256 == self.experiments.sha256:
                self.useless.add(move.name)
            else:
                known.setdefault(move.name, []).append((dial, trial))
                tried.append((move.name, trial))
            return True

        tried: list[tuple[str, Trial]] = []
        order = [(dial, move) for dial in self._dials() for move in candidates]
        order.sort(
            key=lambda pair: pair[1] is not candidates[0] or pair[0] not in self._dials()[:2]
        )
        all(attempt(self._ready(move), dial, wait=False) for dial, move in order)
        all(attempt(move, dial, wait=True) for move, dial in list(busy))
        return tried

    def _says_enough(self, dial: float, known: float, trial: Trial) -> bool:
        """Whether a `trial` of the same move at the dial `known` makes one at `dial` pointless."""
        if dial > known:
            return self._is_lost(trial)
        enough = wants_smaller(self.budget) and self.standing.fits(trial)
        return enough or is_large(self.standing.verdict(trial))

    def _how_early(self, move: Move) -> tuple[int, int]:
        """A key by which moves are tried; larger is earlier.

        Integers for kernels come first where they reach nearly all weights: their score is better
        than that of levels which a whole tensor shares. Moves that reach few of the weights come
        last, such as those integers in a recurrent network. Among equals, see `Move.first`.
        """
        technique, model = move.technique, self.experiments.model
        if move.trains or not isinstance(technique, ActsOnLayers):
            return 1, move.first
        try:
            names = set(technique.layers(model, self.experiments.sealed))
        except Exception:  # of any technique; the trial will say why
            return 0, move.first
        sizes = {weight.name: weight.raw.numel() for weight in compressible(model, "compress")}
        reached = sum(size for name, size in sizes.items() if name.rpartition(".")[0] in names)
        share = reached / max(sum(sizes.values()), 1)
        if isinstance(technique, PostTraining) and share > NEARLY_ALL:
            return 2, move.first
        return int(share > FEW), move.first

    def _dials(self) -> Sequence[float]:
        """The dials in the order in which they are tried: 0 first where bytes do not count."""
        if wants_smaller(self.budget) or self.standing.most_bytes is not None:
            return UNTRAINED_DIALS
        return sorted(UNTRAINED_DIALS, key=lambda dial: dial > 0)

    def _ready(self, move: Move) -> Move:
        """The move, with what it needs of the model worked out once for all its trials."""
        if move.trains or move.name in self.useless:
            return move
        if move.name not in self._prepared:
            try:
                technique = move.technique.prepared(self.experiments.model, self.experiments.sealed)
            except TimeUpError:
                raise
            except Exception:  # of any technique or model; the trial will say why
                technique = move.technique
            self._prepared[move.name] = Move(technique)
        return self._prepared[move.name]

    def between(self) -> None:
        """Look for settings between one whose file is too large and one whose score is too low.

        A setting between the two may keep the whole budget.
        """
        turning = [
            m for m in self.moves if m.works_untrained and m.turns and m.name not in self.useless
        ]
        for move in map(self._ready, turning):
            if self.standing.fits(self.standing.best):
                return
            broken = {
                dial: set(self.standing.verdict(trial).broken) for dial, trial in self._seen(move)
            }
            large = [dial for dial, limits in broken.items() if limits and limits <= {*BYTES}]
            poor = [
                dial for dial, limits in broken.items() if limits and all(map(_is_of_loss, limits))
            ]
            if not large or not poor or max(large) >= min(poor):
                continue
            gentle, harsh, trial = max(large), min(poor), None
            for _ in range(HALVINGS):
                if self.clock.left < BETWEEN_LEFT * self.overhead():
                    return
                dial = (gentle + harsh) / 2
                trial = self.attempt(
                    Proposal(techniques=(move.at(dial, 0),), arm=move.name, dials=(dial,))
                )
                if trial is None or self.standing.fits(trial):
                    break
                if any(map(_is_of_loss, self.standing.verdict(trial).broken)):
                    harsh = dial
                else:
                    gentle = dial
            self.standing.round_over(f"between two settings of {move.name}", [(move.name, trial)])

    def refine(self) -> None:
        """Keep the layers that hurt most as they were, where only the limit on the drop is broken.

        This is done for untrained integers that break it by little.
        """
        drop, judge = limit_of(self.budget, "drop"), self.experiments.judge
        if drop is None or self.standing.fits(self.standing.best):
            return
        near = [
            (self.experiments.base - (trial.score or 0.0), move, dial, trial.cost.seconds or 0.0)
            for move in self.moves
            if not move.trains
            and move.stage is Stage.NUMBERS
            and isinstance(move.technique, ActsOnLayers)
            for dial, trial in self._seen(move)
            if set(self.standing.verdict(trial).broken) == {"drop"}
        ]
        if not near:
            return
        lost, move, dial, seconds = min(near, key=lambda row: row[0])
        most = int(REFINED_SHARE * max(self.clock.left, 0) / max(self.overhead(), seconds, 0.1))
        if lost > REFINED * max(drop, judge.base_error or 0.0) or most < FEWEST_TRIALS:
            return
        action: Any = self._ready(move).at(dial, 0)
        result = fallback(
            self.experiments.model,
            self.experiments.sealed,
            action,
            drop=drop,
            most=min(most, MOST_TRIALS),
            examples=judge.examples,
            seed=self.experiments.seed,
            folder=self.experiments.folder / "layers",
        )
        refined = self.attempt(
            Proposal(
                techniques=(result.technique,), arm=f"{move.name}, {len(result.kept)} layers kept"
            )
        )
        self.standing.round_over(
            f"{move.name}, layer by layer", [(f"{len(result.kept)} layers kept", refined)]
        )

    def _is_lost(self, trial: Trial) -> bool:
        """Whether a quarter of the score is lost, so that nothing harsher is worth a trial."""
        base = self.experiments.base
        return trial.score is None or trial.score < base - 0.25 * max(abs(base), 1e-9)

    def of(self, move: Move) -> list[Trial]:
        """The untrained trials of a move with a score."""
        return [trial for _, trial in self._seen(move)]

    def _seen(self, move: Move) -> list[tuple[float, Trial]]:
        """The untrained trials of a move with a score, each with its dial."""
        names = {dial: Proposal(techniques=(move.at(dial, 0),)).name for dial in UNTRAINED_DIALS}
        seen = self.standing.seen
        return [
            (dial, seen[name])
            for dial, name in names.items()
            if name in seen and seen[name].score is not None
        ]

    def overhead(self) -> float:
        """The median seconds of a trial without training; 1 where none was made."""
        ordered = sorted(self._overheads) or [1.0]
        return ordered[len(ordered) // 2]

    def polish(self, step: float) -> None:
        """Add techniques that code closer, without training, to the best chain.

        This is done where files are to be smaller and the model of that chain is in memory. `step`:
        seconds of a step of training.
        """
        best = self.standing.best
        if best is None or best.technique not in self._proposals:
            return
        large = is_large(self.standing.verdict(best))
        if not (large or wants_smaller(self.budget)):
            return
        before = self._proposals[best.technique]
        if not self.experiments.holds(before.techniques):
            return
        coders = [move for move in self.moves if move.stage is Stage.CODE and not move.trains]
        tried: list[tuple[str, Trial | None]] = []
        for move in coders:
            for dial in POLISH:
                if self.clock.left < POLISH_STEPS * step:
                    break
                longer = (*before.techniques, move.at(dial, 0))
                trial = self.attempt(
                    replace(before, techniques=longer, arm=f"{before.arm} + {move.name}", dials=())
                )
                tried.append((f"{before.arm} + {move.name}", trial))
                if not (large or self.standing.fits(trial)):
                    break
        if tried:
            self.standing.round_over("the same coded closer", tried[-1:])


def _is_of_loss(name: str) -> bool:
    """Whether a limit is on the drop, or on a score by name."""
    return name != "score" and is_of_score(name)
