"""Where a network's numbers first stopped being numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.artifact import tree
from shoestring.core import seeded
from shoestring.kit.health.signals import Signal, listening
from shoestring.kit.weights.buffers import copies_of_buffers, restore_buffers


def first_not_finite(model: nn.Module, batch: Any, run: Callable[[], Any]) -> str:
    """A sentence that says where NaN or infinity first appears; "" where nothing of it is found.

    The weights are looked at first, then the batch, then each call, in the order in which they run.
    The model is run once more, without gradients; its buffers are restored.

    `batch`: what the model is run on.
    `run`: runs it, most often as the task's loss.
    """
    if given := of_values(model, batch):
        return given
    kept = copies_of_buffers(model)
    try:
        with listening(model) as signals, torch.no_grad(), seeded(0):
            run()
    except Exception:  # what is looked for is an explanation of another error
        return ""
    finally:
        restore_buffers(model, kept)
    return of_signals(list(signals.values())) or (
        "the output of every layer is finite, so it is the loss itself that is not: a logarithm of "
        "0, a division by 0, or a sum that is too large"
    )


def of_values(model: nn.Module, batch: Any) -> str:
    """The sentence about a weight, a batch or a buffer that is not finite; "" where all are."""
    for name, weight in model.named_parameters():
        if not _all_finite(weight):
            return f"the weights of {name} are not finite: the gradient of an earlier step was not"
    inputs = [one for one in tree.leaves(batch) if isinstance(one, Tensor)]
    if not all(_all_finite(one) for one in inputs if one.is_floating_point()):
        return "the batch itself has NaN or infinity"
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point() and not _all_finite(buffer):
            return f"the buffer {name} is not finite, such as a running statistic once overflowed"
    return ""


def of_signals(signals: list[Signal]) -> str:
    """The sentence about the first signal that is not finite; "" where all are."""
    for index, signal in enumerate(signals):
        if not signal.finite:
            kind = "NaN" if math.isnan(signal.largest) else "infinite"
            before = f", after values of up to {signals[index - 1].largest:.3g}" if index else ""
            return f"the first output that is {kind} is that of {signal.name}{before}"
    return ""


def _all_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor.detach()).all())
