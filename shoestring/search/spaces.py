"""The space for a task: what its inputs look like says what networks are for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core import Task
from shoestring.core.task import evaluating
from shoestring.kit.tracing.example import examples_of
from shoestring.search.cells import Cells
from shoestring.search.space import Space


def space_of(task: Task, model: nn.Module | None = None) -> Space:
    """The space of networks for the inputs of a task.

    Pictures and spectrograms N×channels×H×W get `Stages`, ids N×T get `Texts`, numbers N×D get
    `Tables`. The number of answers is that of the model's logits, or of the classes among the
    labels.

    `model`: one that does the task; None for none.

    Raises ValueError for other inputs, and where nothing tells the number of answers: give a space
    then.
    """
    raise NotImplementedError
