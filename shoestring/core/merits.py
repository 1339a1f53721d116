"""The score of each example of a split, for comparisons of two networks example by example."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoestring.core.device import called_from_processor
from shoestring.core.task import Task, array, evaluating, seeded

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


def merits(task: Task, model: nn.Module, split: str = "validation") -> np.ndarray | None:
    """`task.merits` of a module in evaluation mode and without gradients: N, float64.

    Its mean is the score. None where the task's score is no mean over examples.
    """
    import torch

    with seeded(0), torch.no_grad(), evaluating(model), called_from_processor(model):
        found = task.merits(model, split)
    return None if found is None else array(found).astype("float64").reshape(-1)
