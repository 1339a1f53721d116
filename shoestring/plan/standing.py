"""The standing of a search: the best trial so far, and the lines that report it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shoestring.core import Budget
from shoestring.core.budget import scores_limited
from shoestring.kit import Trial
from shoestring.kit.clock import Clock, duration
from shoestring.plan.experiments import Experiments
from shoestring.plan.verdict import Verdict, better, judge, limit_of, wants_smaller

LEAST_SHARE = 0.25
"""The least share of a limit on flash that a file is aimed at, however much the code takes."""


@dataclass
class Standing:
    """The best of the trials so far, under a budget in numbers.

    `improved`: gets each trial that is the best so far.
    `say`: gets a line for each round.
    `tell`: gets the same as a dictionary.
    `best`: None before `begin`.
    """

    experiments: Experiments
    budget: Budget
    clock: Clock
    improved: Callable[[Trial], None]
    say: Callable[[str], None] = lambda text: None
    tell: Callable[[dict[str, Any]], None] = lambda event: None
    best: Trial | None = None

    def __post_init__(self) -> None:
        self.key: Any = better(self.budget, self.experiments.base)
        self.seen: dict[str, Trial] = {}
        self._reported_first = False

    def verdict(self, trial: Trial) -> Verdict:
        """Which limits a trial keeps and breaks."""
        return judge(self.budget, trial, self.experiments.base)

    def fits(self, trial: Trial | None) -> bool:
        """Whether a trial keeps every limit."""
        return trial is not None and self.verdict(trial).fits

    @property
    def most_bytes(self) -> float | None:
        """The bytes that a file may have by the limits on size and flash; None for any.

        The code of a network takes flash too: as much as the least that a trial had beyond the
        bytes of its file.
        """
        size, flash = limit_of(self.budget, "size"), limit_of(self.budget, "flash")
        if flash is None:
            return size
        code = [
            trial.cost.flash_bytes - trial.cost.bytes
            for trial in self.seen.values()
            if trial.cost.flash_bytes is not None and trial.cost.bytes is not None
        ]
        least = max(flash - max(min(code, default=0), 0), LEAST_SHARE * flash)
        return least if size is None else min(size, least)

    @property
    def nothing_to_gain(self) -> bool:
        """Whether the best keeps every limit beyond noise and has lost nothing.

        It is never so where files are to be ever smaller.
        """
        if wants_smaller(self.budget) or self.best is None or self.best.score is None:
            return False
        verdict = self.verdict(self.best)
        return verdict.fits and not verdict.undecided and self.best.score >= self.experiments.base

    def begin(self, trials: Sequence[Trial]) -> None:
        """Note the trials that are known already, and deliver the best of them.

        The model that came in is one of them.
        """
        kept = [trial for trial in trials if self.experiments.has_file(trial)]
        self.seen |= {trial.technique: trial for trial in trials}
        self._deliver(min(kept, key=self.key))

    def take(self, trial: Trial | None) -> None:
        """Note a trial, and deliver it where it is the best so far."""
        if trial is None or trial.score is None:
            return
        self.seen[trial.technique] = trial
        if self.best is None or self.key(trial) < self.key(self.best):
            # The file of a trial of an earlier search may be gone, where it did not matter there.
            if not self.experiments.has_file(trial):
                return
            self._deliver(trial)
            if not self._reported_first:
                self._reported_first = True
                self.say(f"  first file after {duration(self.clock.gone)}: {self.words(trial)}")
                self.tell({"event": "first", **self._data(trial)})

    def _deliver(self, trial: Trial) -> None:
        self.experiments.pinned = trial.technique
        self.best = trial
        self.improved(trial)

    def refresh(self) -> None:
        """Note the trials that other processes made since."""
        for trial in self.experiments.trials():
            self.take(trial)

    def words(self, trial: Trial) -> str:
        """The bytes, the score and what was measured besides, as text."""
        assert trial.score is not None
        text = (
            f"{trial.cost.bytes or 0:,} bytes, score {trial.score:.4f} "
            f"({trial.score - self.experiments.base:+.4f})"
        )
        if trial.cost.milliseconds is not None:
            text += f", {trial.cost.milliseconds:.3g} ms"
        if trial.cost.flash_bytes is not None:
            text += f", {trial.cost.flash_bytes:,} bytes of flash"
        if trial.cost.ram_bytes is not None:
            text += f", {trial.cost.ram_bytes:,} bytes of RAM"
        for name in scores_limited(self.budget):
            if name in trial.scores:
                text += f", {name} {trial.scores[name]:.4f}"
        return text

    def _data(self, trial: Trial) -> dict[str, Any]:
        return {
            "technique": trial.technique,
            "score": trial.score,
            "cost": trial.cost.measured(),
            "seconds": self.clock.gone,
            "fits": self.fits(trial),
            **({"scores": trial.scores} if trial.scores else {}),
        }

    def round_over(self, what: str, tried: Sequence[tuple[str, Trial | None]]) -> None:
        """Report a round: what was tried, the seconds it took, the best so far, the time left."""
        assert self.best is not None
        parts = [
            f"{name} {self.words(trial)}"
            for name, trial in tried
            if trial is not None and trial.score is not None
        ]
        seconds = sum(trial.cost.seconds or 0 for _, trial in tried if trial is not None)
        fits = "keeps the budget" if self.fits(self.best) else "nearest so far"
        self.say(
            f"  {what}: {'; '.join(parts) or 'nothing new'} ({duration(seconds)})\n"
            f"    best: {self.words(self.best)}, {fits}; "
            f"{duration(self.clock.seconds - self.clock.gone)} left in all"
        )
        self.tell(
            {
                "event": "round",
                "what": what,
                "tried": [name for name, _ in tried],
                "left": self.clock.left,
                **self._data(self.best),
            }
        )
        self.clock.rest()
