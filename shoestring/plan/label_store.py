"""The labels that a search bought, in its folder, so that nobody is asked for one twice."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import save, tree
from shoestring.core.labels import LabelTask
from shoestring.plan.answers import unlearnable, warn_of_left_out
from shoestring.plan.folder import LABELS

_VERSION = 1
_PART = 1000
"""Examples of a pool whose inputs are hashed at a time."""
_DIGITS, _MORE = 28, 4096
"""The most bytes of a number in the file, and bytes for all else that a purchase adds to it."""


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
    _judged_by: tuple[LabelTask, nn.Module] | None = None
    _missing: int = 0
    """How many labels more there is to be room for on the disk."""
    _bytes: int = 0
    """The most that one of them takes."""

    @classmethod
    def of(cls, folder: Path, task: LabelTask, say: Callable[[str], None]) -> LabelStore:
        """The labels of this task's pool that were bought in a folder, or none.

        Raises ValueError for a damaged file.
        """
        path = folder / f"{LABELS}{digest_of_pool(task)}.json"
        if path.is_file():
            say(
                f"  labels that were bought before are in {path}: where `answer` or the meaning of "
                "the classes has changed since, move that file away, and all are bought anew"
            )
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
            return cls(path, **_fields(json.loads(path.read_bytes()), task))
        except ValueError as error:
            raise _damaged(path, error) from None

    def judge_by(self, task: LabelTask, model: nn.Module) -> None:
        """Keep no label from now on of a class that the network has no output for.

        Raises ValueError where the file has such a label already.
        """
        if wrong := unlearnable(task, model, self.indices, self.labels):
            index, label = self.indices[wrong[0]], _shown(self.labels[wrong[0]])
            raise _damaged(
                self.path,
                f"the label of example {index} is {label}, a class that the network has no output "
                f"for; {len(wrong):,} labels are such",
            )
        self._judged_by = task, model

    def __len__(self) -> int:
        return len(self.indices)

    @contextmanager
    def room(self, missing: int, task: LabelTask) -> Iterator[None]:
        """A context in which the disk keeps room for so many labels more.

        Raises OSError, before anybody is asked for them, where the disk has not.
        """
        numbers = math.prod(np.shape(task.labels(task.known()[:1]))[1:])
        self._missing, self._bytes = missing, (1 + numbers) * _DIGITS
        try:
            self._reserve()
            yield
        finally:
            self._missing = 0
            self._room.unlink(missing_ok=True)

    @property
    def _room(self) -> Path:
        return self.path.with_suffix(".room")

    def _reserve(self) -> None:
        """Take room for the next file, which is written before the old one goes."""
        if self._missing > 0:
            save(self._room, bytes(len(self._written()) + self._missing * self._bytes + _MORE))

    def add(self, indices: list[int], labels: Any, chooser: str, waited: float = 0.0) -> None:
        """Keep labels that were just bought, but for those that the network cannot learn.

        `waited`: seconds that the answer took.
        Raises OSError where they cannot be written: they are then in a file for temporary ones,
        which the message names. Raises ValueError for those of a class that the network has no
        output for, after all others are kept.
        """
        self.waited += waited
        values, wrong = torch.as_tensor(labels).tolist(), list[int]()
        if self._judged_by is not None:
            wrong = unlearnable(*self._judged_by, indices, labels)
        right = [place for place in range(len(indices)) if place not in set(wrong)]
        self._append([indices[place] for place in right], [values[at] for at in right], chooser)
        if wrong:
            raise ValueError(
                f"the answer to example {indices[wrong[0]]} is {_shown(values[wrong[0]])}, a class "
                f"that the network has no output for ({len(wrong):,} of {len(indices):,} answers "
                f"are such): correct the answer, or give a network with more outputs, and run the "
                f"same command; the {len(self):,} other labels are kept in {self.path}"
            )
        if self._judged_by is not None:
            warn_of_left_out(*self._judged_by, indices, labels)

    def _append(self, indices: list[int], labels: list[Any], chooser: str) -> None:
        if not indices:
            return
        self.indices += indices
        self.labels += labels
        before = 0
        if self.by and self.by[-1][0] == chooser:
            chooser, before = self.by.pop()
        self.by.append((chooser, before + len(indices)))
        try:
            self._write()
        except OSError as error:
            aside = self._put_aside()
            if aside is None:
                raise
            raise OSError(
                error.errno,
                f"{error.strerror}; the {len(self):,} labels that were bought are in {aside}: make "
                f"room, move that file to {self.path}, and run the same command",
            ) from error
        self._missing -= len(indices)
        self._reserve()

    def _put_aside(self) -> Path | None:
        """Write what there is among temporary files; returns where, or None."""
        with contextlib.suppress(OSError):
            aside = Path(tempfile.mkdtemp(prefix="shoestring-labels-")) / self.path.name
            save(aside, self._written())
            return aside
        return None

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
        self._room.unlink(missing_ok=True)
        save(self.path, self._written())

    def _written(self) -> bytes:
        kept = {
            "version": _VERSION,
            "by": self.by,
            "steps": self.steps,
            "finished": self.finished,
            "waited": self.waited,
            "indices": self.indices,
            "labels": self.labels,
        }
        return json.dumps(kept).encode()


def _damaged(path: Path, why: object) -> ValueError:
    return ValueError(
        f"{path} is damaged ({why}): bring back a copy of it, or move it away, and all labels are "
        "bought anew"
    )


def _shown(label: Any) -> str:
    """A label in a message: masks are long."""
    return str(label) if not isinstance(label, list) else "a mask or list"


def _fields(kept: Any, task: LabelTask) -> dict[str, Any]:
    """The fields of a store, of what its file has; raises ValueError for what nobody wrote so."""
    names = ("version", "by", "steps", "finished", "indices", "labels")
    if not isinstance(kept, dict):
        raise ValueError("it has no JSON object")
    if missing := [one for one in names if one not in kept]:
        raise ValueError(f"it has no {missing[0]!r}")
    if kept["version"] != _VERSION:
        raise ValueError(f"version {kept['version']!r}, and this program knows {_VERSION}")
    indices = [_whole("an index", one, 0) for one in _list("indices", kept["indices"])]
    labels = _list("labels", kept["labels"])
    if len(indices) != len(labels) or len(set(indices)) != len(indices):
        raise ValueError(f"{len(labels)} labels for {len(set(indices))} examples")
    if not set(indices) <= {int(index) for index in task.pool()}:
        raise ValueError("it has examples that the pool has not")
    by = []
    for pair in _list("by", kept["by"]):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError(f"by has {pair!r}, and pairs [name, count] are wanted")
        by.append((pair[0], _whole("a count in by", pair[1], 1)))
    if (chosen := sum(count for _, count in by)) != len(indices):
        raise ValueError(f"by counts {chosen} labels, and there are {len(indices)}")
    steps = kept["steps"]
    if steps is not None:
        if len(_list("steps", steps)) != 2:
            raise ValueError(f"steps is {steps!r}, and two numbers are wanted")
        steps = tuple(_whole("steps", one, 1) for one in steps)
    finished = _whole("finished", kept["finished"], 0)
    waited = kept.get("waited", 0.0)  # older files do not have it
    if isinstance(waited, bool) or not isinstance(waited, int | float) or not 0 <= waited < 1e9:
        raise ValueError(f"waited is {waited!r}, and seconds of 0 or more are wanted")
    _check_labels(labels, task, indices)
    return {
        "indices": indices,
        "labels": labels,
        "by": by,
        "steps": steps,
        "finished": finished,
        "waited": float(waited),
    }


def _check_labels(labels: list[Any], task: LabelTask, indices: list[int]) -> None:
    """Raise ValueError for labels that the task does not take up."""
    try:
        values = torch.tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"the labels are not numbers of one shape: {error}") from None
    if indices:
        task.recalled(indices, values)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} is {value!r}, and a list is wanted")
    return value


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}, and an integer from {least} up is wanted")
    return value


def digest_of_training(task: LabelTask) -> str:
    """Sixteen digits that tell training data apart: the indices, their inputs and their labels."""
    known = np.asarray(task.known(), dtype=np.int64)
    return _digest(task, known, task.labels(known))


def digest_of_pool(task: LabelTask) -> str:
    """Sixteen digits that tell pools apart: the indices and the inputs."""
    return _digest(task, np.asarray(task.pool(), dtype=np.int64))


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
