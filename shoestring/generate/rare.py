"""Rare classes: as many examples of each class, by made ones, by repeated ones or by weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from shoestring.kit import Supervised


def balanced(task: Supervised, more: Callable[[Tensor], Tensor]) -> Supervised:
    """The same task with as many training examples of each class as the largest one has.

    What is added counts as a label of the training split, and nobody is asked for it.

    `task`: with one tensor of inputs, and integers as targets.
    `more`: gives an input for each label N that it is called with: pictures of a generator
        (`samples(generator, noise, labels).pictures`), or those of `repeated(task)`.

    Raises ValueError for other inputs or targets, and where `more` gives inputs of another shape.
    """
    inputs, labels = _training(task)
    counts = torch.bincount(labels)
    missing = (counts.max() - counts) * (counts > 0)
    wanted = torch.arange(len(counts)).repeat_interleave(missing)
    if not len(wanted):
        return task
    added = more(wanted)
    if added.shape != (len(wanted), *inputs.shape[1:]):
        raise ValueError(
            f"{len(wanted)} inputs of shape {list(inputs.shape[1:])} are missing, and `more` gave "
            f"{list(added.shape)}"
        )
    train = torch.cat([inputs, added.to(inputs)]), torch.cat([labels, wanted.to(labels)])
    return replace(task, train=train)


def repeated(task: Supervised) -> Callable[[Tensor], Tensor]:
    """For `balanced`: draws from the training examples of each class, with torch's generator."""
    inputs, labels = _training(task)

    def more(wanted: Tensor) -> Tensor:
        rows = torch.empty_like(wanted)
        for one in wanted.unique():
            own, where = (labels == one).nonzero().flatten(), wanted == one
            rows[where] = own[torch.randint(len(own), (int(where.sum()),))]
        return inputs[rows]

    return more


def class_weighted(task: Supervised) -> Supervised:
    """The same task, each class with the same weight in the loss; the mean weight is 1.

    Raises ValueError as `balanced` does.
    """
    _, labels = _training(task)
    counts = torch.bincount(labels)
    weights = len(labels) / (counts[labels] * (counts > 0).sum())
    return task.with_labels(labels, weights, task.known())


def _training(task: Supervised) -> tuple[Tensor, Tensor]:
    inputs, labels = task.train
    one = inputs[0] if isinstance(inputs, tuple) and len(inputs) == 1 else inputs
    if not isinstance(one, Tensor) or labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(
            f"{task.name} has {'several inputs' if isinstance(one, tuple) else 'one input'} and "
            f"targets {list(labels.shape)} of {labels.dtype}: classes are balanced where there is "
            "one tensor of inputs and one class an example"
        )
    return one, labels
