"""The training loop, and the teacher of a task that has none."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from shoestring.artifact.progress import progress
from shoestring.core import Task
from shoestring.kit.health.first import first_not_finite
from shoestring.kit.training.counted_steps import StepCounter
from shoestring.kit.training.remembering import say_after_training
from shoestring.kit.training.resume import Batches, snapshot
from shoestring.kit.training.settings import Averaged, Training
from shoestring.kit.training.statistics import SingleStatistics, average_batch_norm
from shoestring.kit.training.steps import Steps, in_precision
from shoestring.kit.weights.parameters import SkippedWarning, bake, clone

Model = TypeVar("Model", bound=nn.Module)


class DivergedError(RuntimeError):
    """The loss of a training step is NaN or infinite; the message says which layer first was."""


def train(
    model: Model,
    task: Task,
    training: Training,
    *,
    before_step: Callable[[int], None] | None = None,
    what: str = "training",
    key: str = "",
) -> Model:
    """Train a model in place, as in `train(model, task, Training(2000))`, and return it.

    Passes over the training split follow one another until the steps are used up. The task gets the
    model, and batches are moved to its device. An interrupted training leaves the model as it was
    after the last complete step. Weights of half precision are trained in single precision and
    rounded after each step, since the moments of optimizers do not fit in half precision; so
    are moving averages of their batch norms. Where every parameter is frozen nothing is trained,
    with a SkippedWarning.

    `before_step`: called with the number of each step, from 0, before that step.
    `what`: names the training in progress lines and errors.
    `key`: tells this training from others within `resuming`.

    Raises DivergedError for a loss that is NaN or infinite, ValueError where the training split is
    empty or the model is on several devices, and RuntimeError for a loss that mixes devices.
    """
    if not training.steps:
        return model
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        warnings.warn(
            f"{what} trained nothing: every parameter is frozen (requires_grad=False)",
            SkippedWarning,
            stacklevel=2,
        )
        for step in range(training.steps if before_step is not None else 0):
            before_step(step)  # type: ignore[misc]
        return model
    modes = [(part, part.training) for part in model.modules()]
    if not model.training:  # in a model in training mode, parts in evaluation mode are frozen
        model.train()
    try:
        _run(model, task, training, before_step, what, key)
    finally:
        for part, mode in modes:
            part.training = mode
    say_after_training(model)
    return model


def _run(
    model: nn.Module,
    task: Task,
    training: Training,
    before_step: Callable[[int], None] | None,
    what: str,
    key: str,
) -> None:
    """The steps of a training, from its snapshot on where there is one."""
    steps = training.steps
    workers = training.workers
    stepping: Steps = (Steps if workers is None else workers.steps_of)(model, task, training)
    batches, statistics = Batches(task, model), SingleStatistics(model)
    kept = snapshot(
        model,
        task,
        stepping.optimizer,
        [*stepping.state, *statistics.tensors],
        f"{what}: {training!r}. {key}",
    )
    begin = kept.load(batches) if kept is not None else 0
    stepping.begin(begin, batches, changes=before_step is not None)
    try:
        with progress(what, steps) as advance, StepCounter(model) as counter, statistics:
            for step in range(steps):
                if step < begin:
                    advance("")
                    continue
                if kept is not None and stepping.is_whole:
                    kept.save(step, batches)
                if before_step is not None:
                    before_step(step)
                batch = next(batches)
                with counter.step(batch) as counted:
                    if counted:
                        stepping.rehearse(batch)
                    loss = stepping.backward(batch)
                if not math.isfinite(loss):
                    raise _diverged(
                        model, task, training, batch, loss, f"at step {step} of {steps}", what
                    )
                stepping.step(step, steps)
                advance(f"loss {loss:.4f}" if step % 20 == 0 else "")
    finally:
        stepping.end()
    if kept is not None and begin < steps:
        kept.save(steps, batches, last=True)
    if isinstance(training.statistics, Averaged):
        average_batch_norm(model, task, batches_read=training.statistics.batches)


def _diverged(
    model: nn.Module, task: Task, training: Training, batch: Any, loss: float, where: str, what: str
) -> DivergedError:
    with in_precision(model, training):
        began = first_not_finite(model, batch, lambda: task.loss(model, batch))
    return DivergedError(
        f"the loss is {loss} {where} ({what}){f': {began}' if began else ''}. Use a learning rate "
        f"below {training.optimizer.learning_rate:g} or Training(clipping=Clipped(1.0)), check the "
        "data for NaN, and see shoestring.diagnose(model, task)"
    )


def taught(task: Task, teacher: nn.Module) -> Task:
    """The task, taught by a copy of `teacher` unless it has a teacher already."""
    return (
        task
        if getattr(task, "teacher", None) is not None
        else task.taught_by(bake(clone(teacher)).eval())
    )
