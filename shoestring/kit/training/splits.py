"""The tensors of a split: how they are read, checked, batched and sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.artifact import tree
from shoestring.kit.training.collected import collected

Split = tuple[Tensor | tuple[Tensor, ...], Tensor]
"""(inputs, targets), with several inputs in a tuple; axis 0 of each is the example."""


def as_tensors(name: str, split: Any) -> Split:
    """A split as tensors, from anything that torch can convert or read.

    `name`: of the split, for errors.
    """
    if not isinstance(split, tuple | list) or len(split) != 2:
        split = collected(name, split)
    inputs, targets = split
    several = isinstance(inputs, tuple)
    tensors = tuple(torch.as_tensor(one) for one in (inputs if several else (inputs,)))
    return (tensors if several else tensors[0]), as_targets(targets)


def as_targets(targets: Any) -> Tensor:
    """Targets as a tensor; integers as int64."""
    targets = torch.as_tensor(targets)
    if not targets.is_floating_point() and not targets.is_complex() and targets.dtype != torch.bool:
        targets = targets.long()
    return targets


def check_split(split: str, task: str, inputs: Sequence[Tensor], targets: Tensor) -> None:
    """Raise ValueError for inputs and targets of different lengths, and for NaN or infinity."""
    for tensor in inputs:
        if len(tensor) != len(targets):
            raise ValueError(
                f"the {split} split of {task} has {len(tensor)} inputs and {len(targets)} targets"
            )
    for tensor, what in [*((tensor, "inputs") for tensor in inputs), (targets, "targets")]:
        # A finite sum takes a tenth of the time; it proves that all numbers are finite.
        if (
            tensor.is_floating_point()
            and not torch.isfinite(tensor.sum())
            and not torch.isfinite(tensor).all()
        ):
            raise ValueError(
                f"the {split} split of {task} holds NaN or infinite {what}: clean the data first"
            )


def check_axes(axes: Any, inputs: Sequence[Tensor], task: str) -> None:
    """Raise TypeError or ValueError for axes that do not fit the inputs."""
    if isinstance(axes, Mapping):
        return
    if not isinstance(axes, list | tuple) or not all(isinstance(own, Mapping) for own in axes):
        raise TypeError(
            f"axes={axes!r}: give one mapping, {{1: 'T'}}, or a tuple of one for each input"
        )
    if len(axes) != len(inputs):
        raise ValueError(
            f"axes has {len(axes)} mappings and {task} has {len(inputs)} inputs: give one for "
            "each, in their order, {} where none varies"
        )
    for number, (tensor, own) in enumerate(zip(inputs, axes, strict=True)):
        if wrong := [axis for axis in own if not 0 < axis < tensor.ndim]:
            raise ValueError(
                f"axes names axis {wrong[0]} of input {number} of {task}, of shape "
                f"{list(tensor.shape)}: give axes from 1 on that it has"
            )


def batches_of(count: int, size: int, *, shuffled: bool) -> list[Tensor]:
    """The indices of each batch of `size` out of `count` examples.

    `shuffled`: draw the order, and join a last batch of one example to the batch before it, since
        batch norm cannot train on one example. This is for training.
    """
    order = torch.randperm(count) if shuffled else torch.arange(count)
    batches = list(order.split(size)) if count else []
    if shuffled and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def sample(count: int, size: int, seed: int) -> Tensor:
    """`size` indices out of `count`, drawn by a seed, in ascending order."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return order[:size].sort().values


def changed(
    inputs: tuple[Tensor, ...], change: Callable[..., Tensor | tuple[Tensor, ...]] | None
) -> tuple[Tensor, ...]:
    """The inputs of a batch after a change, as a tuple; None changes nothing."""
    result = inputs if change is None else change(*inputs)
    return result if isinstance(result, tuple) else (result,)


def joined(parts: Sequence[Any]) -> Any:
    """The outputs of several batches as those of one.

    Raises ValueError where their shapes do not fit.
    """
    leaves, structure = tree.flatten(parts[0])
    try:
        matched = [tree.match(structure, part, "the outputs of a batch") for part in parts]
        columns = [np.concatenate([part[leaf] for part in matched]) for leaf in range(len(leaves))]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "a metric takes the outputs of a whole split, and those of its batches do not fit "
            f"together ({error})"
        ) from None
    return tree.fill(structure, columns)
