"""Tuning of a training in a given time, and whether it paid."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from torch import nn

from shoestring.artifact.errors import missing
from shoestring.core import Cost, Task, check_task, seeded
from shoestring.kit import Training, listening, progress
from shoestring.kit.study import alone
from shoestring.kit.study.trial import StudyError
from shoestring.kit.training.resume import data_digest
from shoestring.search.default_training import default_training
from shoestring.search.halving import Halving
from shoestring.search.knobs import Chosen, Knobs, batch_size
from shoestring.search.trials import (
    End,
    RandomSettings,
    TreeParzen,
    TriedSettings,
    tried,
)

if TYPE_CHECKING:
    import optuna

JOURNAL = "tuning.journal"
_DEFAULT, _ENDED, _AGAIN = "default", "ended", "again"  # names of what is noted of a trial


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What tuning found; `print` shows the trials, the best first.

    `best`: the trial with the highest validation score of those that were trained to the end.
    `default`: the first trial, with the training that needs no tuning.
    `trials`: all, in their order.
    `knobs`: the settings that were turned.
    `seconds`: of all trials together.
    """

    best: TriedSettings
    default: TriedSettings
    trials: tuple[TriedSettings, ...]
    knobs: tuple[str, ...]
    seconds: float

    @property
    def training(self) -> Training:
        """The best training, for a task with the batch size of `best.chosen`."""
        return self.best.chosen.training

    @property
    def cost(self) -> Cost:
        """Settings that were turned and the seconds of all trials, for a ledger."""
        return Cost(settings=len(self.knobs), seconds=self.seconds)

    @property
    def gained(self) -> float | None:
        """Validation score ahead of the default; None where the default was not trained to its end.

        It is the best of many looks at the same data, and so it promises more than it holds.
        """
        ended = self.default.end is End.FINISHED
        if not ended or self.best.score is None or self.default.score is None:
            return None
        return self.best.score - self.default.score

    @property
    def pays(self) -> bool:
        """Whether the best is ahead of the default by more than twice the error of the difference.

        The difference of two scores of one data set varies less than the two that are taken for
        independent here. True where the default did not end, or no error is known and it gained.
        """
        if (gained := self.gained) is None:
            return True
        return gained > 2 * math.hypot(self.best.error or 0.0, self.default.error or 0.0)

    def __str__(self) -> str:
        lines = [" score  error  steps made  seconds  training"]
        ranked = sorted(self.trials, key=lambda one: (_rank(one), one.share), reverse=True)
        for one in ranked:
            shown = "     -" if one.score is None else f"{one.score:6.4f}"
            error = "     -" if one.error is None else f"{one.error:6.4f}"
            size = "" if one.chosen.batch_size is None else f", batches of {one.chosen.batch_size}"
            lines.append(
                f"{shown} {error} {one.share:11.0%} {one.seconds:8.1f}  {one.chosen.training!r}"
                f"{size}{'' if one.end is End.FINISHED else f' ({one.end.value})'}"
            )
        said = "The default did not end: no difference is known"
        if self.gained is not None:
            ahead = "for certain" if self.pays else "within its error: take the default"
            said = f"Ahead of the default by {self.gained:.4f}, {ahead}"
        return "\n".join([*lines, f"{said} ({len(self.knobs)} knobs, {self.seconds:.0f} s)."])


class UntunedError(RuntimeError):
    """No trial was trained to its end; the message says why the first ones were not."""


