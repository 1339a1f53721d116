"""Snapshots of trainings in a folder, so that a killed training can be resumed."""

from __future__ import annotations

import hashlib
import io
import random
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.artifact import save, tree
from shoestring.core import Task, View, batches
from shoestring.kit.training.remembering import remembering
from shoestring.kit.weights.model_state import state_of
from shoestring.kit.weights.parameters import parameters_of

_kept: ContextVar[Path | None] = ContextVar("kept", default=None)
_NOTHING = object()
_SECONDS = 30.0  # the least time between two snapshots
_SEEN, _PART = 20_000, 1000
"""Inputs by which training data are told apart, evenly spaced where there are more, besides all
labels; and how many of them are read at a time.
"""
EVERY = 100
"""Snapshots are made before multiples of this step, where periods of 10 or 20 steps begin too."""


@contextmanager
def resuming(folder: str | Path) -> Iterator[None]:
    """Keep snapshots of all trainings within the context, so that a killed program can go on.

    A snapshot is made before each hundredth step, at most twice a minute, and at the end of a
    training. Run the same program again with the same folder: finished trainings are read, the one
    that was interrupted continues, and the result equals that of an uninterrupted run. The folder
    may be deleted when everything is done.

    A training is identified by its initial model (the weights, the layers as they are printed, and
    the functions that modules keep as attributes), its technique, the state of torch's random
    numbers and its data: the labels and some of the inputs of a task that tells them, with its
    views, and the name of another. What else there is to the task must be the same, and so must
    what forward() does besides. Not kept are the
    state of a task (a count of passes, a generator of its own), and random numbers that a task
    draws from torch's generator between batches while the model draws from it too. Batches that
    depend on the model are made again up to the step of the snapshot, with the model of that step.

    Raises ValueError, within the context, for a snapshot that cannot be read.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    token = _kept.set(path)
    try:
        yield
    finally:
        _kept.reset(token)


def snapshots() -> Path | None:
    """The folder of `resuming`, for what a training keeps besides its snapshots; None outside."""
    return _kept.get()


def snapshot(
    model: nn.Module,
    task: Task,
    optimizer: torch.optim.Optimizer,
    singles: Sequence[torch.Tensor],
    key: str,
) -> Snapshot | None:
    """The snapshot of a training that begins now; None outside `resuming`.

    `task`: as the training has it.
    `singles`: the parameters, and what else is trained, in single precision.
    `key`: a text that identifies the training, besides the model and torch's random numbers.
    """
    if (kept := _kept.get()) is None:
        return None
    digest = hashlib.sha256(_without_addresses(key).encode())
    for weight in parameters_of(model):
        digest.update(f"{weight.name} {tuple(weight.raw.shape)} {weight.raw.dtype}".encode())
        digest.update(
            weight.value()
            .detach()
            .cpu()
            .contiguous()
            .reshape(-1)
            .view(torch.uint8)
            .numpy()
            .tobytes()
        )
    digest.update(torch.get_rng_state().numpy().tobytes())
    names = []
    for more in (b"", _structure(model).encode(), data_digest(task)):
        digest.update(more)
        names.append(kept / f"training-{digest.hexdigest()[:20]}.pt")
    *older, path = names  # of versions whose names had neither structure nor data in them
    for name in older:
        if name.exists() and not path.exists():
            with suppress(FileNotFoundError):  # another process was first
                name.rename(path)
    return Snapshot(path, model, optimizer, singles, key)


def data_digest(task: Task) -> bytes:
    """What tells the training data from others: labels, and inputs, or twenty thousand of them.

    So do the views of the task that have a loss of their own, with their settings, and teachers. Of
    a task without labels that can be read, its name counts.
    """
    digest, inner = hashlib.sha256(task.name.encode()), task

    def note(leaf: Any) -> None:
        values = torch.as_tensor(leaf).detach().cpu().contiguous()
        digest.update(f"{values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())

    while isinstance(inner, View):
        if not inner._wraps:
            digest.update(type(inner).__qualname__.encode())
            for one in [one for one in _fields(inner) if one.repr]:
                value = getattr(inner, one.name)
                if isinstance(value, nn.Module):
                    tree.map(note, list(value.state_dict().values()))
                elif not isinstance(value, Task):
                    digest.update(f"{one.name}={_told(value)}".encode())
        inner = inner._inner
    labelled = inner.labelled()  # a view may call something else `inputs`
    if labelled is None:
        return digest.digest()
    for indices in (labelled.known(), labelled.pool()):
        digest.update(np.asarray(indices, dtype=np.int64).tobytes())
        seen = np.asarray(indices)[:: max(1, -(-len(indices) // _SEEN))]
        for begin in range(0, len(seen), _PART):
            tree.map(note, labelled.inputs(seen[begin : begin + _PART]))
    if len(known := labelled.known()):
        tree.map(note, labelled.labels(known))
    return digest.digest()


def _fields(value: Any) -> Sequence[Any]:
    return fields(value) if is_dataclass(value) else ()


def _told(value: Any) -> str:
    """A setting as text, equal in every process; functions of one name by what they compute."""
    if isinstance(value, FunctionType):
        code = value.__code__
        return _without_addresses(f"{value.__qualname__} {code.co_code.hex()} {code.co_consts!r}")
    if not isinstance(value, type) and (own := _fields(value)):
        inner = ", ".join(_told(getattr(value, one.name)) for one in own)
        return f"{type(value).__qualname__}({inner})"
    return _without_addresses(repr(value))


def _without_addresses(text: str) -> str:
    """A text in which functions and objects have no addresses, which differ between processes."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _structure(model: nn.Module) -> str:
    """A model as it is printed, and the functions that its modules keep; equal in every process."""
    functions = [
        f"{name}.{key} {value.__qualname__}"
        for name, part in model.named_modules()
        for key, value in sorted(vars(part).items())
        if isinstance(value, FunctionType | BuiltinFunctionType)
    ]
    return _without_addresses("\n".join([repr(model), *functions]))


