"""Experiments: chains of techniques on one model, each measured on its file and remembered."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from torch import nn

from shoestring.artifact.format.names import keep_names, note_names
from shoestring.core import Cost, Gauge, Ledger, Row, Task, Technique, chain, seeded
from shoestring.core.apply import processor_seconds
from shoestring.core.ledger import run_of_process
from shoestring.kit import (
    Quantised,
    Study,
    Trial,
    bake,
    clone,
    parameter_bytes,
    parameters_of,
    restore,
    resuming,
)
from shoestring.kit.clock import TimeUpError
from shoestring.kit.study.trial import Key
from shoestring.plan.frontier import undominated
from shoestring.plan.judge import quick_judge
from shoestring.plan.moves import Move
from shoestring.plan.proposal import Proposal, save_proposal
from shoestring.plan.replacements import loading_of
from shoestring.plan.weighing import Weighing, fault_of, file_with, hearing, in_time_of, read_by
from shoestring.quantize import PostTraining

_CATCHING_UP = 20.0
"""Times the timing of a file that may be spent on files which were never timed."""
_DEATHS = 3
"""Processes that may end while they try a chain, before it is not tried again."""
_NAMED = "names of its tensors"
"""The key among the versions of a trial for the names of its file's tensors."""
_NOTED = 4000
"""Characters of the note of a trial."""
_MODULES = 8
"""Models that are kept in memory, for longer chains to start from."""


