"""What a technique learns from: the labels that there are, and the inputs that have none."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.core import LabelTask, Task, label_task
from shoestring.unlabelled.augmentations import Augmentation, Augmentations, augmentations
from shoestring.unlabelled.distributions import two_samples

_UNLIKE = 0.01  # a test of the same distribution warns by chance as often as this


class MissingClassWarning(UserWarning):
    """Classes that the model answers have no label: a network cannot learn what nobody named."""


class OtherDistributionWarning(UserWarning):
    """The unlabelled examples look unlike the labelled ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """A task with labels and with examples without.

    `task`: the task.
    `pool`: the indices of the examples without a label, P.
    `inputs`: of the pool, and then of the labelled examples, in a tuple of tensors.
    `classes`: how many the model answers, C.
    `augmentations`: the changes of inputs.
    `p`: how often labelled and unlabelled examples differ as much by chance; None where there are
        too few to tell.
    """

    task: LabelTask
    pool: np.ndarray
    inputs: tuple[Tensor, ...]
    classes: int
    augmentations: Augmentations
    p: float | None


def material(
    model: nn.Module, task: Task, weak: Augmentation | None, strong: Augmentation | None
) -> Material:
    """Check what there is to learn from, and gather it.

    Warns of classes without a label, by their numbers, and where the unlabelled examples look
    unlike the labelled ones (`two_samples`, at a hundredth).

    Raises TypeError for a task whose labels cannot be changed, or that has other labels than one
    class an example; and ValueError where there are no unlabelled examples, no labels, or inputs
    that are NaN or infinite.
    """
    labelled = label_task(task)
    pool, known = labelled.pool(), labelled.known()
    name = task.name or type(task).__name__
    if not len(pool):
        raise ValueError(
            f"{name} has no unlabelled examples, and there is nothing to learn from but labels: "
            "give Supervised(unlabelled=inputs), or train as usual"
        )
    if not len(known):
        raise ValueError(
            f"{name} has no labels at all: give some, train=(inputs, labels), or let "
            "shoestring.label choose which to get first"
        )
    free, given = (_as_tensors(labelled.inputs(one), name) for one in (pool, known))
    classes = _classes(model, labelled, known, name)
    chosen = augmentations(free, weak, strong)
    p = compared(given, free, name)
    both = tuple(torch.cat(pair) for pair in zip(free, given, strict=True))
    return Material(
        task=labelled, pool=pool, inputs=both, classes=classes, augmentations=chosen, p=p
    )


def _as_tensors(inputs: Any, name: str) -> tuple[Tensor, ...]:
    found = inputs if isinstance(inputs, tuple) else (inputs,)
    if not all(isinstance(one, Tensor) for one in found):
        kinds = ", ".join(type(one).__name__ for one in found)
        raise TypeError(f"the inputs of {name} are {kinds}: a tensor or a tuple of them is wanted")
    for one in found:
        if one.is_floating_point() and not torch.isfinite(one).all():
            raise ValueError(f"the inputs of {name} hold NaN or infinity: clean the data first")
    return found


def _classes(model: nn.Module, task: LabelTask, known: np.ndarray, name: str) -> int:
    """How many classes the model answers; warns of those without a label."""
    outputs = task.outputs(model, task.inputs(known[:2]))
    labels = torch.as_tensor(task.labels(known))
    fits = isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] > 1
    if not fits or labels.ndim != 1 or labels.is_floating_point():
        shape = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise TypeError(
            f"{name} has outputs {shape} and labels {list(labels.shape)} of {labels.dtype}: what "
            "learns from unlabelled examples takes logits N×C and one class an example, N integers"
        )
    missing = sorted(set(range(outputs.shape[1])) - set(labels.tolist()))
    if missing:
        warnings.warn(
            f"{name} has no label of class {', '.join(map(str, missing))} of {outputs.shape[1]}: "
            "examples of it will be taken for another class. Label one of each at least",
            MissingClassWarning,
            stacklevel=5,
        )
    return outputs.shape[1]


def compared(given: tuple[Tensor, ...], free: tuple[Tensor, ...], name: str) -> float | None:
    """The p-value of one distribution; warns where it is below a hundredth.

    `given`, `free`: labelled and unlabelled inputs. Returns None where there are too few to tell.
    """
    if min(len(given[0]), len(free[0])) < 2:
        return None
    found = two_samples(given, free)
    if found.p < _UNLIKE:
        warnings.warn(
            f"the unlabelled examples of {name} look unlike the labelled ones (maximum mean "
            f"discrepancy {found.distance:.3g}, p = {found.p:.3g} by permutation of "
            f"{found.counts[0]} and {found.counts[1]} examples): what is learnt from them may not "
            "hold for what is labelled. Labels that were chosen, and not drawn at random, look so "
            "too",
            OtherDistributionWarning,
            stacklevel=5,
        )
    return found.p
