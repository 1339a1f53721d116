"""Finding a network: a search of a space within limits, remembered, for one process or many."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from statistics import median, stdev
from time import monotonic
from typing import Any

from torch import nn

from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Budget, Gauge, Task, check_task
from shoestring.kit import (
    Averaged,
    Study,
    Training,
    Trial,
    export,
    listening,
    pack,
)
from shoestring.kit.clock import ENDING, Clock, TimeUpError, duration
from shoestring.search.default_training import DENSE, SPARSE
from shoestring.search.estimates import CodedBytes, CountedOperations
from shoestring.search.evaluation import Evaluation
from shoestring.search.found import Found
from shoestring.search.halving import Halving
from shoestring.search.identity import check_fits, identity_of
from shoestring.search.limits import Feasible, broken_limits, limits_of_networks
from shoestring.search.method import Method
from shoestring.search.proposing import Proposals, SearchWarning, picks_of
from shoestring.search.space import Picks, Space
from shoestring.search.training_length import TooShortError, at, steps_for

DEATHS = 2
"""After how many processes died with a network it counts as failed."""
FAILURES = 3
"""After how many networks that failed, and none that did not, the search ends with their error."""
SLACK = 1.25
"""Times the seconds that a training is likely to take, which must be left for it to begin."""
ESTIMATES: tuple[Gauge, ...] = (CountedOperations(), CodedBytes())


def find(
    task: Task,
    space: Space,
    limits: str | Budget = "",
    folder: str | Path | None = None,
    *,
    method: Method | None = None,
    training: Training | None = None,
    estimates: Sequence[Gauge] = ESTIMATES,
    meters: Sequence[Gauge] = (),
    minutes: float = 10.0,
    most: int | None = None,
    seed: int = 0,
    storage: str | None = None,
    worker: int = 0,
    asked: Callable[[], bool] = lambda: False,
    began: float | None = None,
    say: Callable[[str], None] = lambda text: None,
    tell: Callable[[dict[str, Any]], None] = lambda event: None,
) -> Found:
    """Search a space for the network with the highest validation score that keeps limits.

    Networks that break a limit by their estimates are not trained. The others are trained for a
    part of a training, and the better ones for a longer part; each is scored on validation data.
    Those that are trained fully become files, on which the meters decide. Whatever was measured
    stays in the folder, from which the next search of the same task, space and training goes on;
    KeyboardInterrupt ends the search, and what was found so far is returned.

    `limits`: on having a network, in numbers: size, latency, operations, memory. The size counts
        after compression, which follows: it is decided on the estimate, and files are larger here.
    `folder`, `storage`: of the study, see `kit.Study`; None for a temporary folder. Processes may
        share them; so may machines, where `training` is given: its length is kept in the folder.
    `training`: of a network that is trained fully. None: the `default_training` of each, of as many
        steps as let the time train a dozen networks fully. After few steps batch norms need their
        average statistics: `Training(..., statistics=Averaged())`.
    `estimates`: meters of an untrained network. A limit that none of them measures is decided on
        the files alone.
    `method`: None: `Method()`. `meters`: of files, beside their bytes.
    `minutes`: for all of it, above 0.
    `most`: how many networks are begun at most, 1 or more; None for as many as there is time for.
    `worker`: the number of this process among those that share the folder, from 0.
    `asked`: whether somebody asked for the end, besides KeyboardInterrupt.
    `began`: the time from which minutes count, by time.monotonic(); None for now.
    `say`, `tell`: get progress, as lines, and as a dictionary for each network of this process.
    Raises BudgetError where no network of the space keeps the limits (it names the nearest), and
    for limits that a search cannot keep; ValueError for settings out of range; TooShortError where
    there is no time; the error of the first network where the first ones all fail; StudyError.
    """
    check_task(task)
    _check_numbers(minutes, most)
    clock = Clock(60 * minutes, monotonic() if began is None else began, say, asked)
    task, method = task.sealed(), method or Method()
    feasible = Feasible(space, task, limits_of_networks(limits), estimates)
    with ExitStack() as stack:
        path = Path(folder) if folder is not None else stack.enter_context(scratch_folder())
        chosen, identity = _begun(feasible, path, clock, method.halving, training, seed)
        stack.enter_context(listening(clock))
        study = stack.enter_context(Study(path, identity, storage=storage))
        how = method, chosen, training is None, meters
        return _Search(study, feasible, *how, clock, most, seed, worker, tell).done()


def _check_numbers(minutes: float, most: int | None) -> None:
    if not minutes > 0:
        raise ValueError(f"{minutes!r} minutes: give a number above 0")
    if most is not None and most < 1:
        raise ValueError(f"at most {most!r} networks: give 1 or more, or None")


def _begun(
    feasible: Feasible,
    folder: Path,
    clock: Clock,
    halving: Halving,
    training: Training | None,
    seed: int,
) -> tuple[Training, str]:
    """The training of a search, and what its trials belong to."""
    try:
        # A few steps tell how much time would be enough, even where it is up.
        with listening(Clock(math.inf, asked=clock.asked)):
            check_fits(feasible.task, feasible.space, seed)
            feasible.drawn(random.Random(seed))  # where nothing fits, it is said now
            chosen = training or _default(feasible, folder, clock, halving, seed)
        seen = training or ("suits", chosen)
        return chosen, identity_of(feasible.task, feasible.space, seen, seed)
    except TooShortError as error:
        enough = (clock.gone + error.seconds) / (1 - ENDING)
        why = f"{duration(clock.gone)} were gone before the first training, {error.why}"
        raise TooShortError(
            why,
            enough,
            f"{clock.seconds / 60:.3g} minutes are too few for a search: {why}. Give "
            f"{math.ceil(enough / 6) / 10:g} minutes",
        ) from None
    except IndexError as error:
        raise ValueError(
            f"a network of the space cannot be trained on the task ({error}): labels are classes "
            "from 0 on, and the space must have an answer for each"
        ) from error


def _default(
    feasible: Feasible, folder: Path, clock: Clock, halving: Halving, seed: int
) -> Training:
    """The training of a network where nobody says: of so many steps that the time is enough."""
    steps = steps_for(
        *(feasible.space, feasible.task, feasible, folder, clock.left, halving, seed, clock.say)
    )
    clock.say(
        f"  a full training has {steps:,} steps, by {SPARSE!r} for a network that is mostly tables "
        f"of which a batch changes few rows, and by {DENSE!r} for any other"
    )
    return Training(steps, DENSE, statistics=Averaged())


@dataclass
class _Search:
    """One search of this process."""

    study: Study
    feasible: Feasible
    method: Method
    training: Training
    suits: bool
    meters: Sequence[Gauge]
    clock: Clock
    most: int | None
    seed: int
    worker: int
    tell: Callable[[dict[str, Any]], None]

    def __post_init__(self) -> None:
        number = self.seed + 1000 * self.worker
        self.space, self.task = self.feasible.space, self.feasible.task
        self.shortest = self.method.halving.shares[0]
        self.evaluation = Evaluation(
            space=self.space,
            task=self.task,
            training=self.training,
            suits=self.suits,
            meters=self.meters,
            seed=self.seed,
            folder=self.study.folder,
            model=self.study.model,
            trained=self._note,
        )
        self.short: tuple[Trial, nn.Module] | None = None
        self.proposals = Proposals(
            self.feasible, self.method.searcher, self.method.screening, self.shortest, number
        )

    def done(self) -> Found:
        """Search, and return what was found."""
        return self.found(self.run())

    def run(self) -> bool:
        """Search until the time is up or nothing is left to try; whether it was interrupted."""
        try:
            while not self.clock.is_up and self._one():
                self.clock.heed()
        except TimeUpError:
            pass
        except KeyboardInterrupt:
            return True
        return False

    def found(self, interrupted: bool) -> Found:
        """What was found so far."""
        trials = self._within()
        scored = [one for one in trials if one.score is not None]
        if trials and not scored:
            raise RuntimeError(f"no network could be trained: {trials[0].note}")
        self._warn_of_noise(scored)
        files = {one.technique: self.study.read(one) for one in scored if self.study.holds(one)}
        if interrupted and not files and self.short is not None:
            trial, network = self.short
            with listening(lambda *_: None):  # the clock would end this too
                files[trial.technique] = pack(network, export(network, self.task))
        return Found(
            space=self.space,
            limits=self.feasible.limits,
            training=self.training,
            suits=self.suits,
            trials=tuple(trials),
            estimates={
                one.technique: self.feasible.cost(picks_of(one.technique)) for one in trials
            },
            files=files,
            refused=self.feasible.refused,
            seconds=self.clock.gone,
            interrupted=interrupted,
        )

    def _note(self, trial: Trial, network: nn.Module) -> None:
        """Keep the best network that has no file, for a search that ends before there is any."""
        if self.short is None or _place(trial) > _place(self.short[0]):
            self.short = trial, network

    def _one(self) -> bool:
        """Make one trial; False where none is left, or there is no time for one."""
        trials = self._within()
        self.proposals.tell(trials)
        self._fail(trials)
        most = self.method.trainings
        if most is not None and sum(one.fidelity for one in trials) > most - self.shortest + 1e-9:
            return False
        for trial, share in [*self._last_chance(trials), *self.method.halving.next(trials)]:
            picks = picks_of(trial.technique)
            if self._has_time(trials, picks, share) and self._tried(picks, share):
                return True
        if self.most is not None and len({one.technique for one in trials}) >= self.most:
            return False
        names = [
            *(one.technique for one in trials),
            *(one.technique for one in self.study.claimed()),
        ]
        known = {self.space.made(picks_of(name)).code() for name in names}
        picks = self.proposals.next(known)
        if picks is None:
            return self._all_known(trials)
        if not self._has_time(trials, picks, self.shortest):
            return False
        self._tried(picks, self.shortest)
        return True

    def _within(self) -> list[Trial]:
        """The trials of networks that keep these limits: a search before had others, perhaps.

        A network with a file that keeps them is one, whatever estimates say of it by now.
        """
        trials, refuses = self.study.trials(), self.feasible.refuses
        proven = {
            one.technique
            for one in trials
            if self.study.holds(one) and not refuses(picks_of(one.technique), one.cost)
        }
        keeps = self.feasible.keeps
        return [one for one in trials if one.technique in proven or keeps(picks_of(one.technique))]

    def _last_chance(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, float]]:
        """The best network, where the time left is what a full training of it takes."""
        best = self._best(trials)
        if best is None or best.fidelity == 1:
            return
        if 2 * self._seconds(trials, picks_of(best.technique), 1.0) >= self.clock.left:
            yield best, 1.0

    def _all_known(self, trials: Sequence[Trial]) -> bool:
        """Train the best of a space without more networks fully, where halving kept none so far."""
        best = self._best(trials)
        if best is None or best.fidelity == 1:
            return False
        picks = picks_of(best.technique)
        return self._has_time(trials, picks, 1.0) and self._tried(picks, 1.0)

    def _fail(self, trials: Sequence[Trial]) -> None:
        """Raise an error where the first networks all failed."""
        if len(trials) >= FAILURES and all(one.score is None for one in trials):
            raise RuntimeError(
                f"the first {len(trials)} networks all failed; the last: {trials[-1].note}"
            )

    def _has_time(self, trials: Sequence[Trial], picks: Picks, share: float) -> bool:
        """Whether a training of this length is likely to end in time."""
        return SLACK * self._seconds(trials, picks, share) <= self.clock.left

    def _seconds(self, trials: Sequence[Trial], picks: Picks, share: float) -> float:
        """About how long a training takes; 0 where nothing tells."""
        known = [
            (self._operations(picks_of(one.technique)), one.cost.seconds / one.fidelity)
            for one in trials
            if one.cost.seconds
        ]
        return share * at(self._operations(picks), known) if known else 0.0

    def _operations(self, picks: Picks) -> float:
        return float(self.feasible.cost(picks).operations or 1)

    def _tried(self, picks: Picks, share: float) -> bool:
        """Train a network for a share of a training; False where another process does."""
        claim = self.study.claim(repr(picks), self.seed, share)
        if claim is None:
            return False
        with claim:
            trial = Trial(technique=repr(picks), seed=self.seed, fidelity=share)
            if claim.deaths >= DEATHS:
                claim.finish(replace(trial, note=f"{claim.deaths} processes died with it"))
                return True
            known = [one.technique for one in self.study.trials()]
            number = list(dict.fromkeys([*known, repr(picks)])).index(repr(picks)) + 1
            self.clock.what = f"network {number}, {share:.0%} of a training"
            trial, data = self.evaluation(trial, picks, share)
            trial = claim.finish(trial, data)
        rmtree(self.evaluation.unfinished(picks, share), ignore_errors=True)
        self._say(trial, number)
        return True

    def _say(self, trial: Trial, number: int) -> None:
        best, cost = self._best(self._within()), self.feasible.cost(picks_of(trial.technique))
        result = f"score {trial.score:.4f}" if trial.score is not None else f"failed, {trial.note}"
        so_far = "" if best is None else f"; best so far {best.score:.4f}"
        self.clock.say(
            f"  network {number}, {trial.fidelity:.0%} of a training: {result}{so_far}, "
            f"{duration(self.clock.left)} left"
        )
        event = {"event": "network", "number": number, "picks": list(picks_of(trial.technique))}
        self.tell(
            event
            | {"score": trial.score, "share": trial.fidelity, "note": trial.note}
            | {"estimate": cost.measured(), "cost": trial.cost.measured()}
            | {"over": broken_limits(self.feasible.limits, cost, trial.cost)}
            | {"best": best and best.score, "seconds": self.clock.gone, "left": self.clock.left}
        )
        self.clock.rest()

    def _best(self, trials: Sequence[Trial]) -> Trial | None:
        """The best of those that were trained longest and whose files keep the limits."""
        refuses = self.feasible.refuses
        scored = [
            one
            for one in trials
            if one.score is not None and not refuses(picks_of(one.technique), one.cost)
        ]
        return max(scored, key=_place, default=None)

    def _warn_of_noise(self, scored: Sequence[Trial]) -> None:
        """Warn where the scores of networks differ by no more than chance would make them."""
        first = [one for one in scored if one.fidelity == self.shortest and "score" in one.noise]
        if len(first) < 5:
            return
        errors = [(one.noise["score"][1] - one.noise["score"][0]) / 2 for one in first]
        spread = stdev(one.score or 0.0 for one in first)
        if spread <= 1.2 * median(errors):
            warnings.warn(
                f"the scores of {len(first)} networks differ by {spread:.2g}, and their standard "
                f"error is {median(errors):.2g}: which is the better is luck. Give more validation "
                "examples, a longer training, or a space whose networks differ more",
                SearchWarning,
                stacklevel=3,
            )


def _place(trial: Trial) -> tuple[float, float]:
    """Higher for what was trained longer, then for the better of those that have a score."""
    return trial.fidelity, trial.score or 0.0
