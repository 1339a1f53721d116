"""The training loop, and the teacher of a task that has none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from shoestring.artifact.progress import progress
from shoestring.core import Task, device_of
from shoestring.kit.health.first import first_not_finite
from shoestring.kit.quantised.module import Grid
from shoestring.kit.routing.shares import warn_of_routing
from shoestring.kit.training.counted_steps import StepCounter
from shoestring.kit.training.resume import Batches, snapshot
from shoestring.kit.training.settings import Averaged, Clipped, Mixed, Training
from shoestring.kit.training.statistics import SingleStatistics, average_batch_norm
from shoestring.kit.weights.parameters import SkippedWarning, State, bake, clone

Model = TypeVar("Model", bound=nn.Module)
_MIXED_DEVICES = ("same device", "on the expected device")  # words in errors of torch


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
    rounded after each step, since Adam's moments do not fit in half precision; so are moving
    averages of their batch norms. Where every parameter is frozen nothing is trained, with a
    SkippedWarning.

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
        _run(model, task, training, parameters, before_step, what, key)
    finally:
        for part, mode in modes:
            part.training = mode
    warn_of_routing(model)
    return model


def _run(
    model: nn.Module,
    task: Task,
    training: Training,
    parameters: list[nn.Parameter],
    before_step: Callable[[int], None] | None,
    what: str,
    key: str,
) -> None:
    """The steps of a training, from its snapshot on where there is one."""
    steps = training.steps
    singles = [_single(p) for p in parameters]
    optimizer = torch.optim.AdamW(
        _groups(
            model, dict(zip(parameters, singles, strict=True)), training.optimizer.learning_rate
        ),
        weight_decay=training.optimizer.weight_decay,
        fused=all(map(_is_plain, singles)),  # one pass over the memory instead of ten
    )
    batches, statistics = Batches(task, model), SingleStatistics(model)
    kept = snapshot(
        model, optimizer, [*singles, *statistics.tensors], f"{what}: {training!r}. {key}"
    )
    begin = kept.load(batches) if kept is not None else 0
    with progress(what, steps) as advance, StepCounter(model) as counter, statistics:
        for step in range(steps):
            if step < begin:
                advance("")
                continue
            if kept is not None:
                kept.save(step, batches)
            if before_step is not None:
                before_step(step)
            where = f"at step {step} of {steps} ({what})"
            loss = _backward(model, task, next(batches), where, training, counter)
            for group in optimizer.param_groups:
                group["lr"] = group["highest"] * training.schedule.height(step, steps)
            _step(optimizer, parameters, singles, training)
            _keep_positive(optimizer)
            advance(f"loss {loss:.4f}" if step % 20 == 0 else "")
    if kept is not None and begin < steps:
        kept.save(steps, batches, last=True)
    if isinstance(training.statistics, Averaged):
        average_batch_norm(model, task, batches_read=training.statistics.batches)


def _backward(
    model: nn.Module, task: Task, batch: Any, where: str, training: Training, counter: StepCounter
) -> float:
    """The loss of a batch; its gradients are in the parameters afterwards."""
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
        if torch.isfinite(loss):
            loss.backward()
            return loss.item()
    with mixed:
        began = first_not_finite(model, batch, lambda: task.loss(model, batch))
    raise DivergedError(
        f"the loss is {loss.item()} {where}{f': {began}' if began else ''}. Use a learning rate "
        f"below {training.optimizer.learning_rate:g} or Training(clipping=Clipped(1.0)), check the "
        "data for NaN, and see shoestring.diagnose(model, task)"
    )


def _loss(model: nn.Module, task: Task, batch: Any) -> torch.Tensor:
    try:
        return task.loss(model, batch)
    except RuntimeError as error:
        if not any(words in str(error) for words in _MIXED_DEVICES):
            raise
        raise RuntimeError(
            f"the task's loss mixes devices ({error}): the model is on {device_of(model)}, and so "
            "is each batch. Make what loss() adds on the device of the batch, as with "
            "torch.zeros(..., device=x.device), and put a teacher of your own where the model is; "
            "or train on the processor, with model.cpu()"
        ) from error


def _groups(
    model: nn.Module, singles: dict[nn.Parameter, nn.Parameter], learning_rate: float
) -> list[dict[str, Any]]:
    """The parameter groups of the optimizer: one for each scale of a quantiser, one for the rest.

    A scale learns in proportion to its size and does not decay.
    """
    trained = [
        m.scale
        for m in model.modules()
        if isinstance(m, State | Grid) and m.scale is not None and m.scale.requires_grad
    ]
    scales = {id(scale): scale for scale in trained}
    rest = [single for p, single in singles.items() if id(p) not in scales]
    groups: list[dict[str, Any]] = [{"params": rest, "highest": learning_rate}] if rest else []
    for scale in scales.values():
        if scale in singles:
            highest = learning_rate * float(scale.detach().mean())
            least = float(scale.detach().min()) / 1000
            groups.append(
                {
                    "params": [singles[scale]],
                    "highest": highest,
                    "weight_decay": 0.0,
                    "least": least,
                }
            )
    return groups


def _keep_positive(optimizer: torch.optim.Optimizer) -> None:
    """Clamp scales from below: a scale that reached 0 would stay there."""
    with torch.no_grad():
        for group in optimizer.param_groups:
            if "least" in group:
                for scale in group["params"]:
                    scale.clamp_(min=group["least"])


def _is_plain(parameter: nn.Parameter) -> bool:
    """Whether the fused optimizer takes a parameter: real numbers in contiguous memory."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    is_contiguous = parameter.is_contiguous() or (
        parameter.ndim in formats and parameter.is_contiguous(memory_format=formats[parameter.ndim])
    )
    on_known_device = parameter.device.type in ("cpu", "cuda")
    return is_contiguous and parameter.is_floating_point() and on_known_device


def _single(parameter: nn.Parameter) -> nn.Parameter:
    """The parameter, or a copy in single precision where it has less."""
    return (
        parameter
        if torch.finfo(parameter.dtype).bits >= 32
        else nn.Parameter(parameter.detach().float())
    )


def _step(
    optimizer: torch.optim.Optimizer,
    parameters: list[nn.Parameter],
    singles: list[nn.Parameter],
    training: Training,
) -> None:
    """One step of the optimizer, through the copies in single precision where there are any."""
    copied = [(p, single) for p, single in zip(parameters, singles, strict=True) if p is not single]
    for p, single in copied:
        single.grad = None if p.grad is None else p.grad.float()
    if isinstance(training.clipping, Clipped):
        nn.utils.clip_grad_norm_(singles, training.clipping.norm)
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
