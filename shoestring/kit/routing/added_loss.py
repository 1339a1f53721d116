"""A loss that a layer adds to the task's, whatever the task is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def with_loss(value: Tensor, loss: Tensor) -> Tensor:
    """The value itself; where it is used in a loss, the gradients of `loss` are added to it.

    So no task and no technique has to know of the layer that calls this. The loss that is printed
    in training is the task's alone. `loss` counts once in each backward pass, whatever the factor
    that the task's loss is multiplied by, which cannot be told from the gradients. A loop that adds
    up the gradients of K batches, each divided by K, has to divide `loss` by K too.

    `value`: any shape; `loss`: a tensor of one number.
    """
    if not (torch.is_grad_enabled() and loss.requires_grad):
        return value
    return _WithLoss.apply(value, loss)  # pyright: ignore[reportReturnType]


class _WithLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, loss: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.dtype = loss.dtype
        ctx.shape = loss.shape
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], gradients[0].new_ones(ctx.shape, dtype=ctx.dtype)
