"""The validation score of files, on a sample of the examples where all take too long."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from zlib import crc32

import numpy as np
import torch
from torch import nn

from shoestring.artifact import load, save
from shoestring.core import Task, score, seeded
from shoestring.kit import bake, clone

_FEWEST_EXAMPLES = 200
_SHUFFLES = 3


@dataclass
class Judge:
    """Scores files on the validation split of `task`, and knows what the model that came in scores (`base`, by its file at `reference`).

    Where that takes longer than `seconds`, files are scored on a sample, if the task can draw one. Its size is written down
    beside the reference, under the model's `sha256`: a later run, and other processes, draw the same.
    Raises ValueError for a score that is no number, or the same as that of random weights.
    """

    task: Task
    reference: Path
    model: nn.Module
    sha256: str
    seed: int = 0
    seconds: float = math.inf
    examples: int | None = None
    """How many a sample has; None where there is none."""
    base: float = field(init=False)
    merits: np.ndarray | None = field(init=False)
    taken: float = field(init=False, default=0.0)
    """Seconds of scoring the model that came in."""
    _by_merits: bool | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        began = monotonic()
        self._whole, self._by_merits = self.task, None
        self._draw(self._remembered())
        if not math.isfinite(self.base):
            raise ValueError(f"the validation score of the model is {self.base}: the task's score (or merit) must be a number")
        taken = monotonic() - began
        if self.examples is None and taken > self.seconds and self.merits is not None:
            fewer = max(int(len(self.merits) * self.seconds / taken), _FEWEST_EXAMPLES)
            if fewer < len(self.merits):
                self._draw(self._first_to_say(fewer))
        with seeded(0):
            if all(score(self.task, _shuffled(self.model)) == self.base for _ in range(_SHUFFLES)):
                raise ValueError(
                    f"the validation score is {self.base:g} for the model and for ones whose weights are in random order: it tells nothing "
                    "about the model; look at the task's score (or merit), and whether it gets the model's outputs"
                )

    def __call__(self, file: Path) -> tuple[float, np.ndarray | None]:
        """The validation score of a file, and the merit of each example where the score is their mean.

        Whether it is, the model that came in tells; after that merits alone are asked for, which takes half the time.
        """
        began = monotonic()
        predict = load(file, threads=torch.get_num_threads())
        merits: np.ndarray | None = None
        if self._by_merits is not False:
            with seeded(crc32(b"validation")):
                found = self.task.merits(predict, "validation")
            merits = None if found is None else np.asarray(found, dtype=np.float64)
        if self._by_merits and merits is not None:
            value = float(merits.mean())
        else:
            self.taken = monotonic() - began
            value = score(self.task, predict)
            self._by_merits = merits is not None and math.isclose(float(merits.mean()), value, abs_tol=1e-9)
        return value, merits if self._by_merits else None

    @property
    def count(self) -> int | None:
        """How many validation examples files are scored on; None where the task does not tell."""
        return None if self.merits is None else len(self.merits)

    @property
    def base_error(self) -> float | None:
        """The standard error of the score that the model came in with; None where the task does not tell."""
        return None if self.merits is None or len(self.merits) < 2 else float(self.merits.std() / len(self.merits) ** 0.5)

    def error(self, merits: np.ndarray | None) -> float | None:
        """The standard error of the difference between a file with these merits and the model that came in."""
        pair = None if merits is None or self.merits is None else self.merits - merits
        return None if pair is None or len(pair) < 2 else float(pair.std() / len(pair) ** 0.5)

    def _draw(self, examples: int | None) -> None:
        self.examples = examples
        self._by_merits = None
        self.task = self._whole if examples is None else self._whole.sampled(examples, self.seed)
        self.base, self.merits = self(self.reference)

    # How large the sample is, was once a matter of how busy the machine was: it is settled by who says it first.

    @property
    def _note(self) -> Path:
        return self.reference.with_name(f"sample-{self.sha256[:16]}.json")

    def _remembered(self) -> int | None:
        try:
            return int(json.loads(self._note.read_bytes())["examples"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _first_to_say(self, examples: int) -> int:
        with tempfile.TemporaryDirectory(dir=self._note.parent) as folder:
            said = Path(folder) / "sample.json"
            save(said, json.dumps({"examples": examples}).encode())
            try:
                os.link(said, self._note)
            except OSError:  # another process was first, or the file system has no links
                if self._remembered() is None:
                    os.replace(said, self._note)
        return self._remembered() or examples


def _shuffled(model: nn.Module) -> nn.Module:
    """A copy with the numbers of each weight in random order."""
    mixed = bake(clone(model))
    with torch.no_grad():
        for one in mixed.parameters():
            one.copy_(one.flatten()[torch.randperm(one.numel())].view(one.shape))
    return mixed
