"""A job: one search for a budget, from the model that comes in to the file that is delivered."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from torch import nn

from shoestring.artifact import save
from shoestring.artifact.format.names import NOTE
from shoestring.core import Budget, BudgetError, Gauge, Task, check_task, unwrapped
from shoestring.kit import Trial, listening, parameter_bytes
from shoestring.kit.clock import Clock, TimeUpError, duration
from shoestring.plan.aiming import LOOKED_AGAIN
from shoestring.plan.bought import Bought
from shoestring.plan.checks import (
    checked_limits,
    checked_meters,
    of_having,
    remark_on_drop,
    seconds_of,
)
from shoestring.plan.experiments import Experiments
from shoestring.plan.folder import folder_of
from shoestring.plan.forecast import forecast_of
from shoestring.plan.frontier import TINY, Frontier, free_in_words, gist
from shoestring.plan.learnt import Learnt
from shoestring.plan.outcome import Outcome
from shoestring.plan.search import Search
from shoestring.plan.standing import Standing
from shoestring.plan.verdict import HAVING, better, judge

FORECAST_SECONDS = 5.0
"""Seconds for files without training, before a forecast."""
ENDING_SECONDS = 3.0
"""Seconds for the end of a command, besides scoring and timing again."""
RETIMED = 3
"""How many of the best trials are timed again at the end, where milliseconds are limited.

Each is timed for `LOOKED_AGAIN` times as long as before.
"""
KEPT_BYTES = 100e6
"""Bytes of trials' files that stay in the folder of a search although other files beat them."""
_APART = (
    "  the storage has trials, and none of this model: a machine that searches on the same model, "
    "task and seed scores it differently (other data, another sample, a processor that rounds "
    "otherwise), and shares nothing"
)


