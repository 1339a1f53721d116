"""The steps of a training: the loss and its gradients, clipping, the rate, and the optimizer."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from shoestring.core import Task, device_of
from shoestring.kit.quantised.module import Grid
from shoestring.kit.training.layerwise import LayerwiseAdam, LayerwiseSGD, by_layer
from shoestring.kit.training.optimizers import LAMB, LARS, SGD, Adagrad, Optimizer
from shoestring.kit.training.settings import Clipped, Mixed, Training
from shoestring.kit.weights.parameters import State

if TYPE_CHECKING:
    from shoestring.kit.training.resume import Batches

_MIXED_DEVICES = ("same device", "on the expected device")  # words in errors of torch


class Steps:
    """Steps on batches that somebody else chooses, with a Training's settings but for its `steps`.

    The model has a parameter that is not frozen, and is in the mode that it is to be trained in.

    `optimizer`: a torch.optim.Optimizer over `singles`.
    `parameters`: those that are trained.
    `singles`: the parameters that are trained, or copies in single precision of those with less.
    """

    def __init__(self, model: nn.Module, task: Task, training: Training) -> None:
        self.model, self.task, self.training = model, task, training
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.singles = [_single(p) for p in self.parameters]
        self.optimizer = _optimizer(
            training.optimizer,
            _groups(
                model,
                dict(zip(self.parameters, self.singles, strict=True)),
                training.optimizer.learning_rate,
            ),
            self.singles,
        )

    @property
    def state(self) -> list[torch.Tensor]:
        """What changes in a training besides the optimizer's state; a snapshot keeps it."""
        return [*self.singles]

    @property
    def is_whole(self) -> bool:
        """Whether `state` has all that a snapshot needs, and not only a part of it."""
        return True

    def begin(self, step: int, batches: Batches, *, changes: bool) -> None:
        """A training begins at a step, on these batches.

        `changes`: whether something is changed between steps, by who called `train`.
        """

    def rehearse(self, batch: Any) -> None:
        """Make the gradients of a batch, to count operations, where `backward` does not here."""

    def end(self) -> None:
        """A training is over, or failed."""

    def backward(self, batch: Any) -> float:
        """The loss of a batch; its gradients are in the parameters afterwards, where it is finite.

        Raises RuntimeError for a loss that mixes devices.
        """
        self.model.zero_grad()
        with parametrize.cached():
            with in_precision(self.model, self.training):
                loss = _loss(self.model, self.task, batch)
            if torch.isfinite(loss):
                loss.backward()
            return loss.item()

    def step(self, number: int, steps: int) -> None:
        """Change the parameters by their gradients, at the rate of a step of so many, from 0."""
        height = self.height(number, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["highest"] * height
        _step(self.optimizer, self.parameters, self.singles, self.training)
        _keep_positive(self.optimizer)

    def height(self, number: int, steps: int) -> float:
        """The rate of a step as a share of the highest."""
        return self.training.schedule.height(number, steps)


def _optimizer(
    chosen: Optimizer, groups: list[dict[str, Any]], singles: list[nn.Parameter]
) -> torch.optim.Optimizer:
    """The optimizer of a training; where torch can it makes one pass over the memory, not ten."""
    fused = all(map(_is_plain, singles))
    if isinstance(chosen, Adagrad):
        return torch.optim.Adagrad(
            groups,
            chosen.learning_rate,
            initial_accumulator_value=chosen.accumulated,
            # torch has its fused Adagrad for the processor only
            fused=(fused and all(p.device.type == "cpu" for p in singles)) or None,
        )
    if isinstance(chosen, SGD):
        return torch.optim.SGD(
            groups,
            chosen.learning_rate,
            momentum=chosen.momentum,
            weight_decay=chosen.weight_decay,
            fused=fused or None,
        )
    if isinstance(chosen, LARS):
        return LayerwiseSGD(
            by_layer(groups),
            chosen.learning_rate,
            momentum=chosen.momentum,
            weight_decay=chosen.weight_decay,
            trust=chosen.trust,
        )
    if isinstance(chosen, LAMB):
        return LayerwiseAdam(
            by_layer(groups),
            chosen.learning_rate,
            momentum=chosen.momentum,
            weight_decay=chosen.weight_decay,
        )
    return torch.optim.AdamW(
        groups,
        chosen.learning_rate,
        betas=(chosen.momentum, 0.999),
        weight_decay=chosen.weight_decay,
        fused=fused,
    )


def in_precision(model: nn.Module, training: Training) -> AbstractContextManager[Any]:
    """Within, a loss is computed in the training's precision."""
    if isinstance(training.precision, Mixed):
        return torch.autocast(next(model.parameters()).device.type, torch.bfloat16)
    return nullcontext()


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
