"""Trials: what a technique makes of a model, measured on the file that comes of it; each is made once and remembered."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import nn

from shoestring.artifact import load, save
from shoestring.core import Meter, Task, Technique, check_task, score, seeded
from shoestring.core.cost import Cost
from shoestring.core.ledger import machine, versions
from shoestring.kit import SkippedWarning, check_finite, export, pack
from shoestring.kit.layers import NoLayerError
from shoestring.meters import Latency, RemoteError
from shoestring.plan.pace import Pace, pace
from shoestring.plan.same_graph import file_of, signature_of

_FILES = 8  # of changed models that are kept, to time one beside another


class SpentError(Exception):
    """As many trials were made as were allowed."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of a technique, beside the model as it was, both as files.

    `lost`: how far the validation score is below the original's, and `error`, the standard error of that difference, example
    by example (None where the task does not tell merits). `bytes` are the file's, `pace` is its time beside the original's
    (None: not timed), `cost` what other meters read. `changed`: whether the file differs at all. `note`: what was skipped, or
    why nothing is known, and then `lost` is None.
    """

    lost: float | None = None
    error: float | None = None
    bytes: int | None = None
    pace: Pace | None = None
    cost: Cost = Cost()
    changed: bool = True
    note: str = ""

    def within(self, drop: float) -> bool:
        """Whether it loses at most so much of the score; what failed does not."""
        return self.lost is not None and self.lost <= drop


class Trials:
    """Makes trials of techniques on one model, at most `most`, and remembers them: in `folder` too, where one is named.

    `base`, `bytes` and `original` are the score, the size and the trial of the model as it was, `examples` how many it was
    scored on (None: the task does not tell). What a folder remembers of
    another model, task, meter or machine does not count.
    Raises ValueError for a model that is not finite or whose score is no number, ExportError for one that cannot be a file.
    """

    def __init__(
        self, model: nn.Module, task: Task, meters: Sequence[Meter], *, examples: int | None, most: int, seed: int,
        folder: str | Path | None,
    ) -> None:  # fmt: skip
        if most < 1:
            raise ValueError(f"most is {most}: allow 1 trial or more")
        if examples is not None and examples < 2:
            raise ValueError(f"examples is {examples}: score on 2 or more, or None for all")
        check_task(task)
        check_finite(model)
        self.model, self.task, self.seed, self.most, self.made = model, task.sealed(), seed, most, 0
        self._judged = self.task if examples is None else self.task.sampled(examples, seed)
        self.latency = next((meter for meter in meters if isinstance(meter, Latency)), None)
        self._meters = [meter for meter in meters if not isinstance(meter, Latency)]
        self._exported, self._signature = export(model, self.task), signature_of(model)
        original = pack(model, self._exported)
        self._temporary = tempfile.TemporaryDirectory(prefix="shoestring-") if folder is None else None
        self._folder = Path(folder if self._temporary is None else self._temporary.name)  # type: ignore[arg-type]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._reference = self._folder / "original.shoe"
        save(self._reference, original)
        self._files: dict[str, Path] = {}
        self._failed: dict[str, Trial] = {}
        self._by_merits = True
        self.base, self._merits = self._judge(self._reference)
        if self._merits is not None:  # unless the score is something else than their mean
            mean, self.base = self.base, score(self._judged, load(self._reference))
            self._by_merits = math.isclose(mean, self.base, abs_tol=1e-9)
        if not math.isfinite(self.base):
            raise ValueError(f"the validation score of the model is {self.base}: the task's score (or merit) must be a number")
        self.bytes = len(original)
        self.examples = None if self._merits is None else len(self._merits)
        seen = seed, examples, task.name, self.base, list(meters), machine(), versions()
        self._identity = hashlib.sha256(original + repr(seen).encode()).hexdigest()
        self._known = self._remembered()
        if "" not in self._known:
            cost = self._read(self._reference)
            timed = self._pace(self._reference)
            self._keep("", Trial(lost=0.0, error=0.0, bytes=self.bytes, pace=timed, cost=cost, changed=False))
        self.original = self._known[""]

    def __call__(self, technique: Technique) -> Trial:
        """What comes of a technique; raises SpentError rather than make one trial too many, and NoLayerError."""
        if (known := self.known(technique)) is not None:
            return known
        name, notes = repr(technique), list[str]()
        try:
            trial = self._weighed(self._file(technique, notes))
        except (SpentError, NoLayerError, RemoteError):  # a device that is gone is no answer: what was tried is remembered
            raise
        except Exception as error:  # any technique and any model: that it fails is an answer too
            said = f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)
            self._failed[name] = Trial(note="; ".join([*notes, said]))
            return self._failed[name]
        self._keep(name, replace(trial, note="; ".join([*notes, trial.note] if trial.note else notes)))
        return self._known[name]

    def known(self, technique: Technique) -> Trial | None:
        """What came of a technique that was tried; None where none was."""
        return self._known.get(repr(technique)) or self._failed.get(repr(technique))

    def compare(self, technique: Technique, other: Technique) -> Pace | None:
        """The pace of one technique's file beside another's; None where there is no latency meter, or one of them fails."""
        if self.latency is None or any(self(one).lost is None for one in (technique, other)):
            return None
        return pace(self._file(technique, []), self._file(other, []), self.task, self.latency)

    def close(self) -> None:
        """Delete the files; what is remembered stays in the folder that was named."""
        for file in (self._reference, *self._files.values()):
            file.unlink(missing_ok=True)
        if self._temporary is not None:
            self._temporary.cleanup()

    def _weighed(self, file: Path) -> Trial:
        if file.read_bytes() == self._reference.read_bytes():
            return replace(self.original, pace=None)
        value, merits = self._judge(file)
        pair = None if merits is None or self._merits is None else self._merits - merits
        trial = Trial(
            lost=self.base - value,
            error=None if pair is None else float(pair.std() / len(pair) ** 0.5),
            bytes=file.stat().st_size,
            pace=self._pace(file),
            cost=self._read(file),
        )
        return trial if math.isfinite(value) else replace(trial, lost=None, error=None, note=f"the score is {value}")

    def _file(self, technique: Technique, notes: list[str]) -> Path:
        """The file of the changed model; what is skipped on the way is added to the notes."""
        name = repr(technique)
        if name in self._files:
            self._files[name] = self._files.pop(name)  # the one that was used last
            return self._files[name]
        if self.made >= self.most:
            raise SpentError(f"{self.most} trials were made")
        self.made += 1
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                with seeded(self.seed):
                    changed = technique(self.model, self.task)
            except NoLayerError:  # no model was made
                self.made -= 1
                raise
            data = file_of(changed, self.task, self._exported, self._signature)
        for one in said:
            if issubclass(one.category, SkippedWarning):
                notes += [str(one.message)] if str(one.message) not in notes else []
            else:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        path = self._folder / f"trial-{hashlib.sha256(name.encode()).hexdigest()[:16]}.shoe"
        save(path, data)
        self._files[name] = path
        for old in list(self._files)[:-_FILES]:
            self._files.pop(old).unlink(missing_ok=True)
        return path

    def _judge(self, file: Path) -> tuple[float, np.ndarray | None]:
        """The validation score of a file, and the merit of each example where their mean is the score."""
        predict = load(file, threads=torch.get_num_threads())
        if self._by_merits:
            with seeded(crc32(b"validation")):
                merits = self._judged.merits(predict, "validation")
            if merits is not None:
                found = np.asarray(merits, dtype=np.float64)
                return float(found.mean()), found
            self._by_merits = False
        return score(self._judged, predict), None

    def _pace(self, file: Path) -> Pace | None:
        return None if self.latency is None else pace(file, self._reference, self.task, self.latency)

    def _read(self, file: Path) -> Cost:
        cost = Cost()
        for meter in self._meters:
            cost |= meter(file, self.task)
        return cost

    # What is remembered ---------------------------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        return self._folder / "trials.json"

    def _kept(self) -> dict[str, Any]:
        """What the folder holds, of this model and of others; nothing where that cannot be read."""
        try:
            kept = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):  # of JSON, or of its letters
            return {}
        return kept if isinstance(kept, dict) else {}

    def _remembered(self) -> dict[str, Trial]:
        return {name: _trial(one) for name, one in self._kept().get(self._identity, {}).items()}

    def _keep(self, name: str, trial: Trial) -> None:
        self._known[name] = trial
        kept = self._kept()
        kept[self._identity] = {known: asdict(one) for known, one in self._known.items()}
        save(self._path, json.dumps(kept, indent=1).encode())


def _trial(kept: dict[str, Any]) -> Trial:
    timed = Pace(**kept["pace"]) if kept["pace"] else None
    return Trial(**{**kept, "pace": timed, "cost": Cost(**kept["cost"])})
