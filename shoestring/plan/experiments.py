"""Experiments: chains of techniques run on one model, the file of each measured, remembered in a
Study.
"""

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
from shoestring.kit.study.trial import Key
from shoestring.plan.clock import TimeUpError
from shoestring.plan.frontier import undominated
from shoestring.plan.judge import quick_judge
from shoestring.plan.moves import Move
from shoestring.plan.proposal import Proposal, save_proposal
from shoestring.plan.weighing import Weighing, fault_of, file_with, hearing, in_time_of
from shoestring.quantize import PostTraining

_CATCHING_UP = 20.0  # times the timing of a file, that files which were never timed may take in all
_DEATHS = 3  # of processes that were at a chain, after which it is what ends them
_NAMED = "names of its tensors"  # what a trial says of them, beside the versions of what made it
_NOTED = 4000  # characters of what the steps of a chain said
_MODULES = 8  # made models that are kept in memory, to go on from


@dataclass
class Experiments:
    """Runs chains on `model` and measures the files.

    What was measured before is not measured again.
    `meters` read what the budget limits besides bytes; a Latency among them is timed beside the
    model as it came in, for `timing_seconds`. Where scoring a file takes longer than
    `score_seconds`, files are scored on a sample of the validation split, if the task can draw one.
    Raises ValueError for a model that is not finite, or whose score is no number or the same as
    that of random weights, ExportError for one that cannot be a file.
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
    """What techniques said that they left alone or did not reach."""
    pinned: str = ""
    """The chain whose model stays in memory."""

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
        self.sha256, self.latency, self.reference = (
            self.weighing.sha256,
            self.weighing.latency,
            self.weighing.reference,
        )
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
        self.study = Study(
            self.folder, hashlib.sha256(repr(seen).encode()).hexdigest(), storage=self.storage
        )
        self._modules: OrderedDict[str, nn.Module] = OrderedDict({repr(chain()): self.model})
        self._said: dict[str, tuple[str, ...]] = {}
        self._more: dict[Key, Trial] = {}
        self._rows: dict[str, int] = {}
        self._caught_up = 0.0
        cost = self.weighing.original()
        self.came_in = cost | Cost(
            bytes=parameter_bytes(self.model)
        )  # what papers call uncompressed: 4 bytes for each number
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

    # Trials
    # -----------------------------------------------------------------------------------------------------------------

    def known(self, proposal: Proposal) -> Trial | None:
        """What came of it, where it was tried and measured in all that is asked for now."""
        found = self.study.find(proposal.name, self.seed)
        return found if found is None or found.score is None else self._complete(found)

    def __call__(self, proposal: Proposal) -> Trial | None:
        """What comes of a chain; None where another process is at it.

        What a technique raises becomes the note of a trial without a score; KeyboardInterrupt and
        the time being up are raised, and leave a training that can be gone on with.
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
            except (
                Exception
            ) as error:  # any technique and any model: that it fails is an answer too
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
        """The model that a chain makes.

        On from the longest part of it that is in memory, each step seeded by itself, as apply does.
        What any of its steps said is added to the notes, whenever it was made.
        """
        start = next(
            n
            for n in range(len(techniques), -1, -1)
            if repr(chain(*techniques[:n])) in self._modules
        )
        model = self._modules[begun := repr(chain(*techniques[:start]))]
        notes += self._said.get(begun, ())
        for place in range(start, len(techniques)):
            with hearing(notes, shortfalls=True), seeded(self.seed):
                # What does not train needs no teacher, who takes as long again as the model; and
                # prepared it does not look for what is to blame.
                technique, task = (
                    techniques[place],
                    self.taught if Move(techniques[place]).trains else self.sealed,
                )
                if isinstance(technique, PostTraining):
                    technique = technique.prepared(model, task)
                model = technique(model, task)
            self.heard += [one for one in notes if one not in self.heard]
            made = repr(chain(*techniques[: place + 1]))
            self._modules[made], self._said[made] = model, tuple(notes)
            while len(self._modules) > _MODULES:
                self._modules.pop(
                    next(name for name in self._modules if name not in (repr(chain()), self.pinned))
                )
        return model

    def _named(self, trial: Trial, model: nn.Module) -> Trial:
        """The trial, which says where the names of its file's tensors are."""
        names = [
            one.name.removeprefix("inner.") if isinstance(model, Quantised) else one.name
            for one in parameters_of(model)
        ]
        return replace(trial, versions={**trial.versions, _NAMED: keep_names(self.folder, names)})

    def note_names(self, trials: Sequence[Trial]) -> None:
        """Note in the folder of the search what the tensors of these trials' files are called."""
        files = {
            one.sha256: one.versions[_NAMED]
            for one in trials
            if one.sha256 is not None and _NAMED in one.versions
        }
        note_names(self.folder, files)

    def holds(self, techniques: Sequence[Technique]) -> bool:
        """Whether the model that a chain makes is in memory."""
        return repr(chain(*techniques)) in self._modules

    def _complete(self, trial: Trial) -> Trial:
        """The trial, with what meters of this budget read that none read before, or longer."""
        trial = self._in_my_time(trial)
        missing = [
            one
            for one in self.meters
            if getattr(trial.cost, one.measures) is None and one.measures in self._can_measure
        ]
        if not missing or not self.study.holds(trial):
            return trial
        with file_with(self.study.read(trial)) as path:
            trial = self.weighing.read(trial, path, self.original.cost.milliseconds)
        self._keep(trial)
        return trial

    def _in_my_time(self, trial: Trial) -> Trial:
        return in_time_of(
            self._more.get(trial.key, trial), self.weighing.timer, self.original.cost.milliseconds
        )

    def _keep(self, trial: Trial) -> None:
        """Remember what was measured of a trial later than the rest."""
        self._more[trial.key] = trial
        self.study.amend(trial)

    @property
    def _can_measure(self) -> set[str]:
        """The fields that this machine tells.

        What it did not of the model that came in it tells of no file.
        """
        return {
            one.measures for one in self.meters if getattr(self.came_in, one.measures) is not None
        }

    def again(self, trial: Trial, seconds: float) -> Trial:
        """The trial, its file timed anew for so long.

        Of the two timings the one whose interval is narrower.
        """
        if self.latency is None or not self.study.holds(trial):
            return trial
        with file_with(self.study.read(trial)) as path:
            anew = self.weighing.timed(trial, path, self.original.cost.milliseconds, seconds)
        if _width(anew) < _width(trial):
            self._keep(anew)
        return self._more.get(trial.key, trial)

    def _write_down(self, trial: Trial, techniques: tuple[Technique, ...]) -> None:
        """A row of the ledger, which continues that of the same chain without its last step, where
        there is one.
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
        """All that were measured with a score, the model as it came in first.

        What meters of this budget did not read before they read now, first of those that no other
        beats in bytes and score, as long as that takes no more than `_CATCHING_UP` times the timing
        of a file; the rest stays without, until it is tried again.
        """
        known = [one for one in self.study.trials() if one.score is not None]
        first = {one.key for one in undominated(known)}
        found: dict[Key, Trial] = {}
        for one in sorted(known, key=lambda one: one.key not in first):
            began = monotonic()
            late = self._caught_up > _CATCHING_UP * self.timing_seconds
            found[one.key] = self._in_my_time(one) if late else self._complete(one)
            self._caught_up += monotonic() - began
        return [self.original, *(found[one.key] for one in known)]

    def has_file(self, trial: Trial) -> bool:
        """Whether the file of a trial is still there."""
        return trial.technique == self.original.technique or self.study.holds(trial)

    def bytes_of(self, trial: Trial) -> bytes:
        """The file of a trial."""
        return (
            self.reference.read_bytes()
            if trial.technique == self.original.technique
            else self.study.read(trial)
        )

    def model_of(self, trial: Trial, file: Path) -> nn.Module:
        """The module of a trial: from memory, else the file's weights in the model that came in."""
        if trial.technique in self._modules and trial.seed == self.seed:
            return clone(self._modules[trial.technique])
        try:
            return restore(file, self.model)
        except ValueError as error:
            raise ValueError(
                f"{file} cannot be put back into the model that came in ({error}): "
                f"{trial.technique} changed its structure in an "
                "earlier run; the file itself runs with shoestring.load()"
            ) from None


def _width(trial: Trial) -> float:
    """How wide the interval of the milliseconds is, as a logarithm."""
    low, high = trial.noise.get("milliseconds", (0.0, math.inf))
    return math.inf if low <= 0 else math.log(high / low)
