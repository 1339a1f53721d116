"""The weight state: all that is known of a weight beyond its value."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class State(nn.Module):
    """What is known of one weight, applied in this order: value, then mask.

    `codebook` (levels) and `indices` (the weight's shape) replace the value, or `step` (one number, or one for each slice along
    axis 0) rounds it to its nearest multiple; `mask` (the weight's shape, bool) zeroes it.
    Codebook and step are parameters: training gives each level the sum of its weights' gradients, and passes the gradient of a
    rounded value straight through to the value.
    """

    codebook: nn.Parameter | None
    indices: Tensor | None
    step: nn.Parameter | None
    mask: Tensor | None

    def __init__(self, trainable: bool) -> None:
        """`trainable`: whether the weight took part in training before it had a state."""
        super().__init__()
        self.trainable = trainable
        self.register_parameter("codebook", None)
        self.register_parameter("step", None)
        self.register_buffer("indices", None)
        self.register_buffer("mask", None)

    def forward(self, value: Tensor) -> Tensor:
        """The weight that the module computes with."""
        if self.codebook is not None and self.indices is not None:
            value = self.codebook[self.indices.int()]
        elif self.step is not None:
            value = _Rounded.apply(value, self.step)  # pyright: ignore[reportAssignmentType]
        # Not a product: that makes a negative zero of what is negative, which files keep apart from zero.
        return value if self.mask is None else value.masked_fill(~self.mask, 0)


class _Rounded(torch.autograd.Function):
    """The nearest multiple of the step. The gradient goes straight through to the value, and to the step as it moves the multiple
    off the value. Source: Esser et al. 2020 (LSQ), equations 1 to 3, without the clipping and the scale, which Adam undoes."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, step: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Of the value's shape; never a negative zero, which files keep apart from zero."""
        rounded = (value / step).round_().mul_(step).add_(0.0)
        ctx.save_for_backward(value, step, rounded)
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the value and of the step."""
        value, step, rounded = ctx.saved_tensors
        return gradients[0], ((rounded - value).mul_(gradients[0]) / step).sum_to_size(step.shape)
