"""The training loop that techniques recover with."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from shoestring.core import Task
from shoestring.kit.progress import progress
from shoestring.kit.weights import SkippedWarning, bake, clone

Model = TypeVar("Model", bound=nn.Module)


class DivergedError(RuntimeError):
    """Training reached a loss that is NaN or infinite."""


def train(
    model: Model,
    task: Task,
    *,
    steps: int,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    before_step: Callable[[int], None] | None = None,
    what: str = "training",
) -> Model:
    """Train in place for `steps` batches with Adam, the rate rising for the first 2 % and then falling along a cosine to 0.

    Passes over the training split follow one another until the steps are used up. Interrupted, the model stays as it was
    after the last whole step. Weights of half precision are trained in single, and rounded after each step: Adam's own numbers
    do not fit in half. Where every parameter is frozen nothing is trained, with a SkippedWarning.
    Raises DivergedError, ValueError where the training split is empty.
    """
    if steps <= 0:
        return model
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        warnings.warn(f"{what} trained nothing: every parameter is frozen (requires_grad=False)", SkippedWarning, stacklevel=2)
        for step in range(steps if before_step is not None else 0):
            before_step(step)  # type: ignore[misc]
        return model
    modes = [(part, part.training) for part in model.modules()]
    if not model.training:  # in a model that is training, parts that are not are frozen on purpose
        model.train()
    singles = [_single(p) for p in parameters]
    optimizer = torch.optim.AdamW(singles, lr=learning_rate, weight_decay=weight_decay)
    warm = max(1, steps // 50)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * min(s / steps, 1.0)))
    )
    try:
        with progress(what, steps) as advance:
            for step, batch in zip(range(steps), endless(task), strict=False):
                if before_step is not None:
                    before_step(step)
                model.zero_grad()
                with parametrize.cached():
                    loss = task.loss(model, batch)
                    if not torch.isfinite(loss):
                        raise DivergedError(
                            f"the loss is {loss.item()} at step {step} of {steps} ({what}): "
                            f"use a learning rate below {learning_rate:g}, and check the data for NaN"
                        )
                    loss.backward()
                _step(optimizer, parameters, singles)
                schedule.step()
                advance(f"loss {loss.item():.4f}" if step % 20 == 0 else "")
    finally:
        for part, training in modes:
            part.training = training
    return model


def _single(parameter: nn.Parameter) -> nn.Parameter:
    """The parameter, or a copy in single precision where it has less."""
    return parameter if torch.finfo(parameter.dtype).bits >= 32 else nn.Parameter(parameter.detach().float())


def _step(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], singles: list[nn.Parameter]) -> None:
    """A step on the parameters, by way of their copies in single precision where they have one."""
    copied = [(p, single) for p, single in zip(parameters, singles, strict=True) if p is not single]
    for p, single in copied:
        single.grad = None if p.grad is None else p.grad.float()
    optimizer.step()
    with torch.no_grad():
        for p, single in copied:
            p.copy_(single)


def recover(model: nn.Module, task: Task, teacher: nn.Module, **settings: Any) -> nn.Module:
    """`train`, taught by `teacher` (a copy is made) unless the task has a teacher already."""
    if settings.get("steps", 0) > 0 and getattr(task, "teacher", None) is None:
        task = task.taught_by(bake(clone(teacher)).eval())
    return train(model, task, **settings)


def endless(task: Task) -> Iterator[Any]:
    """The training batches, pass after pass."""
    while True:
        empty = True
        for batch in task.batches("train"):
            empty = False
            yield batch
        if empty:
            raise ValueError("the task's training split has no batches: there is nothing to train on")