@dataclass
class Snapshot:
    """The complete state of a training, in a file.

    It has the weights and their states, what layers remember (`Remembers`), the optimizer, the
    random numbers and the position in the data.
    """

    path: Path
    model: nn.Module
    optimizer: torch.optim.Optimizer
    singles: Sequence[torch.Tensor]
    key: str
    saved: float = field(default_factory=time.monotonic)

    def load(self, batches: Batches) -> int:
        """Restore the training and return its next step, 0 where there is no snapshot."""
        if not self.path.exists():
            return 0
        try:
            kept = torch.load(self.path, weights_only=True)
        except Exception as error:
            raise ValueError(
                f"{self.path} cannot be read ({error}): delete it to train from the start"
            ) from error
        for weight in parameters_of(self.model):
            weight.raw.data.copy_(kept["values"][weight.name])
            for name, value in kept["states"].get(weight.name, {}).items():
                state = weight.attach()
                if (parameter := state._parameters.get(name)) is not None:
                    parameter.data.copy_(value)
                else:
                    setattr(state, name, value)
        for name, part in remembering(self.model):
            if name in kept.get("remembered", {}):  # a snapshot of an older version has none
                part.go_on_from(kept["remembered"][name])
        for single, value in zip(self.singles, kept["singles"], strict=True):
            single.data.copy_(value)
        self.optimizer.load_state_dict(kept["optimizer"])
        batches.go(kept["begun"], kept["taken"])
        _set_randomness(kept["randomness"])
        return kept["step"]

    def save(self, step: int, batches: Batches, *, last: bool = False) -> None:
        """Write the state before `step`, where a snapshot is due or the training ends."""
        if not last and (step % EVERY or not step or time.monotonic() - self.saved < _SECONDS):
            return
        now = state_of(self.model)
        kept = {
            "key": self.key,
            "step": step,
            "values": now.values,
            "states": now.states,
            "remembered": {name: part.of_training() for name, part in remembering(self.model)},
            "singles": [one.detach() for one in self.singles],
            "optimizer": self.optimizer.state_dict(),
            "randomness": _randomness(),
            "begun": batches.begun,
            "taken": batches.taken,
        }
        data = io.BytesIO()
        torch.save(kept, data)
        save(self.path, data.getbuffer())
        self.saved = time.monotonic()


class Batches:
    """The training batches for a model, pass after pass, from any position on."""

    def __init__(self, task: Task, model: Any = None) -> None:
        self.task, self.model = task, model
        self.begun: list[Any] = []
        self.taken = 0
        self._pass: Iterator[Any] | None = None

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Any:
        """The next batch; raises ValueError where a pass has no batches."""
        if self._pass is None:
            self.begun, self.taken = _randomness(), 0
            self._pass = iter(batches(self.task, "train", self.model))
        batch = next(self._pass, _NOTHING)
        if batch is not _NOTHING:
            self.taken += 1
            return batch
        if not self.taken:
            raise ValueError(
                "the task's training split has no batches: there is nothing to train on"
            )
        self._pass = None
        return next(self)

    def go(self, begun: list[Any], taken: int) -> None:
        """Go to the position after `taken` batches of the pass that began with these random states.

        `begun`: the states of the generators at its beginning; empty where no pass had begun.
        """
        if not begun:
            return
        _set_randomness(begun)
        self._pass = None
        for _ in range(taken):
            next(self)


def _randomness() -> list[Any]:
    """The states of the generators of torch, numpy and Python, as torch.save takes them."""
    name, keys, *rest = np.random.get_state()  # type: ignore[misc]
    version, numbers, gauss = random.getstate()
    return [
        torch.get_rng_state(),
        [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        [version, list(numbers), gauss],
        torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    ]


def _set_randomness(state: list[Any]) -> None:
    torch.set_rng_state(state[0])
    name, keys, *rest = state[1]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    version, numbers, gauss = state[2]
    random.setstate((version, tuple(numbers), gauss))
    if len(state) > 3 and state[3]:  # a snapshot from a machine with graphics processors
        torch.cuda.set_rng_state_all(state[3])