@dataclass
class Experiments:
    """Runs chains on a model and measures their files, each only once.

    `model`, `task`: what comes in.
    `folder`: of the study and the files.
    `meters`: of what the budget limits besides bytes. A Latency times each file against the model
        that came in.
    `seed`: of training and of samples.
    `smallest`: as in `kit.write`.
    `ledger`, `run`: where rows are written, and the name of the run; None for none.
    `storage`: of a study that machines share; None for the folder.
    `timing_seconds`: for timing a file.
    `score_seconds`: for scoring a file. Where all validation examples take longer, a sample is
        used, if the task can draw one.
    `labels`: a digest of the labels that the search bought, by which trials are told apart.

    Raises ValueError for a model that is not finite, or whose score is no number or equals that of
    random weights; ExportError for one that cannot be a file.
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
    labels: str = ""
    heard: list[str] = field(default_factory=list)
    """What techniques left alone or did not reach."""
    pinned: str = ""
    """The repr of the chain whose model stays in memory."""

    def __post_init__(self) -> None:
        self.sealed = self.task.sealed()
        self.weighing = Weighing(
            self.model,
            self.sealed,
            self.folder,
            self.meters,
            smallest=self.smallest,
            seconds=self.timing_seconds,
        )
        self.sha256, self.reference = self.weighing.sha256, self.weighing.reference
        self.latency = self.weighing.latency
        self.teacher = bake(clone(self.model)).eval()
        self.taught = self.sealed.taught_by(self.teacher)
        self.judge = quick_judge(
            self.sealed, self.reference, self.model, self.seed, self.score_seconds
        )
        self.base, self.scores = self.judge.base, self.judge.scores
        merits = None if self.judge.merits is None else self.judge.merits.tobytes()
        seen = (
            self.sha256,
            self.sealed.name,
            self.base,
            self.judge.examples,
            self.smallest,
            self.seed,
            merits,
        )
        seen += (self.scores,) if self.scores else ()
        seen += (self.labels,) if self.labels else ()
        self.study = Study(
            self.folder, hashlib.sha256(repr(seen).encode()).hexdigest(), storage=self.storage
        )
        self._modules: OrderedDict[str, nn.Module] = OrderedDict({repr(chain()): self.model})
        self._notes: dict[str, tuple[str, ...]] = {}
        self._amended: dict[Key, Trial] = {}
        self._rows: dict[str, int] = {}
        self._caught_up = 0.0
        cost = self.weighing.original()
        # Papers count 4 bytes for each number of an uncompressed model.
        self.came_in = cost | Cost(bytes=parameter_bytes(self.model))
        original = Trial(
            technique=repr(chain()),
            seed=self.seed,
            cost=cost,
            score=self.base,
            error=0.0,
            sha256=self.sha256,
            scores=self.scores,
        )
        self.original = self._named(original, self.model)

    def known(self, proposal: Proposal) -> Trial | None:
        """The trial of a proposal, with readings of all meters; None where it was not tried."""
        trial = self.study.find(proposal.name, self.seed)
        return trial if trial is None or trial.score is None else self._complete(trial)

    def __call__(self, proposal: Proposal) -> Trial | None:
        """The trial of a chain; None where another process is making it.

        An error of a technique becomes the note of a trial without a score. KeyboardInterrupt and
        TimeUpError are raised, and the training can go on later.
        """
        if (known := self.known(proposal)) is not None:
            return known
        claim = self.study.claim(proposal.name, self.seed, proposal.fidelity)
        if claim is None:
            return self.study.find(proposal.name, self.seed)
        unfinished = (
            self.folder / "unfinished" / hashlib.sha256(proposal.name.encode()).hexdigest()[:16]
        )
        began, busy, notes = monotonic(), processor_seconds(), list[str]()
        trial = Trial(technique=proposal.name, seed=self.seed, fidelity=proposal.fidelity)
        data: bytes | None = None
        with claim:
            try:
                if claim.deaths >= _DEATHS:
                    raise ValueError(
                        f"{claim.deaths} processes ended while they were at it: it is not tried "
                        "again"
                    )
                if proposal.fidelity > 0:
                    save_proposal(unfinished, proposal)
                with resuming(unfinished):
                    model = self._made(proposal.techniques, notes)
                data, trial = self.weighing.file_of(model), self._named(trial, model)
                with file_with(data) as path:
                    trial = self.weighing.measured(
                        trial, path, self.judge, self.original.cost.milliseconds
                    )
            except TimeUpError:
                raise
            except Exception as error:  # of any technique or model: a failure is a result too
                trial = replace(trial, note=fault_of(error)[:500])
            spent = Cost(seconds=monotonic() - began, processor_seconds=processor_seconds() - busy)
            note = "\n".join([*notes, trial.note] if trial.note else notes)[:_NOTED]
            trial = claim.finish(
                replace(trial, cost=trial.cost | spent, note=note),
                data if trial.score is not None else None,
            )
        shutil.rmtree(unfinished, ignore_errors=True)
        self._write_down(trial, proposal.techniques)
        return trial

    def _made(self, techniques: tuple[Technique, ...], notes: list[str]) -> nn.Module:
        """The model that a chain makes, starting from its longest beginning that is in memory.

        Each technique is seeded by itself, as `apply` does. What each of them left alone or did not
        reach is added to the notes, also of those that ran earlier.
        """
        start = next(
            n
            for n in range(len(techniques), -1, -1)
            if repr(chain(*techniques[:n])) in self._modules
        )
        model = self._modules[begun := repr(chain(*techniques[:start]))]
        notes += self._notes.get(begun, ())
        for end, technique in enumerate(techniques[start:], start + 1):
            with hearing(notes, shortfalls=True), seeded(self.seed):
                # Without training no teacher is needed, which takes as long as the model.
                task = self.taught if Move(technique).trains else self.sealed
                if isinstance(technique, PostTraining):
                    # Prepared, it does not look for the layer that is to blame.
                    technique = technique.prepared(model, task)
                model = technique(model, task)
            self.heard += [note for note in notes if note not in self.heard]
            made = repr(chain(*techniques[:end]))
            self._modules[made], self._notes[made] = model, tuple(notes)
            while len(self._modules) > _MODULES:
                self._modules.pop(
                    next(name for name in self._modules if name not in (repr(chain()), self.pinned))
                )
        return model

    def _named(self, trial: Trial, model: nn.Module) -> Trial:
        """The trial, with a reference to the names of its file's tensors."""
        names = [
            weight.name.removeprefix("inner.") if isinstance(model, Quantised) else weight.name
            for weight in parameters_of(model)
        ]
        return replace(trial, versions={**trial.versions, _NAMED: keep_names(self.folder, names)})

    def note_names(self, trials: Sequence[Trial]) -> None:
        """Write the names of the tensors in these trials' files into the folder of the search."""
        files = {
            trial.sha256: trial.versions[_NAMED]
            for trial in trials
            if trial.sha256 is not None and _NAMED in trial.versions
        }
        note_names(self.folder, files)

    def holds(self, techniques: Sequence[Technique]) -> bool:
        """Whether the model that a chain makes is in memory."""
        return repr(chain(*techniques)) in self._modules

    def _complete(self, trial: Trial) -> Trial:
        """The trial, with readings of the meters that it lacks."""
        trial = self._in_own_time(trial)
        missing = [
            meter
            for meter in self.meters
            if getattr(trial.cost, meter.measures) is None and meter.measures in self._can_measure
        ]
        if not missing or not self.study.holds(trial):
            return trial
        with file_with(self.study.read(trial)) as path:
            trial = self.weighing.read(trial, path, self.original.cost.milliseconds)
        self._keep(trial)
        return trial

    def _in_own_time(self, trial: Trial) -> Trial:
        """The trial as amended, with milliseconds in units of this process."""
        amended = read_by(self._amended.get(trial.key, trial), self.meters)
        return in_time_of(amended, self.weighing.timer, self.original.cost.milliseconds)

    def _keep(self, trial: Trial) -> None:
        """Remember a trial with later measurements."""
        self._amended[trial.key] = trial
        self.study.amend(trial)

    @property
    def _can_measure(self) -> set[str]:
        """The fields of a Cost that were measured of the model that came in.

        A field that could not be measured of that cannot be measured of a file.
        """
        return {
            meter.measures
            for meter in self.meters
            if getattr(self.came_in, meter.measures) is not None
        }

    def again(self, trial: Trial, seconds: float) -> Trial:
        """The trial with its file timed again, if the interval of the new timing is narrower."""
        if self.latency is None or not self.study.holds(trial):
            return trial
        with file_with(self.study.read(trial)) as path:
            anew = self.weighing.timed(trial, path, self.original.cost.milliseconds, seconds)
        if _width(anew) < _width(trial):
            self._keep(anew)
        return self._amended.get(trial.key, trial)

    def _write_down(self, trial: Trial, techniques: tuple[Technique, ...]) -> None:
        """Write a row of the ledger.

        Its parent is the row of the same chain without its last technique, where there is one.
        """
        if self.ledger is None:
            return
        self._rows[trial.technique] = self.ledger.append(
            Row(
                kind="apply" if trial.score is not None else "failed",
                technique=trial.technique,
                seed=self.seed,
                score_before=self.base,
                score_after=trial.score,
                scores_before=self.scores,
                scores_after=trial.scores,
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
        """All trials with a score, the model that came in first.

        Readings that a trial lacks are made now, first for those that no other beats in bytes and
        score. When that has taken `_CATCHING_UP` times the timing of a file, the others stay
        without, until they are tried again.
        """
        known = [trial for trial in self.study.trials() if trial.score is not None]
        first = {trial.key for trial in undominated(known)}
        completed: dict[Key, Trial] = {}
        for trial in sorted(known, key=lambda trial: trial.key not in first):
            began = monotonic()
            late = self._caught_up > _CATCHING_UP * self.timing_seconds
            completed[trial.key] = self._in_own_time(trial) if late else self._complete(trial)
            self._caught_up += monotonic() - began
        return [self.original, *(completed[trial.key] for trial in known)]

    def has_file(self, trial: Trial) -> bool:
        """Whether the file of a trial still exists."""
        return trial.technique == self.original.technique or self.study.holds(trial)

    def bytes_of(self, trial: Trial) -> bytes:
        """The bytes of the file of a trial."""
        return (
            self.reference.read_bytes()
            if trial.technique == self.original.technique
            else self.study.read(trial)
        )

    def model_of(self, trial: Trial, file: Path) -> nn.Module:
        """The model of a trial: from memory, else the weights of `file` in the model that came in.

        Raises ValueError where the structure of that model was changed.
        """
        if trial.technique in self._modules and trial.seed == self.seed:
            return clone(self._modules[trial.technique])
        try:
            return restore(file, self.model)
        except ValueError as error:
            how = loading_of(trial.technique, file)
            raise ValueError(
                f"{file} cannot be put back into the model that came in ({error}): "
                f"{trial.technique} changed its structure in an earlier run; the file itself runs "
                f"with shoestring.load(){'; ' if how else ''}{how}"
            ) from None


def _width(trial: Trial) -> float:
    """The width of the interval of the milliseconds, as a logarithm."""
    low, high = trial.noise.get("milliseconds", (0.0, math.inf))
    return math.inf if low <= 0 else math.log(high / low)
