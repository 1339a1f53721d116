"""Files without training: the first within seconds, then the settings that do well most often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import sleep
from typing import Any

from shoestring.core import ActsOnLayers, Stage
from shoestring.core.budget import is_of_score
from shoestring.kit import Trial, compressible
from shoestring.plan.arms import UNTRAINED_DIALS
from shoestring.plan.clock import TimeUpError
from shoestring.plan.fallback import fallback
from shoestring.plan.moves import Move, moves
from shoestring.plan.proposal import Proposal
from shoestring.plan.standing import Standing
from shoestring.plan.verdict import limit_of, wants_smaller
from shoestring.quantize import PostTraining

POLISH = (0.35, 0.6)  # how hard what codes closer presses
POLISH_STEPS = 400  # of training take as long as that, about
REFINED_SHARE, FEWEST_TRIALS, MOST_TRIALS = (
    0.15,
    5,
    30,
)  # of the time, and of layers left alone that are tried
HALVINGS = 4  # between two settings of which one is too large and the other too poor
BETWEEN_LEFT = 4.0  # times as long as a trial takes must be left for one between two settings
FEW, NEARLY_ALL = 0.3, 0.9  # of the weights
REFINED = 5.0  # times the drop that may be lost, beyond which leaving layers alone is not tried


@dataclass
class Untrained:
    """What a search tries without training, and what it learns by it.

    `useless`: moves that change nothing in this model, or fail on it.
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
        """What comes of a proposal.

        Where another process is at it: waits, and takes it over where that goes away, or None.
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
        """Files that take no training, the most promising settings first, for so many seconds.

        One at least. For so many `more` while none keeps the budget, which settings that are left
        may do: those that cannot are passed over. Those that were made, or were known, each with
        the name of its move. Where the first of all is too harsh, the same move's gentle end comes
        next, so that what lies between the two can be looked for, however little time there is.
        """
        ends = self.clock.gone + seconds
        last: dict[str, list[tuple[float, Trial]]] = {}
        busy: list[tuple[Move, float]] = []
        candidates = sorted(
            (m for m in self.moves if m.works_untrained), key=self._how_early, reverse=True
        )

        def one(move: Move, dial: float, *, wait: bool) -> bool:
            """Whether there is time for more."""
            if move.name in self.useless or (not move.turns and dial != UNTRAINED_DIALS[0]):
                return True
            if any(self._says_enough(dial, *known) for known in last.get(move.name, ())):
                return True
            is_late = self.clock.gone > ends + (
                0.0 if self.standing.fits(self.standing.best) else more
            )
            if (is_late and last) or self.standing.nothing_to_gain:
                return False
            trial = self.attempt(
                Proposal(techniques=(move.at(dial, 0),), arm=move.name, dials=(dial,)), wait=wait
            )
            if trial is None:
                busy.append((move, dial))
            elif trial.score is None or trial.sha256 == self.experiments.sha256:
                self.useless.add(move.name)
            else:
                last.setdefault(move.name, []).append((dial, trial))
                tried.append((move.name, trial))
            return True

        tried: list[tuple[str, Trial]] = []
        order = [(dial, move) for dial in self._dials() for move in candidates]
        order.sort(
            key=lambda pair: pair[1] is not candidates[0] or pair[0] not in self._dials()[:2]
        )
        all(one(self._ready(move), dial, wait=False) for dial, move in order)
        all(one(move, dial, wait=True) for move, dial in list(busy))
        return tried

    def _says_enough(self, dial: float, known: float, trial: Trial) -> bool:
        """Whether a trial of the same move at another dial leaves nothing to be hoped for at this
        one.
        """
        if dial > known:
            return self._is_lost(trial)
        enough = wants_smaller(self.budget) and self.standing.fits(trial)
        return enough or "size" in self.standing.verdict(trial).broken

    def _how_early(self, move: Move) -> tuple[int, int]:
        """What is fast and does well comes first.

        Kernels where they reach nearly all weights, which levels that a whole tensor shares do not
        do as well; last what reaches few of the weights of this network, as kernels do in a
        recurrent one.
        """
        technique, model = move.technique, self.experiments.model
        if move.trains or not isinstance(technique, ActsOnLayers):
            return 1, move.first
        try:
            names = set(technique.layers(model, self.experiments.sealed))
        except Exception:  # of anybody's technique; the trial will say why
            return 0, move.first
        sizes = {one.name: one.raw.numel() for one in compressible(model, "compress")}
        reached = sum(size for name, size in sizes.items() if name.rpartition(".")[0] in names)
        share = reached / max(sum(sizes.values()), 1)
        return 2 if isinstance(technique, PostTraining) and share > NEARLY_ALL else int(
            share > FEW
        ), move.first

    def _dials(self) -> Sequence[float]:
        """How hard the settings press, in the order that they are tried in.

        Where bytes are not asked for, the gentlest first.
        """
        if wants_smaller(self.budget) or limit_of(self.budget, "size") is not None:
            return UNTRAINED_DIALS
        return sorted(UNTRAINED_DIALS, key=lambda dial: dial > 0)

    def _ready(self, move: Move) -> Move:
        """The move with what it needs of the model worked out once, for all its trials."""
        if move.trains or move.name in self.useless:
            return move
        if move.name not in self._prepared:
            try:
                technique = move.technique.prepared(self.experiments.model, self.experiments.sealed)
            except TimeUpError:
                raise
            except Exception:  # of anybody's technique or model; the trial will say why
                technique = move.technique
            self._prepared[move.name] = Move(technique)
        return self._prepared[move.name]

    def between(self) -> None:
        """Where a setting of a move keeps all but the bytes, and a harsher one all but the score,
        look between the two: one may keep both.
        """
        for move in map(
            self._ready,
            [m for m in self.moves if m.works_untrained and m.turns and m.name not in self.useless],
        ):
            if self.standing.fits(self.standing.best):
                return
            broken = {
                dial: set(self.standing.verdict(trial).broken)
                for dial in UNTRAINED_DIALS
                if (trial := self.standing.seen.get(Proposal(techniques=(move.at(dial, 0),)).name))
                is not None
                and trial.score is not None
            }
            large = [dial for dial, limits in broken.items() if limits == {"size"}]
            poor = [
                dial for dial, limits in broken.items() if limits and all(map(_is_of_loss, limits))
            ]
            if not large or not poor or max(large) >= min(poor):
                continue
            gentle, harsh = max(large), min(poor)
            for _ in range(HALVINGS):
                if self.clock.left < BETWEEN_LEFT * self.overhead():
                    return
                dial = (gentle + harsh) / 2
                trial = self.attempt(
                    Proposal(techniques=(move.at(dial, 0),), arm=move.name, dials=(dial,))
                )
                if trial is None or self.standing.fits(trial):
                    break
                gentle, harsh = (
                    (gentle, dial)
                    if any(map(_is_of_loss, self.standing.verdict(trial).broken))
                    else (dial, harsh)
                )
            self.standing.round_over(f"between two settings of {move.name}", [(move.name, trial)])

    def refine(self) -> None:
        """Where whole numbers keep all limits but the one on the score, and that nearly.

        Leave the layers alone that hurt most.
        """
        drop, base, judged = (
            limit_of(self.budget, "drop"),
            self.experiments.base,
            self.experiments.judge,
        )
        if drop is None or self.standing.fits(self.standing.best):
            return
        near = [
            (base - trial.score, move, dial, trial.cost.seconds or 0.0)
            for move in self.moves
            if not move.trains
            and move.stage is Stage.NUMBERS
            and isinstance(move.technique, ActsOnLayers)
            for dial in UNTRAINED_DIALS
            if (trial := self.standing.seen.get(Proposal(techniques=(move.at(dial, 0),)).name))
            is not None
            and trial.score is not None
            and set(self.standing.verdict(trial).broken) == {"drop"}
        ]
        if not near:
            return
        lost, move, dial, seconds = min(near, key=lambda one: one[0])
        most = int(REFINED_SHARE * max(self.clock.left, 0) / max(self.overhead(), seconds, 0.1))
        if lost > REFINED * max(drop, judged.base_error or 0.0) or most < FEWEST_TRIALS:
            return
        action: Any = self._ready(move).at(dial, 0)
        found = fallback(
            self.experiments.model,
            self.experiments.sealed,
            action,
            drop=drop,
            most=min(most, MOST_TRIALS),
            examples=judged.examples,
            seed=self.experiments.seed,
            folder=self.experiments.folder / "layers",
        )
        refined = self.attempt(
            Proposal(
                techniques=(found.technique,), arm=f"{move.name}, {len(found.kept)} layers kept"
            )
        )
        self.standing.round_over(
            f"{move.name}, layer by layer", [(f"{len(found.kept)} layers kept", refined)]
        )

    def _is_lost(self, trial: Trial) -> bool:
        """Whether so much of the score is gone that nothing harsher is worth a trial."""
        base = self.experiments.base
        return trial.score is None or trial.score < base - 0.25 * max(abs(base), 1e-9)

    def of(self, move: Move) -> list[Trial]:
        """What is known of a move without training."""
        names = [Proposal(techniques=(move.at(dial, 0),)).name for dial in UNTRAINED_DIALS]
        return [self.standing.seen[name] for name in names if name in self.standing.seen]

    def overhead(self) -> float:
        """Seconds that a trial takes besides training."""
        ordered = sorted(self._overheads) or [1.0]
        return ordered[len(ordered) // 2]

    def polish(self, step: float) -> None:
        """What codes better without training, put behind the best chain, where files are to be
        smaller and its model is in memory; `step`: seconds of a step of training.
        """
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
                if self.clock.left < POLISH_STEPS * step:
                    break
                chain_ = (*before.techniques, move.at(dial, 0))
                trial = self.attempt(
                    replace(before, techniques=chain_, arm=f"{before.arm} + {move.name}", dials=())
                )
                tried.append((f"{before.arm} + {move.name}", trial))
                if not (large or self.standing.fits(trial)):
                    break
        if tried:
            self.standing.round_over("the same coded closer", tried[-1:])


def _is_of_loss(name: str) -> bool:
    """Whether a limit is on what may be lost of the score, or on a score by name."""
    return name != "score" and is_of_score(name)
