"""The labels that a search bought, in its folder, so that nobody is asked for one twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shoestring.artifact import save, tree
from shoestring.core.labels import LabelTask
from shoestring.plan.folder import LABELS

_VERSION = 1
_PART = 1000
"""Examples of a pool whose inputs are hashed at a time."""


@dataclass
class LabelStore:
    """The labels of one pool that were bought, in the order in which they were.

    It is written whole after each purchase, and atomically: a kill loses at most the answers that
    had not come back.

    `path`: of the file.
    `indices`, `labels`: of the examples, and what was answered.
    `by`: (the name of a technique, how many of them it chose), in order.
    `steps`: of the training in each round, and at the end; None before anything was trained.
    `finished`: the most labels that were wanted by a run which bought all that it could.
    `waited`: seconds that all answers took.
    """

    path: Path
    indices: list[int] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    by: list[tuple[str, int]] = field(default_factory=list)
    steps: tuple[int, int] | None = None
    finished: int = 0
    waited: float = 0.0

    @classmethod
    def of(cls, folder: Path, task: LabelTask, say: Callable[[str], None]) -> LabelStore:
        """The labels of this task's pool that were bought in a folder, or none.

        Raises ValueError for a damaged file.
        """
        pool = np.asarray(task.pool(), dtype=np.int64)
        path = folder / f"{LABELS}{_digest(task, pool)}.json"
        for other in sorted(set(folder.glob(f"{LABELS}*.json")) - {path}):
            say(f"  {other} has labels of another pool, or of other inputs: they are not used")
        return cls.read(path, task)

    @classmethod
    def read(cls, path: Path, task: LabelTask) -> LabelStore:
        """The labels in a file of this task's pool, or none where there is no file.

        Raises ValueError for a damaged file.
        """
        if not path.is_file():
            return cls(path)
        try:
            kept = json.loads(path.read_bytes())
            if kept["version"] != _VERSION:
                raise ValueError(f"version {kept['version']}, and this program knows {_VERSION}")
            indices, labels = list(map(int, kept["indices"])), list(kept["labels"])
            by = [(str(name), int(count)) for name, count in kept["by"]]
            steps, finished = kept["steps"], int(kept["finished"])
            if len(indices) != len(labels) or len(set(indices)) != len(indices):
                raise ValueError(f"{len(labels)} labels for {len(set(indices))} examples")
            if not set(indices) <= {int(index) for index in task.pool()}:
                raise ValueError("it has examples that the pool has not")
            steps = None if steps is None else (int(steps[0]), int(steps[1]))
            waited = float(kept.get("waited", 0.0))  # older files do not have it
            return cls(path, indices, labels, by, steps, finished, waited)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged ({error}): bring back a copy of it, or move it away, and all "
                "labels are bought anew"
            ) from None

    def __len__(self) -> int:
        return len(self.indices)

    def add(self, indices: list[int], labels: Any, chooser: str, waited: float = 0.0) -> None:
        """Keep labels that were just bought. Raises OSError where the disk is full.

        `waited`: seconds that the answer took.
        """
        self.waited += waited
        self.indices += indices
        self.labels += torch.as_tensor(labels).tolist()
        if self.by and self.by[-1][0] == chooser:
            chooser, before = self.by.pop()
        else:
            before = 0
        self.by.append((chooser, before + len(indices)))
        self._write()

    def settle(self, steps: tuple[int, int]) -> tuple[int, int]:
        """The steps of training (in a round, at the end), the same as in earlier runs.

        They change where there is time for twice as many, since more time is to bring more.
        """
        if self.steps is None or steps[1] >= 2 * self.steps[1]:
            self.steps = steps
            self._write()
        return self.steps

    def finish(self, wanted: int) -> None:
        """Note that a run which wanted so many labels has bought all that it could."""
        if wanted > self.finished:
            self.finished = wanted
            self._write()

    def first(self, count: int) -> tuple[list[int], torch.Tensor]:
        """The first `count` (indices, labels) that were bought."""
        return self.indices[:count], torch.tensor(self.labels[:count])

    def choosers(self, count: int) -> str:
        """What chose the first `count`, in words."""
        words = []
        for name, chose in self.by:
            words += [f"{min(chose, count):,} by {name}()"] if count > 0 else []
            count -= chose
        return ", ".join(words)

    def digest(self, count: int) -> str:
        """A digest of the first `count` labels, for the trials of models that learnt from them."""
        known = json.dumps([self.path.name, self.indices[:count], self.labels[:count]])
        return hashlib.sha256(known.encode()).hexdigest()

    def _write(self) -> None:
        kept = {
            "version": _VERSION,
            "by": self.by,
            "steps": self.steps,
            "finished": self.finished,
            "waited": self.waited,
            "indices": self.indices,
            "labels": self.labels,
        }
        save(self.path, json.dumps(kept).encode())


def digest_of_training(task: LabelTask) -> str:
    """Sixteen digits that tell training data apart: the indices, their inputs and their labels."""
    known = np.asarray(task.known(), dtype=np.int64)
    return _digest(task, known, task.labels(known))


def _digest(task: LabelTask, indices: np.ndarray, labels: Any = ()) -> str:
    """Sixteen digits that tell other examples, another order and other labels apart."""
    digest = hashlib.sha256(indices.tobytes())

    def note(leaf: Any) -> None:
        values = torch.as_tensor(leaf).detach().cpu().contiguous()
        digest.update(f"{values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())

    for begin in range(0, len(indices), _PART):
        tree.map(note, task.inputs(indices[begin : begin + _PART]))
    tree.map(note, labels)
    return digest.hexdigest()[:16]
