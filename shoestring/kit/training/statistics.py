"""The running statistics of batch norms: kept in single precision, and averaged over batches."""

from __future__ import annotations

import warnings
from itertools import islice
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from shoestring.core import Task, batches, seeded
from shoestring.kit.weights.parameters import SkippedWarning

BATCHES = 20
"""Batches that statistics are averaged over, where nobody gives a number."""


def norms_of(model: nn.Module) -> dict[str, _BatchNorm]:
    """The batch norms with running statistics, by name."""
    return {
        name: part
        for name, part in model.named_modules()
        if isinstance(part, _BatchNorm) and isinstance(part.running_var, Tensor)
    }


def average_batch_norm(model: nn.Module, task: Task, *, batches_read: int = BATCHES) -> nn.Module:
    """Set the running statistics of each batch norm to their average over training batches.

    In place; returns the model. The model runs in training mode and without gradients, on the loss
    of batches as training would get them; random numbers are restored. Each norm gets the mean of
    the batches' means and of their (unbiased) variances, added up in double precision. Norms in
    evaluation mode within a model in training mode are frozen and stay as they are; those that no
    batch reaches stay too, with a SkippedWarning.

    This is the cure where evaluation is far worse than training: moving averages are those of
    earlier weights (or of the initial ones, in the first steps), and what they are off multiplies
    from layer to layer. In half precision they also stop before they have arrived.

    `batches_read`: how many batches at most, 1 or more, of one pass over the training split.

    Raises ValueError for a number below 1 and for a training split without batches.
    """
    if batches_read < 1:
        raise ValueError(f"statistics of {batches_read} batches: give 1 or more")
    modes = [(part, part.training) for part in model.modules()]
    if not model.training:
        model.train()
    norms = {name: part for name, part in norms_of(model).items() if part.training}
    try:
        if norms:
            _average(model, task, norms, batches_read)
    finally:
        for part, mode in modes:
            part.training = mode
    return model


def _average(model: nn.Module, task: Task, norms: dict[str, _BatchNorm], most: int) -> None:
    """Average the statistics of norms in training mode."""
    sums = {name: (torch.zeros(()), torch.zeros(()), 0) for name in norms}
    momenta = {name: part.momentum for name, part in norms.items()}
    tracked = {
        name: None if part.num_batches_tracked is None else part.num_batches_tracked.clone()
        for name, part in norms.items()
    }

    def read(name: str, values: Tensor) -> None:
        mean, variance, count = sums[name]
        now = _statistics(values.detach())
        sums[name] = mean + now[0], variance + now[1], count + 1

    handles = [
        part.register_forward_pre_hook(
            lambda _part, args, kwargs, name=name: read(name, args[0] if args else kwargs["input"]),
            with_kwargs=True,
        )
        for name, part in norms.items()
    ]
    taken = 0
    try:
        for part in norms.values():
            part.momentum = 0.0  # the moving averages stay, and nothing is written twice
        with seeded(0), torch.no_grad():
            for batch in islice(batches(task, "train", model), most):
                task.loss(model, batch)
                taken += 1
    finally:
        for handle in handles:
            handle.remove()
        for name, part in norms.items():
            part.momentum = momenta[name]
            if tracked[name] is not None:
                part.num_batches_tracked.copy_(tracked[name])  # type: ignore[union-attr]
    if not taken:
        raise ValueError("the task's training split has no batches: there is nothing to average")
    _write(norms, sums)


def _write(norms: dict[str, _BatchNorm], sums: dict[str, Any]) -> None:
    for name, part in norms.items():
        mean, variance, count = sums[name]
        if not count:
            warnings.warn(
                f"average_batch_norm skipped {name}: no batch reached it",
                SkippedWarning,
                stacklevel=5,
            )
            continue
        with torch.no_grad():
            part.running_mean.copy_(mean / count)  # type: ignore[union-attr]
            part.running_var.copy_(variance / count)  # type: ignore[union-attr]


def _statistics(values: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and unbiased variance of each channel of N×C or N×C×..., in double precision.

    The channels of a layer are read at once in single precision; only sums over batches need more.
    """
    flat = values.float().transpose(0, 1).flatten(1)
    correction = 1 if flat.shape[1] > 1 else 0
    variance, mean = torch.var_mean(flat, 1, correction=correction)
    return mean.double(), variance.double()


class SingleStatistics:
    """Keeps moving averages of half-precision batch norms in single precision within a context.

    After each call of such a norm in training mode its buffers hold the average as it would be in
    single precision, rounded once. An average that is rounded at each step stops where the share of
    what is missing that a step adds is less than half of the last digit, and bfloat16 has eight
    bits. Norms that average all batches alike (momentum=None) are left to torch.

    `tensors`: the averages in single precision.
    """

    def __init__(self, model: nn.Module) -> None:
        self._norms = [
            part
            for part in norms_of(model).values()
            if torch.finfo(_buffers(part)[0].dtype).bits < 32 and part.momentum is not None
        ]
        self._singles = [[one.float() for one in _buffers(part)] for part in self._norms]
        self._handles: list[Any] = []
        self.tensors = [one for pair in self._singles for one in pair]

    def __enter__(self) -> Self:
        for part, singles in zip(self._norms, self._singles, strict=True):
            self._handles += _hooks(part, singles)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the hooks; a norm whose call failed gets back its last average."""
        for handle in self._handles:
            handle.remove()
        for part, singles in zip(self._norms, self._singles, strict=True):
            for buffer, single in zip(_buffers(part), singles, strict=True):
                buffer.copy_(single)


def _buffers(part: Any) -> tuple[Tensor, Tensor]:
    return part.running_mean, part.running_var


def _hooks(part: nn.Module, singles: list[Tensor]) -> list[Any]:
    """Hooks that let a norm add to zeros, and add what it gave to the average in single.

    Through `data`: the backward pass of training mode does not read these buffers, and torch would
    refuse it as if it did.
    """

    def before(part: Any, _args: Any) -> None:
        if part.training:
            for buffer in _buffers(part):
                buffer.data.zero_()

    def after(part: Any, _args: Any, _output: Any) -> None:
        if part.training:
            for single, buffer in zip(singles, _buffers(part), strict=True):
                single.mul_(1 - part.momentum).add_(buffer.data)
                buffer.data.copy_(single)

    return [part.register_forward_pre_hook(before), part.register_forward_hook(after)]
