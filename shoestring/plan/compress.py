"""The main job: from a Budget to the best file that keeps it, and the frontier found on the way."""

from __future__ import annotations

import json
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

from torch import nn

from shoestring.artifact import save
from shoestring.artifact.format.saving import check_place
from shoestring.core import Budget, BudgetError, Gauge, Ledger, Task, check_task, unwrapped
from shoestring.core.resource import LIMITED
from shoestring.kit import Trial, compressible, listening, parameter_bytes
from shoestring.kit.progress import LOG
from shoestring.meters import default_meters
from shoestring.plan.clock import Clock, TimeUpError, told
from shoestring.plan.experiments import Experiments
from shoestring.plan.forecast import Forecast, foretell
from shoestring.plan.frontier import TINY, Frontier, gist
from shoestring.plan.kept import NOTE
from shoestring.plan.outcome import Outcome
from shoestring.plan.place import Temporary, alone_in, folder_of
from shoestring.plan.rounds import LOOKED_AGAIN
from shoestring.plan.search import Search
from shoestring.plan.standing import Standing
from shoestring.plan.verdict import HAVING, better, judge

MINUTES = 10.0
"""What a search takes where nobody says."""
_APART = (
    "  the storage has trials, and none of this model: a machine that searches on the same model, "
    "task and seed scores it differently (other "
    "data, another sample, a processor that rounds otherwise), and shares nothing"
)
FORECAST_SECONDS = 5.0  # for files without training
ENDING_SECONDS = 3.0
"""Of the end of a command, besides scoring and timing again."""
RETIMED = 3
"""How many of the best are timed again at the end, for `LOOKED_AGAIN` times as long, where
milliseconds are limited.
"""
KEPT_BYTES = 100e6
"""Of files of trials that are kept in the folder of a search although another beats them."""


