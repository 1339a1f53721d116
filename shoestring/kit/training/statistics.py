"""The running statistics of batch norms: kept in single precision, and averaged over batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from shoestring.core import Task, batches, seeded
from shoestring.kit.weights.buffers import copies_of_buffers, restore_buffers
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


@contextmanager
def statistics_kept(norms: Iterable[_BatchNorm]) -> Iterator[None]:
    """Within this context, calls in training mode leave running statistics as they are.

    Each call is still normalized by the statistics of its own batch. A call in evaluation mode
    uses the running statistics that the norm has.
    """
    kept = [(part, part.momentum, _copy(part.num_batches_tracked)) for part in norms]
    for part, _, _ in kept:
        part.momentum = 0.0
    try:
        yield
    finally:
        for part, momentum, tracked in kept:
            part.momentum = momentum
            if tracked is not None and part.num_batches_tracked is not None:
                part.num_batches_tracked.copy_(tracked)


def _copy(tracked: Tensor | None) -> Tensor | None:
    return None if tracked is None else tracked.clone()


def average_batch_norm(model: nn.Module, task: Task, *, batches_read: int = BATCHES) -> nn.Module:
    """Set the running statistics of each batch norm to their average over training batches.

    This is precise batch norm. In place; returns the model. The model runs in training mode and
    without gradients, on the loss of batches as training would get them; random numbers are
    restored. Each norm gets the mean of the batches' means and of their (unbiased) variances, each
    batch weighted by the rows that reached the norm, added up in double precision. Norms in
    evaluation mode within a model in training mode are frozen and stay as they are; those that no
    row reaches stay too, with a SkippedWarning. Calls without rows, or for which forward() sets
    evaluation mode, as a mixture does for an expert with a single row, do not count. Batches in
    which the statistics of some norm are not finite are left out, with a SkippedWarning that names
    the norm. Other buffers, such as those of instance norms and spectral norms, stay as they are.

    This is the cure where evaluation is far worse than training: moving averages are those of
    earlier weights (or of the initial ones, in the first steps), and what they are off multiplies
    from layer to layer. In half precision they also stop before they have arrived.

    Source: Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3.
    Differs: the mean of the batches' variances, and not the variance of all values; weighted by
    rows, since the experts of a mixture get other numbers of rows in each batch.

    `batches_read`: how many batches at most, 1 or more, of one pass over the training split.

    Raises ValueError for a number that is no integer or below 1, for a training split without
    batches, and where the statistics of no batch are finite, with the first such layer; then no
    norm is changed.
    """
    if isinstance(batches_read, bool) or not isinstance(batches_read, int) or batches_read < 1:
        raise ValueError(f"statistics of {batches_read!r} batches: give an integer, 1 or more")
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
    read = _Read(norms)
    kept = copies_of_buffers(model)
    handles = [
        part.register_forward_pre_hook(
            lambda part, args, kwargs, name=name: read.call(
                name, part, args[0] if args else kwargs["input"]
            ),
            with_kwargs=True,
        )
        for name, part in norms.items()
    ]
    try:
        with statistics_kept(norms.values()), seeded(0), torch.no_grad():
            for batch in islice(batches(task, "train", model), most):
                task.loss(model, batch)
                read.end()
    finally:
        for handle in handles:
            handle.remove()
        restore_buffers(model, kept)
    if not read.batches:
        raise ValueError("the task's training split has no batches: there is nothing to average")
    _write(norms, read)


class _Read:
    """What norms got, summed up in batches all of whose statistics are finite.

    `sums`: for each norm the means and the variances times rows, and the rows.
    `batches`: how many were read. `bad`: for each that was left out, the norm where it began.
    """

    def __init__(self, norms: dict[str, _BatchNorm]) -> None:
        self.sums: dict[str, tuple[Tensor, Tensor, int]] = {
            name: (torch.zeros(()), torch.zeros(()), 0) for name in norms
        }
        self.batches, self.bad = 0, list[str]()
        self._calls: list[tuple[str, Tensor, Tensor, int]] = []

    def call(self, name: str, part: nn.Module, values: Tensor) -> None:
        """Note a call of a norm; an expert that got one row or none does not count."""
        if part.training and values.numel():
            self._calls.append((name, *_statistics(values.detach()), len(values)))

    def end(self) -> None:
        """Add the calls of a batch. After infinity the numbers of later norms mean nothing."""
        self.batches += 1
        calls, self._calls = self._calls, []
        for name, mean, variance, _ in calls:
            if not bool(torch.isfinite(mean).all() and torch.isfinite(variance).all()):
                self.bad.append(name)
                return
        for name, mean, variance, count in calls:
            means, variances, rows = self.sums[name]
            self.sums[name] = means + count * mean, variances + count * variance, rows + count


def _write(norms: dict[str, _BatchNorm], read: _Read) -> None:
    if len(read.bad) == read.batches:
        raise ValueError(
            f"what {read.bad[0]} gets in training has no finite statistics, so no batch norm was "
            "changed: its input overflows or is NaN. shoestring.diagnose(model, task) says where "
            "that begins"
        )
    if read.bad:
        warnings.warn(
            f"average_batch_norm skipped {len(read.bad)} of {read.batches} batches: what "
            f"{read.bad[0]} gets in them has no finite statistics. Look for examples that are far "
            "too large",
            SkippedWarning,
            stacklevel=5,
        )
    for name, part in norms.items():
        mean, variance, rows = read.sums[name]
        if not rows:
            warnings.warn(
                f"average_batch_norm skipped {name}: no batch reached it",
                SkippedWarning,
                stacklevel=5,
            )
            continue
        with torch.no_grad():
            part.running_mean.copy_(mean / rows)  # type: ignore[union-attr]
            part.running_var.copy_(variance / rows)  # type: ignore[union-attr]


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
