"""Which pictures to mark: those of whose boxes, or masks, the model is unsure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Stage, Task, Technique
from shoestring.core.kinds import ClassLogits, Probabilities, outputs_of
from shoestring.core.labels import LabelTask
from shoestring.kit import Training
from shoestring.label.choosing.answers import chunks, output_kind, probabilities_of
from shoestring.label.choosing.buying import AsRanked, bought, check_buying, ordered
from shoestring.label.choosing.prices import Equal, Prices

_LEAST = 0.05  # of a peak: lower ones are background


@dataclass(frozen=True, kw_only=True)
class PeakDoubts(Technique):
    """Buy the marks of pictures with many peaks of which the model is unsure (`peak_doubts`).

    Saves: nothing that was proven (docs/boxes.md compares it with random choice).
    Costs: a training for each round, and answers to the whole pool.
    Source: Brust, Käding & Denzler 2019, "Active Learning for Deep Object Detection", section 3.2.
    Differs: as `peak_doubts` says. Classes without places, and sequences, are pictures of one pixel
    and of one row. Where nothing is labelled yet, the untrained model chooses.

    `labels`: how many pictures to buy, 1 or more; with other prices than Equal(), how much to pay.
    `rounds`: in how many batches, 1 or more: the model learns in between.
    `training`: of a fresh copy of the model in each round, and at the end.
    `prices`: of pictures: Equal() or Listed(); doubts count by price.

    Raises ValueError for numbers out of range.
    """

    stage: ClassVar = Stage.LABELS

    labels: int = 40
    rounds: int = 3
    training: Training = Training(400)
    prices: Prices = Equal()

    def __post_init__(self) -> None:
        check_buying(self.labels, self.rounds)

    def __call__(self, model: nn.Module, task: Task) -> nn.Module:
        """The model, trained with the pictures that were bought.

        Raises LabelBudgetError where the pool or the task's limit has fewer.
        """
        return bought(self, model, task)

    def choose(self, model: Any, task: Task, count: int) -> np.ndarray:
        """The next `count` indices to mark, the most doubtful first.

        `model`: a module that was trained on the marks that are there; nothing is bought.
        Raises ValueError for a count below 1 or above the pool, for an empty pool, and for answers
        that are NaN.
        """
        return ordered(partial(_ranked, self), AsRanked(), model, task, count)


def peak_doubts(logits_NCHW: Tensor) -> Tensor:
    """The doubt of each picture: N numbers, 0 or more; give all pictures of the pool at once.

    A peak is a place of a class that no neighbour exceeds. Its doubt is 1 minus the difference of
    the probabilities of "something is here" and "nothing is". A picture has the sum over its peaks,
    so that one with many unsure boxes is worth more than one with few. The sum of a class is
    divided by its mean over the pictures, so that a rare class counts as much as a frequent one.

    `logits_NCHW`: of the heat map of a detector, or of the mask of each class.
    Source: Brust, Käding & Denzler 2019, "Active Learning for Deep Object Detection", section 3.2
    (1-vs-2 margins, summed; weights against imbalance). Differs: the peaks of a map stand in for
    boxes, the margin is that of yes and no, and classes count by their doubts in place of their
    examples.
    """
    return _balanced(_by_class(logits_NCHW.sigmoid()))


def _by_class(heat_NCHW: Tensor) -> Tensor:
    """The summed doubts of the peaks of each class, N×C."""
    peaks = (functional.max_pool2d(heat_NCHW, 3, 1, 1) == heat_NCHW) & (heat_NCHW > _LEAST)
    return ((1 - (2 * heat_NCHW - 1).abs()) * peaks).flatten(2).sum(2)


def _balanced(doubts_NC: Tensor) -> Tensor:
    return (doubts_NC / doubts_NC.mean(0).clamp(min=1e-9)).sum(1)


def _ranked(
    technique: PeakDoubts, model: nn.Module, task: LabelTask, pool: Tensor, count: int
) -> Tensor:
    kind, path = output_kind(model, task, pool.numpy())
    parts = []
    for chunk in chunks(pool.numpy()):
        values = outputs_of(task.outputs(model, task.inputs(chunk)))[path].float()
        if values.isnan().any():
            bad = int(values.flatten(1).isnan().any(1).nonzero()[0])
            raise ValueError(
                f"the model answers NaN for example {chunk[bad]}: nothing can be chosen by it. "
                "Train with a lower learning rate, and see shoestring.diagnose(model, task)"
            )
        heat = probabilities_of(values, kind)
        of_classes = isinstance(kind, ClassLogits | Probabilities)
        heat = heat.movedim(-1, 1) if of_classes else heat[..., 1]
        parts.append(_by_class(_as_picture(heat)))
    worth_N = _balanced(torch.cat(parts)) / technique.prices.of(task, pool)
    return worth_N.argsort(descending=True, stable=True)[:count]


def _as_picture(heat: Tensor) -> Tensor:
    """Probabilities N×C×… with two axes of places."""
    return heat.reshape(*heat.shape[:2], *((1,) * (4 - heat.ndim)), *heat.shape[2:])