@dataclass
class Job:
    """One search, with all that it needs; `compress` and each worker process has one.

    `budget`: as it was given; `limits` are the same in numbers.
    `path`: of the file to deliver.
    `storage`: of a study that machines share; None for the folder of the search.
    `share`: the index of this process among those that search together, and how many there are.
    `command`: the words of the command that searches; () where it is none.
    `bought`: the labels that were bought for it, where the budget limits them.
    `learnt`: what was learnt from examples without labels, where the task has some.
    `say`, `tell`: get progress, as lines and as dictionaries.
    """

    budget: Budget
    path: Path
    clock: Clock
    experiments: Experiments
    storage: str | None = None
    share: tuple[int, int] = (0, 1)
    command: Sequence[str] = ()
    bought: Bought | None = None
    learnt: Learnt | None = None
    say: Callable[[str], None] = lambda text: None
    tell: Callable[[dict[str, Any]], None] = lambda event: None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        task: Task,
        budget: str | Budget,
        path: Path,
        *,
        minutes: float | None = None,
        meters: Sequence[Gauge] | None = None,
        began: float | None = None,
        storage: str | None = None,
        share: tuple[int, int] = (0, 1),
        command: Sequence[str] = (),
        bought: Bought | None = None,
        learnt: Learnt | None = None,
        asked: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda text: None,
        tell: Callable[[dict[str, Any]], None] = lambda event: None,
        **settings: Any,
    ) -> Job:
        """The job for a model, which is exported, scored and timed here.

        The arguments are those of `compress`, `settings` those of Experiments. `asked` tells
        whether somebody asked the search to end. Raises what `compress` raises.
        """
        model = unwrapped(model)
        check_task(task)
        limits = checked_limits(budget, model)
        seconds = seconds_of(limits, minutes)
        clock = Clock(seconds, monotonic() if began is None else began, say, asked)
        meters = checked_meters(limits, meters)
        try:
            with listening(clock):
                experiments = Experiments(
                    model,
                    task,
                    folder_of(path),
                    meters,
                    storage=storage,
                    timing_seconds=min(max(seconds / 200, 0.4), 1.5),
                    score_seconds=max(seconds / 60, min(seconds / 40, 1.5)),
                    labels="".join(one.digest for one in (bought, learnt) if one is not None),
                    **settings,
                )
        except TimeUpError:
            raise _too_short(clock, bought) from None
        clock.reserve(_ending_seconds(experiments))
        if remark := remark_on_drop(limits.drop, experiments.base):
            say(remark)
        return cls(
            limits, path, clock, experiments, storage, share, command, bought, learnt, say, tell
        )

    def __post_init__(self) -> None:
        if self.clock.is_up:
            raise _too_short(self.clock, self.bought)
        self.limits = self._limits()
        if self.limits.score is not None and self.limits.score > 1 >= self.experiments.base >= 0:
            raise BudgetError(
                f"the score is to be {self.limits.score:g} and the model that came in has "
                f"{self.experiments.base:.4f}: write score>={self.limits.score:g}%, or a number "
                "below 1"
            )
        self._warn_if_too_fine()

    def _limits(self) -> Budget:
        """The budget in numbers; without one, the drop that the named point "tiny" may have."""
        for name, resource in HAVING.items():
            limited = getattr(self.budget, name) is not None
            if limited and getattr(self.experiments.original.cost, resource.field) is None:
                why = "; ".join(self.experiments.weighing.unmeasured) or "its meter gave nothing"
                raise BudgetError(
                    f"the budget limits {name}, and it was not measured of the model that came in: "
                    f"{why}. Leave {name} out of the budget, or change what is named"
                )
        limits = of_having(self.budget).against(self.experiments.came_in, self.experiments.scores)
        if limits == Budget():
            return Budget(drop=TINY * abs(self.experiments.base))
        return limits

    def _warn_if_too_fine(self) -> None:
        """Warn where the limit on the drop is below what the validation data can tell."""
        error, drop = self.experiments.judge.base_error, self.limits.drop
        if error is None or drop is None or drop >= 2 * error or self.budget.drop is None:
            return
        count = self.experiments.judge.count
        assert count is not None
        needed = ""
        if drop > 0:
            examples = _two_digits(count * (2 * error / drop) ** 2)
            needed = f"; about {examples:,} examples would tell"
        warnings.warn(
            f"the limit drop<={drop:g} is finer than two standard errors of the validation score "
            f"({2 * error:.2g}, from {count:,} examples): with this little validation data it is "
            f"partly luck{needed}",
            stacklevel=8,  # whoever called compress
        )

    def search(self, improved: Callable[[Trial], None] = lambda trial: None) -> bool:
        """Search until the time is up or nothing is left to gain.

        `improved` gets each trial that is the best so far. Returns whether it was interrupted.
        """
        search = Search(
            Standing(self.experiments, self.limits, self.clock, improved, self.say, self.tell),
            self.share,
        )
        with listening(self.clock):
            try:
                if of_having(self.budget) == Budget():
                    self.say(free_in_words(self.experiments.judge))
                search.look(until=self.clock.gone + min(FORECAST_SECONDS, 0.1 * self.clock.seconds))
                prediction = forecast_of(search)
                if self.bought is not None:
                    prediction = replace(prediction, labels=self.bought.labels)
                self.say(f"  {prediction}")
                self.tell(prediction.as_json())
                search.run()
            except KeyboardInterrupt:
                return True
        return False

    def run(self) -> Outcome:
        """Search, deliver the best file, and return the outcome."""
        if self.storage is not None and self.experiments.study.is_apart():
            self.say(_APART)
        self._note(self.frontier([self.experiments.original]))
        return self._outcome(self.search(self._deliver))

    def _deliver(self, trial: Trial) -> None:
        """Write the file of a trial at the path."""
        save(self.path, self.experiments.bytes_of(trial))
        self.experiments.note_names([trial])

    def _with_files(self) -> list[Trial]:
        """The trials whose files still exist."""
        return [trial for trial in self.experiments.trials() if self.experiments.has_file(trial)]

    def _outcome(self, interrupted: bool) -> Outcome:
        experiments, base = self.experiments, self.experiments.base
        key: Any = better(self.limits, base)
        trials = self._with_files()
        first = min(trials, key=key)
        if self.limits.latency is not None and not interrupted:  # the best few are timed longer
            for candidate in sorted(trials, key=key)[:RETIMED]:
                experiments.again(candidate, LOOKED_AGAIN * experiments.timing_seconds)
            trials = self._with_files()
        ordered, frontier = sorted(trials, key=key), self.frontier(trials)
        trial = ordered[0]
        if of_having(self.budget) == Budget():  # no budget: the one that loses nothing
            trial = next(iter(frontier.named().values()), trial)
        elif trial.technique != first.technique:
            self.say(
                "  timed for longer, another is better than the best so far: "
                f"{gist(trial.technique)}, {trial.cost.bytes:,} bytes, score {trial.score:.4f}"
            )
        self._deliver(trial)
        experiments.note_names(trials)
        self._sweep([*frontier.points, *ordered[:3], trial], trials)
        self._note(frontier)
        return Outcome(
            trial=trial,
            verdict=judge(self.limits, trial, base),
            budget=self.budget,
            limits=self.limits,
            frontier=frontier,
            trials=tuple(trials),
            score_before=base,
            scores_before=experiments.scores,
            bytes_before=parameter_bytes(self.experiments.model),
            file=self.path,
            reference=experiments.reference,
            folder=experiments.folder,
            seconds=self.clock.gone,
            skipped=tuple(experiments.heard),
            interrupted=interrupted,
            examples=experiments.judge.examples,
            taught=experiments.taught.teaching(),
            bought=self.bought,
            learnt=self.learnt,
            _model=lambda: experiments.model_of(trial, self.path),
        )

    def _sweep(self, wanted: Sequence[Trial], trials: Sequence[Trial]) -> None:
        """Delete the files of trials that are not wanted, the largest ones first.

        Up to `KEPT_BYTES` of files stay, since a search with another budget may use them.
        """
        room, keep = KEPT_BYTES, [trial for trial in wanted if trial.file is not None]
        for trial in sorted(trials, key=lambda trial: trial.cost.bytes or 0):
            room -= trial.cost.bytes or 0
            if room > 0 and trial.file is not None:
                keep.append(trial)
        self.experiments.study.sweep(keep)

    def _note(self, frontier: Frontier) -> None:
        """Write down what `plan.kept` reads about the search."""
        note = {
            "model": self.experiments.study.model,
            "name": self.experiments.sealed.name,
            "base": frontier.base,
            "scores": self.experiments.scores,
            "base_error": frontier.base_error,
            "bytes_before": frontier.bytes_before,
            "storage": _without_password(self.storage),
            "original": self.experiments.reference.name,
            "original_cost": self.experiments.original.cost.measured(),
            "timer": self.experiments.weighing.timer,
            "points": [point.to_json() for point in frontier.points],
            "fields": list(frontier.fields),
            "budget": str(self.budget),
            "command": [_without_password(word) for word in self.command],
            "ledger": self._ledger(),
            "bought": None if self.bought is None else str(self.bought),
            "labels": None if self.bought is None else self.bought.labels,
            "learnt": None if self.learnt is None else str(self.learnt),
        }
        save(self.experiments.folder / NOTE, json.dumps(note, indent=1).encode())

    def _ledger(self) -> str | None:
        """The path of the ledger, from the folder of the search where there is such a path."""
        if self.experiments.ledger is None:
            return None
        path = Path(self.experiments.ledger.path).absolute()
        try:
            return os.path.relpath(path, self.experiments.folder.absolute())
        except ValueError:  # on another drive of Windows
            return str(path)

    def frontier(self, trials: Sequence[Trial]) -> Frontier:
        """The frontier of trials in score, bytes, and what else the budget limits."""
        limited = [
            resource.field
            for name, resource in HAVING.items()
            if getattr(self.limits, name) is not None
        ]
        fields = list(dict.fromkeys([*limited, "bytes"]))
        return Frontier.of(
            trials,
            fields,
            self.experiments.base,
            base_error=self.experiments.judge.base_error,
            bytes_before=parameter_bytes(self.experiments.model),
        )


