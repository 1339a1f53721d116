"""The training loop, and the teacher that a task gets where it has none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from shoestring.core import Task, device_of
from shoestring.kit.progress import progress
from shoestring.kit.quantised.module import Grid
from shoestring.kit.training.counted_steps import StepCounter
from shoestring.kit.training.resume import Batches, snapshot
from shoestring.kit.training.settings import Mixed, Training
from shoestring.kit.weights.parameters import SkippedWarning, State, bake, clone

Model = TypeVar("Model", bound=nn.Module)
_MIXED_DEVICES = ("same device", "on the expected device")  # of torch's errors


class DivergedError(RuntimeError):
    """Training reached a loss that is NaN or infinite."""


def train(
    model: Model,
    task: Task,
    training: Training,
    *,
    before_step: Callable[[int], None] | None = None,
    what: str = "training",
    key: str = "",
) -> Model:
    """Train in place, as `training` says: `train(model, task, Training(2000))`. Returns the model.

    Passes over the training split follow one another until the steps are used up; the task is given
    the model, and batches follow it to its device. Interrupted, the model stays as it was after the
    last whole step. Weights of half precision are trained in single, and rounded after each step:
    Adam's own numbers do not fit in half. Where every parameter is frozen nothing is trained, with
    a SkippedWarning. `before_step` is called with the number of each step, from 0, before it;
    `what` is said of the training while it runs and where it fails; `key` tells it from others
    within `resuming`. Raises DivergedError, ValueError where the training split is empty or the
    model is on several devices, RuntimeError for a loss that mixes devices.
    """
    if not (steps := training.steps):
        return model
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        warnings.warn(
            f"{what} trained nothing: every parameter is frozen (requires_grad=False)",
            SkippedWarning,
            stacklevel=2,
        )
        for step in range(steps if before_step is not None else 0):
            before_step(step)  # type: ignore[misc]
        return model
    modes = [(part, part.training) for part in model.modules()]
    if not model.training:  # in a model that is training, parts that are not are frozen on purpose
        model.train()
    singles = [_single(p) for p in parameters]
    optimizer = torch.optim.AdamW(
        _groups(
            model, dict(zip(parameters, singles, strict=True)), training.optimizer.learning_rate
        ),
        weight_decay=training.optimizer.weight_decay,
        fused=all(map(_is_plain, singles)),  # one pass over the memory in place of ten
    )
    batches = Batches(task, model)
    kept = snapshot(model, optimizer, singles, f"{what}: {training!r}. {key}")
    try:
        begin = kept.load(batches) if kept is not None else 0
        with progress(what, steps) as advance, StepCounter(model) as counter:
            for step in range(steps):
                if step < begin:
                    advance("")
                    continue
                if kept is not None:
                    kept.save(step, batches)
                if before_step is not None:
                    before_step(step)
                loss = _backward(
                    model,
                    task,
                    next(batches),
                    f"at step {step} of {steps} ({what})",
                    training,
                    counter,
                )
                for group in optimizer.param_groups:
                    group["lr"] = group["highest"] * training.schedule.height(step, steps)
                _step(optimizer, parameters, singles)
                _keep_positive(optimizer)
                advance(f"loss {loss:.4f}" if step % 20 == 0 else "")
        if kept is not None and begin < steps:
            kept.save(steps, batches, last=True)
    finally:
        for part, mode in modes:
            part.training = mode
    return model


def _backward(
    model: nn.Module, task: Task, batch: Any, where: str, training: Training, counter: StepCounter
) -> float:
    """The loss of a batch, its gradients left in the parameters."""
    model.zero_grad()
    device = next(model.parameters()).device.type
    mixed = (
        torch.autocast(device, torch.bfloat16)
        if isinstance(training.precision, Mixed)
        else nullcontext()
    )
    with counter.step(batch), parametrize.cached():
        with mixed:
            loss = _loss(model, task, batch)
        if not torch.isfinite(loss):
            rate = training.optimizer.learning_rate
            raise DivergedError(
                f"the loss is {loss.item()} {where}: use a learning rate below {rate:g}, and "
                "check the data for NaN"
            )
        loss.backward()
    return loss.item()


def _loss(model: nn.Module, task: Task, batch: Any) -> torch.Tensor:
    try:
        return task.loss(model, batch)
    except RuntimeError as error:
        if not any(words in str(error) for words in _MIXED_DEVICES):
            raise
        raise RuntimeError(
            f"the task's loss mixes devices ({error}): the model is on {device_of(model)}, and so "
            "is "
            "each batch. Make what loss() adds on the device of the batch, as with "
            "torch.zeros(..., "
            "device=x.device), and put a teacher of your own where the model is; or train on the "
            "processor, with model.cpu()"
        ) from error


def _groups(
    model: nn.Module, singles: dict[nn.Parameter, nn.Parameter], learning_rate: float
) -> list[dict[str, Any]]:
    """All parameters as one group, but for the steps of grids.

    These move in proportion to their size, and do not decay.
    """
    grids = [
        m.scale
        for m in model.modules()
        if isinstance(m, State | Grid) and m.scale is not None and m.scale.requires_grad
    ]
    steps = {id(step): step for step in grids}
    rest = [single for p, single in singles.items() if id(p) not in steps]
    groups: list[dict[str, Any]] = [{"params": rest, "highest": learning_rate}] if rest else []
    for step in steps.values():
        if step in singles:
            highest = learning_rate * float(step.detach().mean())
            least = float(step.detach().min()) / 1000
            groups.append(
                {"params": [singles[step]], "highest": highest, "weight_decay": 0.0, "least": least}
            )
    return groups


def _keep_positive(optimizer: torch.optim.Optimizer) -> None:
    """A step of a grid that reached 0 would have no way back."""
    with torch.no_grad():
        for group in optimizer.param_groups:
            if "least" in group:
                for step in group["params"]:
                    step.clamp_(min=group["least"])


def _is_plain(parameter: nn.Parameter) -> bool:
    """Whether the fused optimiser can have it.

    It takes memory for an array without holes, and real numbers only.
    """
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    whole = parameter.is_contiguous() or (
        parameter.ndim in formats and parameter.is_contiguous(memory_format=formats[parameter.ndim])
    )
    return whole and parameter.is_floating_point() and parameter.device.type in ("cpu", "cuda")


def _single(parameter: nn.Parameter) -> nn.Parameter:
    """The parameter, or a copy in single precision where it has less."""
    return (
        parameter
        if torch.finfo(parameter.dtype).bits >= 32
        else nn.Parameter(parameter.detach().float())
    )


def _step(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], singles: list[nn.Parameter]
) -> None:
    """A step on the parameters, by way of their copies in single precision where they have one."""
    copied = [(p, single) for p, single in zip(parameters, singles, strict=True) if p is not single]
    for p, single in copied:
        single.grad = None if p.grad is None else p.grad.float()
    optimizer.step()
    with torch.no_grad():
        for p, single in copied:
            p.copy_(single)


def taught(task: Task, teacher: nn.Module) -> Task:
    """The task, taught by a copy of `teacher` unless it has a teacher already."""
    return (
        task
        if getattr(task, "teacher", None) is not None
        else task.taught_by(bake(clone(teacher)).eval())
    )
