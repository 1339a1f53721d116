"""Training that wins back what a technique lost.

Taught by the model from before, and warned of where no file can come of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

from torch import nn

from shoestring.core import Task, seeded
from shoestring.kit.progress import is_heard
from shoestring.kit.training.loop import taught, train
from shoestring.kit.training.settings import Training

Model = TypeVar("Model", bound=nn.Module)
LONG = 500
"""Steps from which on a training takes longer than finding out whether a file can be made of what
it trains.
"""


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
    """`train`, taught by `teacher` unless the task has a teacher already.

    Before a long training, a warning where no file can be made of the teacher.
    """
    if training.steps >= LONG and not is_heard():
        warn_of_no_file(teacher, task)
    learned = taught(task, teacher) if training.steps else task
    return train(model, learned, training, before_step=before_step, what=what, key=key)


def warn_of_no_file(model: nn.Module, task: Task) -> None:
    """Warn where a model cannot become a file, and why: known before it is trained.

    Random numbers are left alone.
    """
    # here, since nothing else of a training needs onnx
    from shoestring.kit.exporting.export import (
        ExportError,
        export,
    )

    try:
        with seeded(0), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # what a file would be like is told where one is written
            export(model, task)
    except ExportError as error:
        warnings.warn(f"what is trained now cannot become a file: {error}", stacklevel=4)
    except Exception:  # a task for training alone may have no example
        return