def tune(
    task: Task,
    build: Callable[[], nn.Module],
    *,
    minutes: float,
    steps: int,
    knobs: Knobs | None = None,
    by: TreeParzen | RandomSettings | None = None,
    halving: Halving | None = None,
    folder: str | Path | None = None,
    most: int | None = None,
    seed: int = 0,
) -> Tuned:
    """Try trainings for some minutes, and return the one with the best validation score.

    The first trial has the default training (`default_training`), and is trained to its end however
    long it takes, to compare with. A network is scored on validation data only, and the test split
    is sealed. All trials begin with the same seed.

    With a folder, every trial is in a journal of Optuna there, and the same call goes on where it
    was interrupted: trials that ended count with their seconds, an interrupted one begins again.
    Other training data, another batch size, network or setting make another tuning.

    Needs the extra `search`.
    Source: Akiba et al. 2019 (Optuna); `by` and `halving` have theirs.

    `build`: makes a new network at each call; torch's seed is set before.
    `minutes`: above 0.
    `steps`: of a whole training at the task's own batch size, 1 or more.
    `knobs`: what is turned; None: `Knobs()`.
    `by`: how values are picked; None: `TreeParzen()`.
    `halving`: when a trial is stopped early; None: `Halving()`.
    `folder`: None: what was tried is forgotten at the end.
    `most`: trials at most, 1 or more; None: as many as there is time for.
    `seed`: of the values that are picked, and of every training.

    Raises ValueError for numbers out of range and for a `build` that returns one network twice;
    StudyHeld where another process tunes in this folder, StudyError for a journal that is damaged;
    and UntunedError where no trial was trained to its end, and at once where the first one fails
    otherwise than by a loss that diverges, since others would fail too.
    """
    check_task(task)
    check_tuning(build, minutes, steps, most)
    optuna = _optuna()
    turns, by, halving = knobs or Knobs(), by or TreeParzen(), halving or Halving()
    of = _digest(task, build, steps, turns, by, halving, seed)
    with _journal(folder) as storage:
        with _quiet(optuna):
            study = optuna.create_study(
                storage=storage(),
                study_name=of,
                direction="maximize",
                load_if_exists=True,
                pruner=halving.pruner(),
            )
        _take_up(study)
        study.sampler = by.sampler(seed + 1000 * len(study.trials))  # not the same values again
        default = default_of(task, build, steps, seed)
        run = _Run(study, task, build, turns, default, halving, steps, seed)
        return found_by(run.until(60 * minutes, most), turns.names(default.batch_size))


@dataclass(frozen=True)
class _Run:
    """Trials of one study, and what they have in common."""

    study: optuna.Study
    task: Task
    build: Callable[[], nn.Module]
    knobs: Knobs
    default: Chosen
    halving: Halving
    steps: int
    seed: int

    def until(self, seconds: float, most: int | None) -> list[TriedSettings]:
        """Try trainings until the time is up, and return all that ended."""
        ended = self.trials()
        used = begun_at = min(seconds, sum(one.seconds for one in ended))
        began, whole = monotonic(), max(1, math.ceil(seconds))
        with progress("tuning", whole) as advance:
            shown = 0

            def show(note: str) -> None:
                nonlocal shown
                while shown < min(whole, begun_at + monotonic() - began):
                    advance(note)
                    shown += 1

            while not ended or (used < seconds and (most is None or len(ended) < most)):
                best = max(map(_rank, ended), default=-math.inf)
                note = f"{len(ended)} trials, best {best:.4f}" if ended else "the default"
                show(note)
                with listening(lambda *_, note=note: show(note)):
                    self._next(is_first=not ended, until=monotonic() + seconds - used)
                ended = self.trials()
                used = begun_at + monotonic() - began
        return ended

    def _next(self, *, is_first: bool, until: float) -> None:
        from optuna.trial import TrialState

        trial = self.study.ask()
        if is_first:
            trial.set_user_attr(_DEFAULT, True)
        chosen = (
            self.default
            if is_first
            else self.knobs.turned(trial, self.default.batch_size, self.steps)
        )

        def look(part: int, score: float) -> bool:
            trial.report(score, part)
            return not is_first and trial.should_prune()

        done = tried(
            chosen,
            self.task,
            self.build,
            halving=self.halving,
            look=look,
            until=math.inf if is_first else until,
            seed=self.seed,
        )
        if is_first and done.end is End.FAILED:  # it is not noted, and the next call tries it again
            self.study.tell(trial, state=TrialState.FAIL)
            raise UntunedError(f"the default training failed, and so would others: {done.note}")
        trial.set_user_attr(_ENDED, done.to_json())
        # What diverged counts as the worst, so that its values are drawn less; an error does not.
        states = {End.FINISHED: TrialState.COMPLETE} | dict.fromkeys(
            (End.STOPPED, End.DIVERGED), TrialState.PRUNED
        )
        state = states.get(done.end, TrialState.FAIL)
        values = done.score if state is TrialState.COMPLETE else None
        self.study.tell(trial, values, state=state)

    def trials(self) -> list[TriedSettings]:
        """Those that ended, in their order."""
        return [
            TriedSettings.from_json(one.user_attrs[_ENDED])
            for one in self.study.get_trials(deepcopy=False)
            if one.state.is_finished() and _ENDED in one.user_attrs
        ]