def compress(
    model: nn.Module,
    task: Task,
    budget: str | Budget = "",
    path: str | Path | None = None,
    *,
    minutes: float | None = None,
    meters: Sequence[Gauge] | None = None,
    ledger: Ledger | None = None,
    run: str | None = None,
    seed: int = 0,
    smallest: bool = False,
    storage: str | None = None,
    began: float | None = None,
    share: tuple[int, int] = (0, 1),
    say: Callable[[str], None] = lambda text: None,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Outcome:
    """Search for the best file of a trained model that keeps a budget, and write it at `path`, the
    best so far from the first seconds on.

    First come files that take no training, then rounds of ever longer training on ever fewer kinds
    of chain, out of all techniques there are. Among the files that keep every limit the one of the
    highest validation score is delivered, where only the score is limited the smallest; without a
    budget, the smallest that loses nothing beyond two standard errors. Where no file keeps every
    limit, the nearest is delivered: the one that breaks the fewest, by the least.

    `budget`: limits as text or a Budget; shares (`latency<=50%`) are of what came in. `minutes` for
        all of it (10, unless the budget limits time), counted from `began` (of time.monotonic(),
        now).
    `path`: None for a temporary file that lasts as long as the outcome. `meters` measure what is
        limited besides bytes; None for those of the budget. What was measured stays in `path` +
        ".study": the next search on the same model starts from it, and one that was killed goes on.
    `storage`: where several machines share a study, see `kit.Study`.
    `share`: of several processes that search together, which this is and how many there are.
        `smallest` is that of `kit.write`. KeyboardInterrupt ends the search, not the delivery: the
        outcome has the best so far and `interrupted`. Raises BudgetError or ValueError for a
        budget, model or task that cannot be worked with, ExportError, OSError.
    """
    with searching(
        model,
        task,
        budget,
        path,
        minutes=minutes,
        meters=meters,
        ledger=ledger,
        run=run,
        seed=seed,
        smallest=smallest,
        storage=storage,
        began=began,
        share=share,
        say=say,
        tell=tell,
    ) as outcome:
        return outcome


@contextmanager
def searching(
    model: nn.Module,
    task: Task,
    budget: str | Budget = "",
    path: str | Path | None = None,
    **settings: Any,
) -> Iterator[Outcome]:
    """The outcome of `compress`, within.

    No other command searches or delivers at the path until the end.
    """
    kept = Temporary() if path is None else None
    file = kept.path / "model.shoe" if kept is not None else Path(path or "")
    check_place(file)
    say = settings.pop("say", None)
    with alone_in(folder_of(file)):
        job = Job.of(model, task, budget, file, say=also_logged(say), **settings)
        try:
            yield replace(job.run(), _kept=kept)
        finally:
            job.experiments.study.close()


@dataclass
class Job:
    """A search that is to be made: what `compress` and each of its worker processes has."""

    budget: Budget
    path: Path
    clock: Clock
    experiments: Experiments
    storage: str | None = None
    share: tuple[int, int] = (0, 1)
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
        asked: Callable[[], bool] = lambda: False,
        say: Callable[[str], None] = lambda text: None,
        tell: Callable[[dict[str, Any]], None] = lambda event: None,
        **settings: Any,
    ) -> Job:
        """The job, its model measured; `settings` are those of Experiments.

        Raises what `compress` raises.
        """
        model = unwrapped(model)
        check_task(task)
        limits = (
            budget
            if isinstance(budget, Budget)
            else Budget.parse(budget)
            if budget.strip()
            else Budget()
        )
        for name, one in LIMITED.items():
            if one.getting and name != "time" and getattr(limits, name) is not None:
                raise BudgetError(
                    f"compress does not count {one.about}: leave {name} out of the budget"
                )
        if not list(compressible(model, "compress")):
            raise ValueError(
                "the model has no weight with two axes or more: there is nothing to compress"
            )
        seconds = (
            limits.time
            if limits.time is not None
            else 60 * (MINUTES if minutes is None else minutes)
        )
        if not seconds > 0:
            raise BudgetError(f"the time is {seconds:g} s: give more than 0")
        clock = Clock(float(seconds), monotonic() if began is None else began, say, asked)
        meters = list(default_meters(limits) if meters is None else meters)
        for name, one in HAVING.items():
            if (
                name != "size"
                and getattr(limits, name) is not None
                and one.field not in {meter.measures for meter in meters}
            ):
                raise BudgetError(
                    f"the budget limits {name}, and no meter that was given measures it: add one, "
                    "or leave meters out"
                )
        for meter in meters:
            if why := meter.why_not():
                limit = next(name for name, one in HAVING.items() if one.field == meter.measures)
                raise BudgetError(
                    f"the budget limits {limit}, and that cannot be measured here: {why}. Leave "
                    f"{limit} out of the budget"
                )
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
                    **settings,
                )
        except TimeUpError:
            raise _too_short(clock) from None
        # At the end both files are scored on test data and timed, and up to three of the best are
        # timed again.
        again = (
            0.0
            if experiments.latency is None
            else LOOKED_AGAIN * RETIMED * experiments.timing_seconds
        )
        clock.reserve(ENDING_SECONDS + experiments.judge.proving + again)
        return cls(limits, path, clock, experiments, storage, share, say, tell)

    def __post_init__(self) -> None:
        if self.clock.is_up:
            raise _too_short(self.clock)
        self.limits = self._limits()
        if self.limits.score is not None and self.limits.score > 1 >= self.experiments.base >= 0:
            raise BudgetError(
                f"the score is to be {self.limits.score:g} and the model that came in has "
                f"{self.experiments.base:.4f}: write "
                f"score>={self.limits.score:g}%, or a number below 1"
            )
        self._warn_if_too_fine()

    def _limits(self) -> Budget:
        """The budget in numbers; without one, what the smallest of three named points may lose."""
        limits = replace(self.budget, time=None).against(
            self.experiments.came_in, self.experiments.scores
        )
        if limits == Budget():
            return Budget(drop=TINY * abs(self.experiments.base))
        return limits

    def _warn_if_too_fine(self) -> None:
        error, drop = self.experiments.judge.base_error, self.limits.drop
        if error is None or drop is None or drop >= 2 * error or self.budget.drop is None:
            return
        count = self.experiments.judge.count
        assert count is not None
        needed = (
            f"; about {_two_digits(count * (2 * error / drop) ** 2):,} examples would tell"
            if drop > 0
            else ""
        )
        warnings.warn(
            f"the limit drop<={drop:g} is finer than two standard errors of the validation score "
            f"({2 * error:.2g}, from {count:,} "
            f"examples): with this little validation data it is partly luck{needed}",
            stacklevel=8,  # whoever called compress
        )

    def search(self, improved: Callable[[Trial], None] = lambda trial: None) -> bool:
        """Search until the time is up or nothing is left to gain; whether it was interrupted."""
        search = Search(
            Standing(self.experiments, self.limits, self.clock, improved, self.say, self.tell),
            self.share,
        )
        with listening(self.clock):
            try:
                search.look(until=self.clock.gone + min(FORECAST_SECONDS, 0.1 * self.clock.seconds))
                self._foretold(search)
                search.run()
            except KeyboardInterrupt:
                return True
        return False

    def _foretold(self, search: Search) -> None:
        found = foretell(search)
        self.say(f"  {found}")
        self.tell(found.as_json())

    def run(self) -> Outcome:
        """The search, and its outcome."""
        if self.storage is not None and self.experiments.study.is_apart():
            self.say(_APART)
        self._note(self.frontier([self.experiments.original]))
        return self._outcome(self.search(self._deliver))

    def _deliver(self, trial: Trial) -> None:
        save(self.path, self.experiments.bytes_of(trial))
        self.experiments.note_names([trial])

    def _had(self) -> list[Trial]:
        """The trials of which the file is there."""
        return [one for one in self.experiments.trials() if self.experiments.has_file(one)]

    def _outcome(self, interrupted: bool) -> Outcome:
        experiments, base = self.experiments, self.experiments.base
        key: Any = better(self.limits, base)
        trials = self._had()
        first = min(trials, key=key)
        if (
            self.limits.latency is not None and not interrupted
        ):  # what nearly decides is timed longer
            for one in sorted(trials, key=key)[:RETIMED]:
                experiments.again(one, LOOKED_AGAIN * experiments.timing_seconds)
            trials = self._had()
        ordered, frontier = sorted(trials, key=key), self.frontier(trials)
        trial = ordered[0]
        if replace(self.budget, time=None) == Budget():  # the one that loses nothing
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
            _model=lambda: experiments.model_of(trial, self.path),
        )

    def _sweep(self, wanted: Sequence[Trial], trials: Sequence[Trial]) -> None:
        """Delete the files that nobody asks for any more, as far as the folder would become large:
        another budget may ask for them.
        """
        room, keep = KEPT_BYTES, [one for one in wanted if one.file is not None]
        for one in sorted(trials, key=lambda one: one.cost.bytes or 0):
            room -= one.cost.bytes or 0
            if room > 0 and one.file is not None:
                keep.append(one)
        self.experiments.study.sweep(keep)

    def _note(self, frontier: Frontier) -> None:
        """Write down what `plan.kept` wants to know of the search."""
        found = {
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
            "points": [one.to_json() for one in frontier.points],
            "fields": list(frontier.fields),
            "budget": str(self.budget),
        }
        save(self.experiments.folder / NOTE, json.dumps(found, indent=1).encode())

    def frontier(self, trials: Sequence[Trial]) -> Frontier:
        """Of bytes and what the budget limits besides."""
        limited = [
            one.field for name, one in HAVING.items() if getattr(self.limits, name) is not None
        ]
        fields = list(dict.fromkeys([*limited, "bytes"]))
        return Frontier.of(
            trials,
            fields,
            self.experiments.base,
            base_error=self.experiments.judge.base_error,
            bytes_before=parameter_bytes(self.experiments.model),
        )


