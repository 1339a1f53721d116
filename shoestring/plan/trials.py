"""Trials of single techniques: each is made once, measured on its file, and remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep

from torch import nn

from shoestring.artifact import save
from shoestring.artifact.scratch import scratch_folder
from shoestring.core import Meter, Task, Technique, chain, check_task, seeded
from shoestring.core.cost import Cost
from shoestring.core.ledger import machine, versions
from shoestring.kit import Study, Trial
from shoestring.kit.clock import TimeUpError
from shoestring.kit.weights.layers import NoLayerError
from shoestring.plan.judge import Judge
from shoestring.plan.relative_latency import RelativeLatency
from shoestring.plan.weighing import Weighing, fault_of, hearing

_FILES = 8
"""Files of changed models that are kept, to time one against another."""
_SECONDS = 0.5
"""Seconds between two looks at a trial that another process is making."""


class SpentError(Exception):
    """All trials that were allowed were made."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The file of a changed model compared with that of the model as it was.

    `lost`: how far the validation score is below the original's; None where the technique failed.
    `error`: the standard error of that, from differences example by example; None where the task
        has no merits.
    `relative_latency`: of the file to the original's; None where it was not timed.
    `cost`: of having the file, with its bytes.
    `changed`: whether the files differ.
    `note`: what the technique skipped, or why it failed.
    """

    lost: float | None = None
    error: float | None = None
    relative_latency: RelativeLatency | None = None
    cost: Cost = Cost()
    changed: bool = True
    note: str = ""

    def within(self, drop: float) -> bool:
        """Whether at most so much of the score is lost; False where the technique failed."""
        return self.lost is not None and self.lost <= drop


class Trials:
    """Makes trials of techniques on one model, and remembers them.

    `most`: how many changed models are made at most.
    `examples`: how many validation examples to score on; None for all. As an attribute: how many
        they are; None where the task does not tell.
    `folder`: of the study; None for none. Trials of another model, task, meter or machine do not
        count (`identity` tells them apart). Trials that other processes make meanwhile do.

    Attributes: `base`, `original`, `milliseconds` and `sha256` are the score of the model as it
    was, its cost, the time of a run (None where nothing was timed) and the digest of its file;
    `made` is how many models were made.

    Raises ValueError for settings out of range, for a model that is not finite, or whose score is
    no number; ExportError for one that cannot be a file; StudyError for a folder whose study cannot
    be used.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        meters: Sequence[Meter],
        *,
        examples: int | None,
        most: int,
        seed: int,
        folder: str | Path | None,
    ) -> None:
        if most < 1:
            raise ValueError(f"most is {most}: allow 1 trial or more")
        if examples is not None and examples < 2:
            raise ValueError(f"examples is {examples}: score on 2 or more, or None for all")
        check_task(task)
        self.model, self.task, self.seed, self.most, self.made = model, task.sealed(), seed, most, 0
        self._known: dict[str, Trial] = {}
        self._files: dict[str, Path] = {}
        with ExitStack() as stack:
            self._folder = stack.enter_context(scratch_folder())
            self._weighing = Weighing(model, self.task, self._folder, meters)
            self.sha256 = self._weighing.sha256
            self._judge = Judge(self.task, self._weighing.reference, examples, seed, by_name=False)
            self.base, self.examples, self.latency = (
                self._judge.base,
                self._judge.count,
                self._weighing.latency,
            )
            seen = seed, examples, task.name, self.base, list(meters), machine(), versions()
            self.identity = hashlib.sha256(
                self._weighing.reference.read_bytes() + repr(seen).encode()
            ).hexdigest()
            self._study = (
                None if folder is None else stack.enter_context(Study(folder, self.identity))
            )
            while (first := self._once(repr(chain()), self._first)) is None:
                sleep(_SECONDS)
            # Times of processes that share a study are in units of this one.
            self.original, self.milliseconds = first.cost, first.cost.milliseconds
            self._end = stack.pop_all()

    def __call__(self, technique: Technique) -> Comparison:
        """The comparison for a technique; waits where another process is making it.

        Raises what `attempt` does.
        """
        while (comparison := self.attempt(technique)) is None:
            sleep(_SECONDS)
        return comparison

    def attempt(self, technique: Technique) -> Comparison | None:
        """The comparison for a technique; None where another process is making it.

        Raises SpentError where no trial is left, and NoLayerError.
        """
        trial = self._once(repr(technique), lambda: self._tried(technique))
        return None if trial is None else self._comparison(trial)

    def known(self, technique: Technique) -> Comparison | None:
        """The comparison for a technique that was tried before; None for others."""
        trial = self._find(repr(technique))
        return None if trial is None else self._comparison(trial)

    def compare(self, technique: Technique, other: Technique) -> RelativeLatency | None:
        """The latency of one technique's file relative to another's.

        None where there is no latency meter, or one of the techniques fails.
        """
        if self.latency is None or any(self(each).lost is None for each in (technique, other)):
            return None
        return self._weighing.relative_latency(self._file(technique, []), self._file(other, []))

    def close(self) -> None:
        """Delete the files; the study stays in the folder that was named."""
        self._end.close()

    def _once(self, name: str, make: Callable[[], Trial]) -> Trial | None:
        """The trial of this name, made where it is new; None where another process is making it."""
        if (known := self._find(name)) is not None:
            return known
        if self._study is None:
            self._known[name] = make()
        elif (claim := self._study.claim(name, self.seed)) is not None:
            with claim:
                self._known[name] = claim.finish(make())
        return self._find(name)

    def _find(self, name: str) -> Trial | None:
        """The trial of this name, where it was made here or in another process."""
        if self._study is not None and name not in self._known:
            trial = self._study.find(name, self.seed)
            if trial is not None:
                self._known[name] = trial
        return self._known.get(name)

    def _first(self) -> Trial:
        """The trial of the model as it was."""
        cost, sha256 = self._weighing.original(), self._weighing.sha256
        return Trial(
            technique=repr(chain()),
            seed=self.seed,
            cost=cost,
            score=self.base,
            error=0.0,
            sha256=sha256,
        )

    def _tried(self, technique: Technique) -> Trial:
        """A new trial of a technique."""
        trial, notes = Trial(technique=repr(technique), seed=self.seed), list[str]()
        try:
            file = self._file(technique, notes)
            trial = replace(trial, sha256=hashlib.sha256(file.read_bytes()).hexdigest())
            if trial.sha256 == self._weighing.sha256:
                trial = replace(trial, cost=self.original, score=self.base, error=0.0)
            else:
                trial = self._weighing.measured(trial, file, self._judge, self.milliseconds)
        except (SpentError, NoLayerError, TimeUpError):
            raise
        except Exception as error:  # of any technique or model: a failure is a result too
            trial = replace(trial, note=fault_of(error))
        return replace(trial, note="; ".join([*notes, trial.note] if trial.note else notes))

    def _comparison(self, trial: Trial) -> Comparison:
        """The trial compared with the model as it was."""
        interval, unit = trial.noise.get("milliseconds"), self.milliseconds
        milliseconds = trial.cost.milliseconds
        relative_latency = None
        if interval is not None and unit is not None and milliseconds is not None:
            relative_latency = RelativeLatency(
                ratio=milliseconds / unit,
                low=interval[0] / unit,
                high=interval[1] / unit,
                milliseconds=unit,
            )
        return Comparison(
            lost=None if trial.score is None else self.base - trial.score,
            error=trial.error,
            relative_latency=relative_latency,
            cost=trial.cost,
            changed=trial.sha256 != self._weighing.sha256,
            note=trial.note,
        )

    def _file(self, technique: Technique, notes: list[str]) -> Path:
        """The file of the changed model; adds to the notes what the technique skips."""
        name = repr(technique)
        if name in self._files:
            self._files[name] = self._files.pop(name)  # at the end, as the one used last
            return self._files[name]
        if self.made >= self.most:
            raise SpentError(f"{self.most} trials were made")
        self.made += 1
        with hearing(notes):
            try:
                with seeded(self.seed):
                    changed = technique(self.model, self.task)
            except NoLayerError:  # no model was made
                self.made -= 1
                raise
            data = self._weighing.file_of(changed)
        path = self._folder / f"trial-{hashlib.sha256(name.encode()).hexdigest()[:16]}.shoe"
        save(path, data)
        self._files[name] = path
        for old in list(self._files)[:-_FILES]:
            self._files.pop(old).unlink(missing_ok=True)
        return path