def _rank(one: TriedSettings) -> float:
    """The score of a trial that was trained to its end, the lowest there is for others."""
    ended = one.end is End.FINISHED and one.score is not None
    return float(one.score) if ended else -math.inf  # type: ignore[arg-type]


def found_by(trials: list[TriedSettings], knobs: tuple[str, ...]) -> Tuned:
    """What trials found, of which the first has the default training.

    Raises UntunedError where none was trained to its end.
    """
    ended = [one for one in trials if one.end is End.FINISHED and one.score is not None]
    if not ended:
        notes = "; ".join(f"{one.end.value} {one.note}".strip() for one in trials[:3])
        raise UntunedError(
            f"of {len(trials)} trials none was trained to its end ({notes}): give more minutes, "
            "fewer steps or lower rates (Knobs)"
        )
    return Tuned(
        best=max(ended, key=_rank),
        default=trials[0],
        trials=tuple(trials),
        knobs=knobs,
        seconds=sum(one.seconds for one in trials),
    )


def default_of(task: Task, build: Callable[[], nn.Module], steps: int, seed: int) -> Chosen:
    """The default training of a network, with the batch size that the task has."""
    with seeded(seed):
        model = build()
    training = default_training(model, task.sealed(), steps).training
    return Chosen(training=training, batch_size=batch_size(task))


def check_tuning(
    build: Callable[[], nn.Module], minutes: float, steps: int, most: int | None
) -> None:
    """Raise ValueError for numbers out of range and a `build` that makes no new networks."""
    if not 0 < minutes < math.inf:
        raise ValueError(f"tuning for {minutes!r} minutes: give a number above 0, such as 60")
    for name, value in (("steps", steps), ("most", 1 if most is None else most)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}: give an integer, 1 or more")
    with seeded(0):
        one, other = build(), build()
    if one is other or {id(p) for p in one.parameters()} & {id(p) for p in other.parameters()}:
        raise ValueError(
            "build() returned a network, or parameters, that it had returned before: make a new "
            "one at each call, as `lambda: LeNet5()` does"
        )


def _take_up(study: optuna.Study) -> None:
    """End the trials of a process that was killed; their values are tried again."""
    from optuna.trial import TrialState

    for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(one.number, state=TrialState.FAIL)
        if one.params:
            study.enqueue_trial(one.params, user_attrs={_AGAIN: one.number})


@contextmanager
def _journal(folder: str | Path | None) -> Iterator[Callable[[], Any]]:
    """Opens Optuna's storage in a folder, which this process has alone, or in memory."""
    from optuna.storages import InMemoryStorage, JournalStorage

    from shoestring.kit.study.optuna_storage import Journal

    if folder is None:
        yield InMemoryStorage
        return
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)

    def opened() -> JournalStorage:
        try:
            return JournalStorage(Journal(str(path / JOURNAL)))
        except (ValueError, KeyError, AttributeError, TypeError, AssertionError) as error:
            raise StudyError(
                f"{path / JOURNAL} is no journal of a tuning, or is damaged ({error}): delete it "
                "to begin anew, or name another folder"
            ) from error

    with alone(path):
        yield opened


def _digest(task: Task, build: Callable[[], nn.Module], *settings: Any) -> str:
    """A short name for what is tuned; addresses, which differ between processes, do not count.

    The batch size counts, since those that are tried are multiples of it.
    """
    data = task.name, data_digest(task).hex(), batch_size(task)
    with seeded(0):
        told = f"{data} {build()} {settings}"
    return hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", told).encode()).hexdigest()[:20]


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError:
        raise missing("optuna", extra="search", what="tune") from None
    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Optuna says nothing of its own: the progress is ours."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
