"""Trials: what a technique makes of a model, measured on the file that comes of it.

Each is made once and remembered in a Study.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import sleep

from torch import nn

from shoestring.artifact import save
from shoestring.core import Meter, Task, Technique, chain, check_task, seeded
from shoestring.core.cost import Cost
from shoestring.core.ledger import machine, versions
from shoestring.kit import Study, Trial
from shoestring.kit.weights.layers import NoLayerError
from shoestring.plan.clock import TimeUpError
from shoestring.plan.judge import Judge
from shoestring.plan.relative_latency import RelativeLatency
from shoestring.plan.weighing import Weighing, fault_of, hearing

_FILES = 8  # of changed models that are kept, to time one beside another
_SECONDS = 0.5  # between two looks at what another process is at


class SpentError(Exception):
    """As many trials were made as were allowed."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came of a technique, beside the model as it was, both as files.

    `lost`: how far the validation score is below the original's, and `error`, the standard error of
        that difference, example by example (None where the task does not tell merits).
    `relative_latency`: the file's time beside the original's (None: not timed).
    `cost`: what the file takes, its bytes among it.
    `changed`: whether it differs at all.
    `note`: what was skipped, or why nothing is known, and then `lost` is None.
    """

    lost: float | None = None
    error: float | None = None
    relative_latency: RelativeLatency | None = None
    cost: Cost = Cost()
    changed: bool = True
    note: str = ""

    def within(self, drop: float) -> bool:
        """Whether it loses at most so much of the score; what failed does not."""
        return self.lost is not None and self.lost <= drop


class Trials:
    """Makes trials of techniques on one model, at most `most`, and remembers them.

    In the study in `folder`, where one is named.
    `base`, `original` and `milliseconds` (None: not timed) are the score, the cost and the time of
    a run of the model as it was, `examples` how many it was scored on (None: the task does not
    tell). What the study remembers of another model, task, meter or machine does not count
    (`identity` tells them apart); what other processes measure at the same time does. Raises
    ValueError for a model that is not finite or whose score is no number, ExportError for one that
    cannot be a file, StudyError for a folder whose study cannot be used.
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
            self._folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="shoestring-"))
            )
            self._weighing = Weighing(model, self.task, self._folder, meters)
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
            self.original, self.milliseconds = (
                first.cost,
                first.cost.milliseconds,
            )  # the units of all that go on from here
            self._end = stack.pop_all()

    def __call__(self, technique: Technique) -> Comparison:
        """What comes of a technique, also where another process is at it.

        Raises what `attempt` does.
        """
        while (found := self.attempt(technique)) is None:
            sleep(_SECONDS)
        return found

    def attempt(self, technique: Technique) -> Comparison | None:
        """What comes of a technique; None where another process is at it.

        Raises SpentError rather than make one trial too many, and NoLayerError.
        """
        found = self._once(repr(technique), lambda: self._tried(technique))
        return None if found is None else self._beside(found)

    def known(self, technique: Technique) -> Comparison | None:
        """What came of a technique that was tried; None where none was."""
        found = self._find(repr(technique))
        return None if found is None else self._beside(found)

    def compare(self, technique: Technique, other: Technique) -> RelativeLatency | None:
        """The pace of one technique's file beside another's.

        None where there is no latency meter, or one of them fails.
        """
        if self.latency is None or any(self(one).lost is None for one in (technique, other)):
            return None
        return self._weighing.beside(self._file(technique, []), self._file(other, []))

    def close(self) -> None:
        """Delete the files; what is remembered stays in the folder that was named."""
        self._end.close()

    def _once(self, name: str, make: Callable[[], Trial]) -> Trial | None:
        """The trial of this name, made where none was; None where another process is at it."""
        if (known := self._find(name)) is not None:
            return known
        if self._study is None:
            self._known[name] = make()
        elif (claim := self._study.claim(name, self.seed)) is not None:
            with claim:
                self._known[name] = claim.finish(make())
        return self._find(name)

    def _find(self, name: str) -> Trial | None:
        if (
            self._study is not None
            and name not in self._known
            and (found := self._study.find(name, self.seed)) is not None
        ):
            self._known[name] = found
        return self._known.get(name)

    def _first(self) -> Trial:
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
        except Exception as error:  # any technique and any model: that it fails is an answer too
            trial = replace(trial, note=fault_of(error))
        return replace(trial, note="; ".join([*notes, trial.note] if trial.note else notes))

    def _beside(self, trial: Trial) -> Comparison:
        """The trial, beside the model as it was."""
        timed, unit, took = (
            trial.noise.get("milliseconds"),
            self.milliseconds,
            trial.cost.milliseconds,
        )
        relative_latency = None
        if timed is not None and unit is not None and took is not None:
            relative_latency = RelativeLatency(
                ratio=took / unit, low=timed[0] / unit, high=timed[1] / unit, milliseconds=unit
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
        """The file of the changed model; what is skipped on the way is added to the notes."""
        name = repr(technique)
        if name in self._files:
            self._files[name] = self._files.pop(name)  # the one that was used last
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
