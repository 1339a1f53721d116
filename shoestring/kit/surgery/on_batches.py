"""A model on training data, with hooks on some of its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.core import batches as training_batches
from shoestring.core.task import evaluating
from shoestring.kit.quantised.outliers import say_far_off, without_outliers
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import bake

Hook = Callable[[Any, Tensor, Tensor], None]


def on_batches(
    model: nn.Module, task: Task, hooks: Mapping[str, Hook], batches: int, who: str
) -> None:
    """Run a copy of a model on so many batches of the training split, in evaluation mode.

    Batches that are far off the others are left out, with a warning.

    `hooks`: by the names of layers that take a tensor and give one. They get the copy's layer, its
        input and its output. What they keep of these they must copy: an activation behind the
        layer may write into them.
    `who`: names the technique in warnings.
    """
    plain = bake(clone(model))
    handles = [
        plain.get_submodule(name).register_forward_hook(_with_input(hook), with_kwargs=True)
        for name, hook in hooks.items()
    ]
    try:
        with torch.no_grad(), evaluating(plain):
            data = list(islice(iter(training_batches(task, "train", plain)), batches))
            for batch in say_far_off(without_outliers(data, who), who):
                task.loss(plain, batch)
    finally:
        for handle in handles:
            handle.remove()


def _with_input(hook: Hook) -> Any:
    """The hook for torch, whether the layer was called as `layer(x)` or as `layer(input=x)`."""

    def called(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        hook(layer, args[0] if args else next(iter(kwargs.values())), output)

    return called
