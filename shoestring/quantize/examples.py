"""Calibration batches, and runs of a model over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core import Task, batches, evaluating, seeded
from shoestring.kit.quantised.outliers import without_outliers
from shoestring.kit.tracing.example import tensors


def calibration_batches(task: Task, examples: int, model: Any = None) -> list[Any]:
    """The first training batches that hold at least `examples` examples, without outliers.

    `model`: the one that the batches are for, or None.

    Raises ValueError where the training split is empty.
    """
    data: list[Any] = []
    count = 0
    with seeded(0):
        for batch in islice(iter(batches(task, "train", model)), examples):
            data.append(batch)
            count += _length(batch)
            if count >= examples:
                break
    if not data:
        raise ValueError("the training split is empty: calibration needs at least one example")
    return without_outliers(data, "calibration")


def _length(batch: Any) -> int:
    """How many examples a batch has: the length of its first tensor, or 1 without one."""
    first = next(iter(tree.leaves(batch)), None)
    return len(first) if isinstance(first, Tensor) and first.ndim else 1


def run(model: nn.Module, task: Task, data: Iterable[Any]) -> None:
    """Have the loss of the task call the model on these batches, in evaluation mode."""
    with evaluating(model), torch.no_grad(), seeded(0):
        for batch in data:
            task.loss(model, batch)


def copies(output: Any) -> list[Tensor]:
    """The floating-point tensors in an output, copied to double precision.

    Without a copy an in-place activation may change them afterwards.
    """
    with torch._C.DisableTorchFunction():
        return [
            one.detach().to(torch.float64, copy=True)
            for one in tensors(output)
            if one.is_floating_point()
        ]


class ChannelMeans:
    """The mean of each channel of a layer's outputs, over all `calls` that are added."""

    def __init__(self, layer: nn.Module) -> None:
        self.calls = 0
        # Counted from the end: a single image has no axis of examples.
        self._axis = -1 - len(getattr(layer, "kernel_size", ()))
        self._sum: Tensor | float = 0.0
        self._count = 0

    def add(self, output: Tensor) -> None:
        """Add the output of a call."""
        with torch._C.DisableTorchFunction():
            channels = (
                output.detach()
                .double()
                .movedim(self._axis, -1)
                .reshape(-1, output.shape[self._axis])
            )
            self._sum = self._sum + channels.sum(0)
            self._count += len(channels)
            self.calls += 1

    @property
    def mean(self) -> Tensor:
        """The mean of each channel (channels)."""
        return torch.as_tensor(self._sum) / self._count


def channel_means(
    called: nn.Module, inner: nn.Module, task: Task, layers: Sequence[str], batch: Any
) -> dict[str, ChannelMeans]:
    """The channel means of these layers of `inner` while the task's loss calls `called`.

    Layers that are not called are left out.
    """
    means: dict[str, ChannelMeans] = {}

    def hook(layer: str, module: nn.Module) -> Any:
        def add(module: nn.Module, _args: Any, output: Tensor) -> None:
            if output.numel():  # an expert that got no row has no mean
                means.setdefault(layer, ChannelMeans(module)).add(output)

        return module.register_forward_hook(add)

    handles = [hook(layer, inner.get_submodule(layer)) for layer in layers]
    try:
        run(called, task, [batch])
    finally:
        for handle in handles:
            handle.remove()
    return means
