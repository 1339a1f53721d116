"""A teacher whose answers are kept on disk, so that each example is asked about once."""

from __future__ import annotations

import hashlib
import json
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.artifact.progress import progress
from shoestring.core import Task, batches
from shoestring.core.entries import called
from shoestring.core.task import evaluating
from shoestring.core.teacher import Asked, as_teacher
from shoestring.distill.identity import identity_of
from shoestring.distill.store import KEY, AnswerStore
from shoestring.kit import bake, clone

_LOOKED_AT = 256
"""Examples of a second pass that `fill` looks at."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What `Cached.fill` did.

    `examples`: of the pass.
    `asked`: of these, how many the teacher was asked about; the others were there.
    `bytes`: of all files of answers.
    """

    examples: int
    asked: int
    bytes: int


class Cached(nn.Module):
    """A teacher that is asked about each example once; `cached` makes it.

    An answer is found by the content of its example: all tensors that the model is called with, and
    what else it is called with. So an answer is never that of another example; an example that was
    changed, such as by augmentation, is another example, and so is one that was padded to another
    length. Within training mode (`core.taught` looks for teachers that answer otherwise there) the
    teacher is asked and nothing is kept.

    `teacher`: the copy that is asked.
    `found`, `asked`: how many examples were there, and how many the teacher was asked about.
    """

    def __init__(self, teacher: nn.Module, store: AnswerStore, again: tuple[Any, ...]) -> None:
        super().__init__()
        self.teacher, self.store, self._again = teacher, store, again
        self.found = self.asked = 0
        self._checked: set[str] = set()
        self._end = weakref.finalize(self, _flush, store)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The teacher's answer; tensors are on the device of the inputs, without gradients.

        Raises ValueError where the answers of examples cannot be told apart (an input or an output
        without an axis 0 of examples), or depend on the other examples of a batch.
        """
        return self._answered("", args, kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            teacher = self.__dict__.get("_modules", {}).get("teacher")
            if name.startswith("_") or not callable(getattr(teacher, name, None)):
                raise
            return partial(self._entry, name)  # an entry of the model, such as encode

    def _entry(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._answered(name, args, kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Cached:
        return self

    def __reduce__(self) -> Any:
        return _cached_again, self._again

    def fill(self, task: Task) -> Filled:
        """Ask about every example of a pass over the training split, and keep the answers.

        A fill that was killed goes on with what is missing. Warns where a second pass has other
        examples than the first, so that keeping answers does not help.
        Raises ValueError, after the first batch, where the answers will take more bytes than they
        may.
        """
        before, passed = self.asked, 0
        count = sum(1 for _ in batches(task, "train"))
        with progress("asking the teacher", count) as advance:
            for number, batch in enumerate(batches(task, "train")):
                passed += self._looked_at(task, batch)
                if not number:
                    self._check_room(passed * count)
                advance("")
        self.store.flush()
        filled = Filled(examples=passed, asked=self.asked - before, bytes=self.store.bytes())
        self._look_again(task)
        return filled

    def _check_room(self, examples: int) -> None:
        """Raise ValueError where so many answers will not fit."""
        need = examples * self.store.bytes_of_an_answer()
        if need > self.store.most_bytes:
            raise ValueError(
                f"the answers to about {examples:,} examples take about {need:,} bytes, and may "
                f"take {self.store.most_bytes:,}: give a larger most_bytes="
            )

    def _look_again(self, task: Task) -> None:
        """Warn where examples of a second pass are not there."""
        asked, seen = self.asked, 0
        for batch in batches(task, "train"):
            seen += self._looked_at(task, batch)
            if seen >= _LOOKED_AT:
                break
        if (new := self.asked - asked) > seen / 10:
            warnings.warn(
                f"of {seen} examples of a second pass {new} were not there: the inputs change from "
                "pass to pass (augment=, or a prepare= that cuts padding), and the teacher is "
                "asked about each change. Answers stay right; train without a cache, or on inputs "
                "that do not change",
                stacklevel=3,
            )

    def _looked_at(self, task: Task, batch: Any) -> int:
        """Let the loss of a batch ask; returns how many examples it asked about."""
        before = self.found + self.asked
        with torch.no_grad(), evaluating(self):
            task.loss(self, batch)
        return self.found + self.asked - before

    def _answered(self, entry: str, args: Any, kwargs: Any) -> Any:
        ask = called(self.teacher, entry)
        with torch.no_grad():
            if any(part.training for part in self.teacher.modules()):
                return ask(*args, **kwargs)
            examples = _Examples.of(entry, args, kwargs)
            found = [self.store.get(key) for key in examples.keys]
            missing = [index for index, one in enumerate(found) if one is None]
            self.found += len(found) - len(missing)
            self.asked += len(missing)
            if missing:
                form, rows = self._ask(ask, examples, missing)
                for index, row in zip(missing, rows, strict=True):
                    found[index] = form, row
            forms = {one[0] for one in found if one is not None}
            if len(forms) != 1:  # another answer to an equal call: the teacher's own to decide
                return ask(*args, **kwargs)
            rows = np.stack([one[1] for one in found if one is not None])
            return _answer(forms.pop(), rows, examples.device)

    def _ask(
        self, ask: Callable[..., Any], examples: _Examples, missing: list[int]
    ) -> tuple[str, np.ndarray]:
        """(form, rows) of the teacher's answers to some examples, which are kept."""
        form, rows, answer = _rows(ask, examples, missing)
        if form not in self._checked and len(missing) > 1:
            _, alone, _ = _rows(ask, examples, missing[: len(missing) // 2])
            _check_alone(answer, _answer(form, alone, examples.device))
            self._checked.add(form)
        self.store.put(form, [examples.keys[index] for index in missing], rows)
        return form, rows


@dataclass(frozen=True)
class _Examples:
    """The examples of a call: the tensors, how they are nested, and a key for each example."""

    tensors: list[Tensor]
    structure: Any
    leaves: list[Any]
    keys: list[bytes]
    device: torch.device

    @staticmethod
    def of(entry: str, args: Any, kwargs: Any) -> _Examples:
        leaves, structure = tree.flatten((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if not tensors or any(not one.ndim or len(one) != len(tensors[0]) for one in tensors):
            shapes = ", ".join(str(list(one.shape)) for one in tensors) or "none"
            raise ValueError(
                f"the model is called with tensors of the shapes {shapes}: answers are kept by "
                "example, and need tensors with one axis 0 of examples. Teach without a cache"
            )
        rest = [None if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        start = hashlib.blake2b(digest_size=KEY)
        # An array is written with dots where it is long, which tell no two apart.
        told = [
            (leaf.dtype, leaf.tolist()) if isinstance(leaf, np.ndarray) else leaf for leaf in rest
        ]
        start.update(repr((entry, structure, told)).encode())
        bytes_of = []
        for one in tensors:
            start.update(f"{one.dtype}{tuple(one.shape[1:])}\0".encode())
            bytes_of.append(_bytes(one))
        keys = []
        for index in range(len(tensors[0])):
            digest = start.copy()
            for rows in bytes_of:
                digest.update(rows[index].data)
            keys.append(digest.digest())
        return _Examples(tensors, structure, leaves, keys, tensors[0].device)

    def call(self, indices: list[int]) -> tuple[Any, Any]:
        """(args, kwargs) of these examples alone."""
        whole = len(indices) == len(self.keys)
        chosen = [
            leaf[indices] if isinstance(leaf, Tensor) and not whole else leaf
            for leaf in self.leaves
        ]
        return tree.fill(self.structure, chosen)


def _bytes(tensor: Tensor) -> np.ndarray:
    """The bytes of each row, uint8 (rows, bytes of a row)."""
    rows = tensor.detach().cpu().contiguous().reshape(len(tensor), -1)
    return rows.view(torch.uint8).numpy()


def _rows(
    ask: Callable[..., Any], examples: _Examples, indices: list[int]
) -> tuple[str, np.ndarray, Any]:
    """(form, bytes of each answer, the answers) of a teacher to some examples."""
    args, kwargs = examples.call(indices)
    answer = ask(*args, **kwargs)
    leaves, structure = tree.flatten(tree.plain(answer), lambda leaf: isinstance(leaf, Tensor))
    if not leaves or any(not leaf.ndim or len(leaf) != len(indices) for leaf in leaves):
        shapes = ", ".join(str(list(leaf.shape)) for leaf in leaves) or "none"
        raise ValueError(
            f"the teacher answered {len(indices)} examples with tensors of the shapes {shapes}: "
            "answers are kept by example, and need an axis 0 of examples. Teach without a cache"
        )
    kinds = [(str(leaf.dtype).removeprefix("torch."), list(leaf.shape[1:])) for leaf in leaves]
    form = json.dumps([_told(structure), kinds])
    return form, np.concatenate([_bytes(leaf) for leaf in leaves], 1), answer


def _answer(form: str, rows: np.ndarray, device: torch.device) -> Any:
    """The answers, from their form and bytes."""
    told, kinds = json.loads(form)
    leaves, at = [], 0
    for name, shape in kinds:
        dtype = getattr(torch, name, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"kept answers name a type {name!r}, which torch has not")
        width = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        part = torch.from_numpy(np.ascontiguousarray(rows[:, at : at + width]))
        part = part.view(dtype) if part.numel() else part.to(dtype)
        leaves.append(part.reshape(len(rows), *shape).to(device))
        at += width
    return tree.fill(_structure(told), leaves)


def _told(structure: Any) -> Any:
    """A structure as JSON has it, which knows no tuples."""
    if isinstance(structure, dict):
        return {"dict": [[key, _told(value)] for key, value in structure.items()]}
    if isinstance(structure, tuple | list):
        kind = "tuple" if isinstance(structure, tuple) else "list"
        return {kind: [_told(value) for value in structure]}
    return structure


def _structure(told: Any) -> Any:
    """The structure of what `_told` made."""
    if not isinstance(told, dict):
        return told
    ((kind, parts),) = told.items()
    if kind == "dict":
        return {key: _structure(value) for key, value in parts}
    return (tuple if kind == "tuple" else list)(_structure(value) for value in parts)


def _check_alone(together: Any, alone: Any) -> None:
    """Raise ValueError where answers of some examples differ from those in a larger batch."""
    for many, few in zip(_tensors(together), _tensors(alone), strict=True):
        close = torch.allclose(
            many[: len(few)].float(), few.float(), rtol=1e-3, atol=1e-4, equal_nan=True
        )
        if not close:
            raise ValueError(
                "the teacher's answer to an example depends on the other examples of its batch, or "
                "on chance: answers cannot be kept by example. Teach without a cache"
            )


def _tensors(answer: Any) -> list[Tensor]:
    return [leaf for leaf in tree.leaves(answer) if isinstance(leaf, Tensor)]


def _flush(store: AnswerStore) -> None:
    """Write what was not written yet, unless somebody deleted the folder."""
    if store.folder.is_dir():
        store.flush()


def _cached_again(teacher: Any, folder: Path, most_bytes: int, identity: str | None) -> Cached:
    return cached(teacher, folder, most_bytes=most_bytes, identity=identity)


def cached(
    teacher: Any,
    folder: str | Path,
    *,
    most_bytes: int = 1_000_000_000,
    identity: str | None = None,
) -> Cached:
    """A teacher whose answers are kept in a folder: `task.taught_by(cached(teacher, "answers"))`.

    Each teacher has a folder of its own in `folder`, named by a digest of all that decides its
    answers (`distill.identity`). A module is copied, and asked in evaluation mode: to train it
    further changes nothing here. Several processes may use one folder, and a killed one loses the
    answers of its last seconds. In memory, answers take their bytes and about 200 more each.

    `teacher`: a module, the path of a `.shoe` or `.onnx` file, a loaded file or a function.
    `folder`: is made where it does not exist.
    `most_bytes`: that the files of this teacher may take; beyond it, the teacher is asked.
    `identity`: a text that names the teacher; needed for functions and loaded files.

    Raises ValueError for a function without an identity and for fewer than a thousand bytes, and
    OSError where the folder cannot be written.
    """
    if most_bytes < 1000:
        raise ValueError(f"most_bytes is {most_bytes}: give a thousand bytes or more")
    asked = as_teacher(teacher)
    asked = asked if isinstance(asked, Asked) else bake(clone(asked)).requires_grad_(False)
    asked.eval()
    name = identity_of(asked, identity)
    place = Path(folder) / f"teacher-{name[:32]}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"answers cannot be kept in {folder} ({error.strerror}): name a folder that can be "
            "written",
        ) from error
    return Cached(asked, AnswerStore(place, most_bytes), (asked, folder, most_bytes, identity))
