"""What a network can learn of the answers that a search paid for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from shoestring.core import evaluating
from shoestring.core.labels import LabelTask
from shoestring.kit import SkippedWarning

_PART = 500
"""Examples whose outputs are in memory at a time."""
_LEFT_OUT = -100
"""The target that torch's cross_entropy leaves out."""


def unlearnable(
    task: LabelTask, model: nn.Module, indices: Sequence[int], labels: Any
) -> list[int]:
    """The places of labels, in order, at which the loss fails: of a class without an output.

    `labels`: one for each index, N×…. The task need not have them.
    """
    found = []
    for begin in range(0, len(indices), _PART):
        part = list(range(begin, min(begin + _PART, len(indices))))
        found += _failing(task, model, indices, labels, part)
    return found


def _failing(
    task: LabelTask, model: nn.Module, indices: Sequence[int], labels: Any, places: list[int]
) -> list[int]:
    """Those of some places at which the loss fails, found by halving."""
    try:
        _losses(task, model, indices, labels, places)
    except IndexError:  # which torch raises for a class beyond the last output, or a negative one
        if len(places) == 1:
            return places
        half = len(places) // 2
        first = _failing(task, model, indices, labels, places[:half])
        return first + _failing(task, model, indices, labels, places[half:])
    return []


def warn_of_left_out(
    task: LabelTask, model: nn.Module, indices: Sequence[int], labels: Any
) -> None:
    """Warn (SkippedWarning) of answers that are paid, and of which the loss counts nothing."""
    values = torch.as_tensor(labels)
    empty = (values == _LEFT_OUT).reshape(len(values), -1).all(1)
    places = empty.nonzero().flatten().tolist()
    if not places:
        return
    losses = torch.as_tensor(_losses(task, model, indices, labels, places))
    if count := int((losses.isnan() | (losses == 0)).sum()):
        warnings.warn(
            f"{count:,} of {len(values):,} answers are {_LEFT_OUT}, which the loss leaves out: "
            "they count as bought, and nothing is learnt from them",
            SkippedWarning,
            stacklevel=3,
        )


def _losses(
    task: LabelTask, model: nn.Module, indices: Sequence[int], labels: Any, places: list[int]
) -> Any:
    chosen = torch.as_tensor(labels)[places]
    with evaluating(model), torch.no_grad():
        outputs = task.outputs(model, task.inputs(np.asarray(indices)[places]))
    return task.losses(outputs, chosen)