def forecast(
    model: nn.Module,
    task: Task,
    budget: str | Budget = "",
    *,
    minutes: float | None = None,
    meters: Sequence[Gauge] | None = None,
    seed: int = 0,
    began: float | None = None,
) -> Forecast:
    """What `compress` would come to, from a step of training, a few files without training and what
    the reference jobs came to.

    Takes about ten seconds, more where the model alone takes longer to export and score. Raises
    what `compress` raises.
    """
    with tempfile.TemporaryDirectory(prefix="shoestring-") as folder:
        job = Job.of(
            model,
            task,
            budget,
            Path(folder) / "model.shoe",
            minutes=minutes,
            meters=meters,
            seed=seed,
            began=began,
        )
        with listening(job.clock):
            search = Search(Standing(job.experiments, job.limits, job.clock, lambda trial: None))
            search.look(until=job.clock.gone + FORECAST_SECONDS)
            return foretell(search)


def also_logged(say: Callable[[str], None] | None) -> Callable[[str], None]:
    """What tells a line to `say` and to the logger "shoestring"."""

    def tell_and_log(text: str) -> None:
        LOG.info(text.strip())
        if say is not None:
            say(text)

    return tell_and_log


def _too_short(clock: Clock) -> BudgetError:
    return BudgetError(
        f"measuring the model as it came in took {told(clock.gone)}, and the whole command may "
        f"take {told(clock.seconds)}: give more "
        "time, or fewer validation examples"
    )


def _without_password(storage: str | None) -> str | None:
    """The storage as it may be written down.

    The password of a database stays with who knows it (PGPASSWORD, ~/.pgpass).
    """
    return storage if storage is None else re.sub(r"(://[^:/@]+):[^@/]*@", r"\1@", storage)


def _two_digits(value: float) -> int:
    """Up to the next number of two digits."""
    digits = max(len(str(int(value))) - 2, 0)
    return -int(-value // 10**digits) * 10**digits
