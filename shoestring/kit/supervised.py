"""A Task made of inputs and targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.core import Predict, Task, Vary, array
from shoestring.kit.collected import collected
from shoestring.kit.criterion import loss_of

Split = tuple[Tensor | tuple[Tensor, ...], Tensor]
"""(inputs, targets); several inputs in a tuple. Axis 0 of each is the example."""


def accuracy(outputs: Any, targets: np.ndarray) -> np.ndarray:
    """Of each example 1 where the largest of its outputs (the last axis; of a mapping, its `logits`) is the target's, else 0."""
    if isinstance(outputs, Mapping) and "logits" in outputs:
        outputs = outputs["logits"]
    if not isinstance(outputs, np.ndarray):
        raise TypeError(
            f"accuracy compares an array, and the model returns {type(outputs).__name__}: give Supervised a merit="
        )
    return (outputs.argmax(-1) == targets).astype(np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Supervised(Task):
    """Inputs in, targets out; by default a classification, scored by accuracy between 0 and 1.

    `criterion(outputs, targets)` is the loss of a batch; `merit(outputs, targets)` takes the outputs with numpy arrays in them
    and gives a number per example, of which the score is the mean. `axes` names the axes of the inputs that vary besides
    axis 0; an input that has not so many is none the wiser. `augment(*inputs)` changes the inputs of each training batch
    (crops, noise) and returns them, one or a tuple; None leaves them as they are. `prepare(*inputs)` does the same before it, in
    every split, when scored too: what leaves the answers as they are and saves time (padding cut off).
    `autocast`: torch.bfloat16 has the training loss computed in it where torch holds that safe: about half the time on a
    processor that has bfloat16. None computes in the type of the weights.
    Arrays and lists become tensors, and whole-number targets int64. A split may be a Dataset, a DataLoader or a list of pairs, whose
    items are tensors of one shape: it is read once.
    Raises TypeError for a split that is no pair, and ValueError for one that is empty, has inputs and targets of different lengths, or holds NaN or infinity.
    """

    train: Split = field(repr=False)
    validation: Split = field(repr=False)
    test: Split = field(repr=False)
    name: str = "supervised"
    batch_size: int = 128
    criterion: Callable[[Any, Tensor], Tensor] = field(default=functional.cross_entropy, repr=False)
    merit: Callable[[Any, np.ndarray], np.ndarray] = field(default=accuracy, repr=False)
    axes: Mapping[int, str] = field(default_factory=dict, repr=False)
    augment: Callable[..., Tensor | tuple[Tensor, ...]] | None = field(default=None, repr=False)
    prepare: Callable[..., Tensor | tuple[Tensor, ...]] | None = field(default=None, repr=False)
    autocast: torch.dtype | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            object.__setattr__(self, split, _as_tensors(split, getattr(self, split)))
            inputs, targets = self._split(split)
            if not len(targets):
                raise ValueError(f"the {split} split of {self.name} is empty: give it at least one example")
            for one in inputs:
                if len(one) != len(targets):
                    raise ValueError(f"the {split} split of {self.name} has {len(one)} inputs and {len(targets)} targets")
            for one, what in [*((one, "inputs") for one in inputs), (targets, "targets")]:
                # NaN and infinity show in the sum, which takes a tenth of the time; so does too large a sum.
                if one.is_floating_point() and not torch.isfinite(one.sum()) and not torch.isfinite(one).all():
                    raise ValueError(f"the {split} split of {self.name} holds NaN or infinite {what}: clean the data first")

    def _split(self, split: str) -> tuple[tuple[Tensor, ...], Tensor]:
        if split not in ("train", "validation", "test"):
            raise ValueError(f"there is no split {split!r}: the splits are 'train', 'validation' and 'test'")
        inputs, targets = getattr(self, split)
        return (inputs if isinstance(inputs, tuple) else (inputs,)), targets

    def batches(self, split: str) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        """Batches of (inputs, targets); those of "train" in a new order each time."""
        inputs, targets = self._split(split)
        order = torch.randperm(len(targets)) if split == "train" else torch.arange(len(targets))
        parts = list(order.split(self.batch_size))
        if split == "train" and len(parts) > 1 and len(parts[-1]) == 1:  # batch norm cannot train on one example
            parts[-2:] = [torch.cat(parts[-2:])]
        for chosen in parts:
            batch = _changed(tuple(one[chosen] for one in inputs), self.prepare)
            yield (_changed(batch, self.augment) if split == "train" else batch), targets[chosen]

    def loss(self, model: Any, batch: Any) -> Tensor:
        inputs, targets = batch
        own = self.autocast  # None leaves alone what is on around it
        with torch.autocast(inputs[0].device.type, own) if own is not None else nullcontext():
            return loss_of(self.criterion, model(*inputs), targets)

    def score(self, predict: Predict, split: str) -> float:
        """The mean merit over a split."""
        return float(self.merits(predict, split).mean())

    def merits(self, predict: Predict, split: str) -> np.ndarray:
        """The merit of each example."""
        inputs, targets = self._split(split)
        parts = zip(*(one.split(500) for one in inputs), targets.split(500), strict=True)
        return np.concatenate(
            [self.merit(_arrays(predict(*_changed(part[:-1], self.prepare))), array(part[-1])) for part in parts]
        )

    def sampled(self, examples: int, seed: int) -> Supervised:
        """At most so many validation examples, 1 or more, in the order that they have; itself where there are no more than these."""
        if examples < 1:
            raise ValueError(f"examples is {examples}: keep 1 or more")
        inputs, targets = self.validation
        if len(targets) <= examples:
            return self
        chosen = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))[:examples].sort().values
        fewer = tuple(one[chosen] for one in inputs) if isinstance(inputs, tuple) else inputs[chosen]
        found = copy(self)  # not replace(), which would look at every training example again
        object.__setattr__(found, "validation", (fewer, targets[chosen]))
        return found

    def example(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        inputs, _ = self._split("validation")
        axes = {0: "N", **self.axes}
        return tuple(Vary(one[:2], {axis: name for axis, name in axes.items() if axis < one.ndim}) for one in inputs), {}


def _changed(inputs: tuple[Tensor, ...], change: Callable[..., Tensor | tuple[Tensor, ...]] | None) -> tuple[Tensor, ...]:
    changed = inputs if change is None else change(*inputs)
    return changed if isinstance(changed, tuple) else (changed,)


def _arrays(outputs: Any) -> Any:
    """The outputs with numpy arrays in place of tensors."""
    if isinstance(outputs, Mapping):
        return {key: _arrays(value) for key, value in outputs.items()}
    return tuple(map(_arrays, outputs)) if isinstance(outputs, list | tuple) else array(outputs)


def _as_tensors(name: str, split: Any) -> Split:
    """A split with tensors in it, from whatever torch takes."""
    if not isinstance(split, tuple | list) or len(split) != 2:
        split = collected(name, split)
    inputs, targets = split
    several = isinstance(inputs, tuple)
    tensors = tuple(torch.as_tensor(one) for one in (inputs if several else (inputs,)))
    targets = torch.as_tensor(targets)
    if not targets.is_floating_point() and not targets.is_complex() and targets.dtype != torch.bool:
        targets = targets.long()
    return (tensors if several else tensors[0]), targets
