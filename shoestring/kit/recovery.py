"""Training that recovers the score that a technique lost, with the model from before as teacher."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

from torch import nn

from shoestring.artifact.progress import is_heard
from shoestring.core import Task, seeded
from shoestring.kit.training.loop import taught, train
from shoestring.kit.training.settings import Training

Model = TypeVar("Model", bound=nn.Module)
LONG = 500
"""Trainings of so many steps take longer than a test export of the model."""


def recover(
    model: Model,
    task: Task,
    teacher: nn.Module,
    training: Training,
    *,
    before_step: Callable[[int], None] | None = None,
    what: str = "training",
    key: str = "",
) -> Model:
    """`train`, with distillation from `teacher` unless the task has a teacher already.

    Warns before a long training where the teacher cannot be exported to a file.
    `before_step`, `what`, `key`: as in `train`.
    """
    if training.steps >= LONG and not is_heard():
        warn_of_no_file(teacher, task)
    with_teacher = taught(task, teacher) if training.steps else task
    return train(model, with_teacher, training, before_step=before_step, what=what, key=key)


def warn_of_no_file(model: nn.Module, task: Task) -> None:
    """Warn where a model cannot be exported to a file, and why; random numbers are not used."""
    # imported here, since training needs no onnx otherwise
    from shoestring.kit.exporting.export import ExportError, export

    try:
        with seeded(0), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the export of the result warns again
            export(model, task)
    except ExportError as error:
        warnings.warn(f"what is trained now cannot become a file: {error}", stacklevel=4)
    except Exception:  # a task that is only for training may have no example
        return
