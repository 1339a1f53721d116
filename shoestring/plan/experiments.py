"""Experiments: chains of techniques run on one model, the file of each measured, remembered in a Study."""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, process_time
from typing import Any

from torch import nn

from shoestring.artifact import save
from shoestring.core import Cost, Gauge, Ledger, Row, Task, Technique, chain, seeded
from shoestring.core.ledger import run_of_process
from shoestring.kit import (
    SkippedWarning,
    Study,
    Trial,
    bake,
    check_finite,
    clone,
    export,
    pack,
    parameter_bytes,
    restore,
    resuming,
)
from shoestring.meters import Latency
from shoestring.plan.clock import TimeUpError
from shoestring.plan.judge import Judge
from shoestring.plan.moves import Move
from shoestring.plan.pace import pace
from shoestring.plan.proposal import Proposal, save_proposal
from shoestring.plan.same_graph import file_of, signature_of

_MODULES = 4  # made models that are kept in memory, to go on from


@dataclass
class Experiments:
    """Runs chains on `model` and measures the files; what was measured before is not measured again.

    `meters` read what the budget limits besides bytes; a Latency among them is timed beside the model as it came in, for
    `timing_seconds`. Where scoring a file takes longer than `score_seconds`, files are scored on a sample of the validation split, if the
    task can draw one. Raises ValueError for a model that is not finite, or whose score is no number or the same as that of random weights, ExportError for
    one that cannot be a file.
    """

    model: nn.Module
    task: Task
    folder: Path
    meters: Sequence[Gauge] = ()
    seed: int = 0
    smallest: bool = False
    ledger: Ledger | None = None
    run: str | None = None
    storage: str | None = None
    timing_seconds: float = 1.0
    score_seconds: float = math.inf
    heard: list[str] = field(default_factory=list)
    """What techniques said that they left alone."""
    pinned: str = ""
    """The chain whose model stays in memory."""

    def __post_init__(self) -> None:
        check_finite(self.model)
        self.sealed = self.task.sealed()
        self.teacher = bake(clone(self.model)).eval()
        self.taught = self.sealed.taught_by(self.teacher)
        self.latency = next((meter for meter in self.meters if isinstance(meter, Latency)), None)
        self._exported, self._signature = export(self.model, self.sealed), signature_of(self.model)
        original = pack(self.model, self._exported, smallest=self.smallest)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reference = self.folder / "original.shoe"
        save(self.reference, original)
        self.sha256 = hashlib.sha256(original).hexdigest()
        self.judge = Judge(self.sealed, self.reference, self.model, self.sha256, self.seed, self.score_seconds)
        self.base = self.judge.base
        seen = self.sha256, self.sealed.name, self.base, self.judge.examples, self.smallest
        self.study = Study(self.folder, hashlib.sha256(repr(seen).encode()).hexdigest(), storage=self.storage)
        self._modules: OrderedDict[str, nn.Module] = OrderedDict({repr(chain()): self.model})
        self._more: dict[str, Trial] = {}
        self._rows: dict[str, int] = {}
        self.original = self._original(len(original))

    def _original(self, size: int) -> Trial:
        """The model as it came in, as a trial: its size is what papers call uncompressed, 4 bytes for each number."""
        cost = self._read(self.reference)
        noise: dict[str, tuple[float, float]] = {}
        if self.latency is not None:
            timed = pace(self.reference, self.reference, self.sealed, self.latency, seconds=self.timing_seconds)
            self.milliseconds = timed.milliseconds
            cost |= Cost(milliseconds=timed.milliseconds)
        self.came_in = cost | Cost(bytes=parameter_bytes(self.model))
        return Trial(
            technique=repr(chain()), seed=self.seed, cost=cost | Cost(bytes=size), score=self.base, error=0.0, noise=noise
        )

    # Trials -----------------------------------------------------------------------------------------------------------------

    def known(self, proposal: Proposal) -> Trial | None:
        """What came of it, where it was tried and measured in all that is asked for now."""
        found = self.study.find(proposal.name, self.seed)
        return found if found is None or found.score is None else self._complete(found)

    def __call__(self, proposal: Proposal) -> Trial | None:
        """What comes of a chain; None where another process is at it.

        What a technique raises becomes the note of a trial without a score; KeyboardInterrupt and the time being up are raised, and
        leave a training that can be gone on with.
        """
        if (known := self.known(proposal)) is not None:
            return known
        claim = self.study.claim(proposal.name, self.seed, proposal.fidelity)
        if claim is None:
            return self.study.find(proposal.name, self.seed)
        unfinished = self.folder / "unfinished" / hashlib.sha256(proposal.name.encode()).hexdigest()[:16]
        began, busy, notes = monotonic(), process_time(), list[str]()
        data: bytes | None = None
        try:
            if proposal.fidelity > 0:
                save_proposal(unfinished, proposal)
            with resuming(unfinished):
                model = self._made(proposal.techniques, notes)
            data = self._file(model)
            trial = self._measured(proposal, data)
        except (KeyboardInterrupt, TimeUpError):
            claim.give_back()
            raise
        except Exception as error:  # any technique and any model: that it fails is an answer too
            if isinstance(error, OSError) and error.errno is not None:  # a full disk is none of the technique's
                claim.give_back()
                raise
            said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            trial = Trial(technique=proposal.name, seed=self.seed, fidelity=proposal.fidelity, note=said[:500])
        spent = Cost(seconds=monotonic() - began, processor_seconds=process_time() - busy)
        trial = replace(trial, cost=trial.cost | spent, note="; ".join([*notes, trial.note] if trial.note else notes)[:1000])
        trial = claim.finish(trial, data if trial.score is not None else None)
        shutil.rmtree(unfinished, ignore_errors=True)
        self._write_down(trial, proposal.techniques)
        return trial

    def _made(self, techniques: tuple[Technique, ...], notes: list[str]) -> nn.Module:
        """The model that a chain makes: on from the longest part of it that is in memory, each step seeded by itself, as apply does."""
        start = next(n for n in range(len(techniques), -1, -1) if repr(chain(*techniques[:n])) in self._modules)
        model = self._modules[repr(chain(*techniques[:start]))]
        for place in range(start, len(techniques)):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                with seeded(self.seed):
                    # What does not train needs no teacher, who takes as long again as the model.
                    model = techniques[place](model, self.taught if Move(techniques[place]).trains else self.sealed)
            self._hear(said, notes)
            self._modules[repr(chain(*techniques[: place + 1]))] = model
            while len(self._modules) > _MODULES:
                self._modules.pop(next(name for name in self._modules if name not in (repr(chain()), self.pinned)))
        return model

    def _hear(self, said: Sequence[Any], notes: list[str]) -> None:
        for one in said:
            if issubclass(one.category, SkippedWarning):
                text = str(one.message)
                notes += [text] if text not in notes else []
                self.heard += [text] if text not in self.heard else []
            else:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)

    def holds(self, techniques: Sequence[Technique]) -> bool:
        """Whether the model that a chain makes is in memory."""
        return repr(chain(*techniques)) in self._modules

    def _file(self, model: nn.Module) -> bytes:
        return file_of(model, self.sealed, self._exported, self._signature, smallest=self.smallest)

    def _measured(self, proposal: Proposal, data: bytes) -> Trial:
        with tempfile.TemporaryDirectory(prefix="shoestring-") as folder:
            path = Path(folder) / "model.shoe"
            save(path, data)
            value, merits = self.judge(path)
            trial = Trial(
                technique=proposal.name, seed=self.seed, fidelity=proposal.fidelity, cost=Cost(bytes=len(data)), score=value,
                error=self.judge.error(merits),
            )  # fmt: skip
            if not math.isfinite(value):
                return replace(trial, score=None, note=f"the score is {value}")
            return self._weighed(trial, path)

    def _weighed(self, trial: Trial, path: Path) -> Trial:
        """The trial with what the meters read off its file."""
        cost, noise = trial.cost | self._read(path), dict(trial.noise)
        if self.latency is not None:
            timed = pace(path, self.reference, self.sealed, self.latency, seconds=self.timing_seconds)
            unit = self.milliseconds
            cost |= Cost(milliseconds=timed.ratio * unit)
            noise["milliseconds"] = (timed.low * unit, timed.high * unit)
        return replace(trial, cost=cost, noise=noise)

    def _complete(self, trial: Trial) -> Trial:
        """The trial, with what meters of this budget read that none read before, or longer."""
        trial = self._more.get(trial.technique, trial)
        missing = [
            one for one in self.meters if getattr(trial.cost, one.measures) is None and one.measures in self._can_measure
        ]
        if not missing or not self.study.holds(trial):
            return trial
        with tempfile.TemporaryDirectory(prefix="shoestring-") as folder:
            path = Path(folder) / "model.shoe"
            save(path, self.study.read(trial))
            trial = self._weighed(trial, path)
        self._more[trial.technique] = trial
        return trial

    @property
    def _can_measure(self) -> set[str]:
        """The fields that this machine tells: what it did not of the model that came in it tells of no file."""
        return {one.measures for one in self.meters if getattr(self.came_in, one.measures) is not None}

    def again(self, trial: Trial, seconds: float) -> Trial:
        """The trial, its file timed anew for so long: its milliseconds and their interval are those of this timing."""
        if self.latency is None or not self.study.holds(trial):
            return trial
        with tempfile.TemporaryDirectory(prefix="shoestring-") as folder:
            path = Path(folder) / "model.shoe"
            save(path, self.study.read(trial))
            timed = pace(path, self.reference, self.sealed, self.latency, seconds=seconds)
        unit = self.milliseconds
        noise = {**trial.noise, "milliseconds": (timed.low * unit, timed.high * unit)}
        trial = replace(trial, cost=trial.cost | Cost(milliseconds=timed.ratio * unit), noise=noise)
        self._more[trial.technique] = trial
        return trial

    def _read(self, file: Path) -> Cost:
        cost = Cost()
        for meter in self.meters:
            if not isinstance(meter, Latency):
                cost |= meter(file, self.sealed)
        return cost

    def _write_down(self, trial: Trial, techniques: tuple[Technique, ...]) -> None:
        """A row of the ledger, which continues that of the same chain without its last step, where there is one."""
        if self.ledger is None:
            return
        self._rows[trial.technique] = self.ledger.append(
            Row(
                kind="apply" if trial.score is not None else "failed",
                technique=trial.technique,
                seed=self.seed,
                score_before=self.base,
                score_after=trial.score,
                cost_before=self.original.cost,
                cost_after=trial.cost,
                sha256=trial.sha256,
                note=trial.note[:500],
                task=self.sealed.name,
                model=self.sha256,
                parent=self._rows.get(repr(chain(*techniques[:-1]))),
                run=self.run or run_of_process(),
            )
        )

    def trials(self) -> list[Trial]:
        """All that were measured with a score, the model as it came in first."""
        return [self.original, *(self._complete(one) for one in self.study.trials() if one.score is not None)]

    def has_file(self, trial: Trial) -> bool:
        """Whether the file of a trial is still there."""
        return trial.technique == self.original.technique or self.study.holds(trial)

    def bytes_of(self, trial: Trial) -> bytes:
        """The file of a trial."""
        return self.reference.read_bytes() if trial.technique == self.original.technique else self.study.read(trial)

    def model_of(self, trial: Trial, file: Path) -> nn.Module:
        """The module of a trial: from memory, else the file's weights in the model that came in."""
        if trial.technique in self._modules:
            return clone(self._modules[trial.technique])
        try:
            return restore(file, self.model)
        except ValueError as error:
            raise ValueError(
                f"{file} cannot be put back into the model that came in ({error}): {trial.technique} changed its structure in an "
                "earlier run; the file itself runs with shoestring.load()"
            ) from None