def _ending_seconds(experiments: Experiments) -> float:
    """Seconds that the end of a command takes.

    Both files are scored on test data and timed, and up to `RETIMED` of the best are timed again.
    """
    retiming = (
        0.0 if experiments.latency is None else LOOKED_AGAIN * RETIMED * experiments.timing_seconds
    )
    return ENDING_SECONDS + experiments.judge.proving + retiming


def _too_short(clock: Clock, bought: Bought | None) -> BudgetError:
    kept = "; the labels that were bought are kept" if bought is not None and bought.labels else ""
    return BudgetError(
        "loading the model, exporting it and measuring it as it came in took "
        f"{duration(clock.gone)} of the {duration(clock.seconds)} that there are for it: give more "
        "time (--minutes), or fewer validation examples where scoring is what takes it"
        f"{kept}"
    )


def _without_password(storage: str | None) -> str | None:
    """The storage without the password of a database.

    A password that is not written down comes from PGPASSWORD or ~/.pgpass.
    """
    return None if storage is None else re.sub(r"(://[^:/@]+):[^@/]*@", r"\1@", storage)


def _two_digits(value: float) -> int:
    """The value rounded up to two digits: 1,234 becomes 1,300."""
    digits = max(len(str(int(value))) - 2, 0)
    return -int(-value // 10**digits) * 10**digits
