"""The examples that tell of a network before it is rounded, and runs over them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core import Task, batches, evaluating, seeded
from shoestring.kit.quantised.outliers import without_outliers


def calibration(task: Task, examples: int, model: Any = None) -> list[Any]:
    """Training batches for a model, as many as hold so many examples.

    Raises ValueError where there is none.
    """
    found: list[Any] = []
    count = 0
    with seeded(0):
        for batch in islice(iter(batches(task, "train", model)), examples):
            found.append(batch)
            count += _length(batch)
            if count >= examples:
                break
    if not found:
        raise ValueError("the training split is empty: calibration needs at least one example")
    return without_outliers(found, "calibration")


def _length(batch: Any) -> int:
    """How many examples a batch has: as its first tensor is long, 1 where it has none."""
    first = next(iter(tree.leaves(batch)), None)
    return len(first) if isinstance(first, Tensor) and first.ndim else 1


def run(model: nn.Module, task: Task, given: Iterable[Any]) -> None:
    """Have the task call the model on these batches, in evaluation mode."""
    with evaluating(model), torch.no_grad(), seeded(0):
        for batch in given:
            task.loss(model, batch)


class ChannelMeans:
    """The mean of each channel of what a layer gives, over all `calls` that are added."""

    def __init__(self, layer: nn.Module) -> None:
        self.calls = 0
        self._axis = -1 - len(
            getattr(layer, "kernel_size", ())
        )  # from the end: one image has no axis of examples
        self._sum: Tensor | float = 0.0
        self._count = 0

    def add(self, output: Tensor) -> None:
        """Take note of what a call gave."""
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
        """Of each channel."""
        return torch.as_tensor(self._sum) / self._count


def means(
    called: nn.Module, inner: nn.Module, task: Task, layers: Sequence[str], batch: Any
) -> dict[str, ChannelMeans]:
    """Of each of these layers of `inner` that is called, the mean of each channel of what it gives
    while the task's loss calls `called`.
    """
    found: dict[str, ChannelMeans] = {}

    def watched(layer: str, module: nn.Module) -> Any:
        def add(module: nn.Module, _args: Any, output: Tensor) -> None:
            found.setdefault(layer, ChannelMeans(module)).add(output)

        return module.register_forward_hook(add)

    handles = [watched(layer, inner.get_submodule(layer)) for layer in layers]
    try:
        run(called, task, [batch])
    finally:
        for handle in handles:
            handle.remove()
    return found
