"""The weight state: all that is known of a weight beyond its value."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class State(nn.Module):
    """What is known of one weight, applied in this order: value, then mask.

    `codebook` (levels) and `indices` (the weight's shape) replace the value, or `scale` rounds it
    to its nearest multiple, at most `reach` steps from zero where there is a reach (127: signed
    integers of 8 bits); `mask` (the weight's shape, bool) zeroes it. A step is one number, or one
    for each slice along axis 0, or, in two axes, for each group of columns of each row. Codebook
    and step are parameters: training gives each level the sum of its weights' gradients, and passes
    the gradient of a rounded value straight through to the value.
    """

    codebook: nn.Parameter | None
    indices: Tensor | None
    scale: nn.Parameter | None
    reach: Tensor | None
    mask: Tensor | None

    def __init__(self, trainable: bool) -> None:
        """`trainable`: whether the weight took part in training before it had a state."""
        super().__init__()
        self.trainable = trainable
        self.register_parameter("codebook", None)
        self.register_parameter("scale", None)
        self.register_buffer("indices", None)
        self.register_buffer("reach", None)
        self.register_buffer("mask", None)

    def forward(self, value: Tensor) -> Tensor:
        """The weight that the module computes with."""
        with (
            torch._C.DisableTorchFunction()
        ):  # who listens to what the module computes need not hear of this
            if self.codebook is not None and self.indices is not None:
                value = self.codebook[self.indices.int()]
            elif self.scale is not None:
                reach = math.inf if self.reach is None else float(self.reach)
                value = _Rounded.apply(value, spread(self.scale, value), reach)  # pyright: ignore[reportAssignmentType]
            # Not a product: that makes a negative zero of what is negative, which files keep apart
            # from zero.
            return value if self.mask is None else value.masked_fill(~self.mask, 0)


def spread(scale: Tensor, value: Tensor) -> Tensor:
    """The steps so that they broadcast to the value: those of groups once for each column."""
    if scale.ndim == value.ndim == 2 and 1 < scale.shape[1] < value.shape[1]:
        return scale.repeat_interleave(value.shape[1] // scale.shape[1], 1)
    return scale


def state_in(module: nn.Module, attribute: str) -> State | None:
    """That of a weight by its owner, None where nothing is known."""
    if not parametrize.is_parametrized(module, attribute):
        return None
    first = module.parametrizations[attribute][0]  # type: ignore[index, operator]
    return first if isinstance(first, State) else None


class _Rounded(torch.autograd.Function):
    """The nearest multiple of the step within reach.

    The gradient goes straight through to the value where it is within reach, and to the step as it
    moves the multiple off the value. Source: Esser et al. 2020 (LSQ), equations 1 to 3, without the
    scale of the gradient, which Adam undoes.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, scale: Tensor, reach: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Of the value's shape; never a negative zero, which files keep apart from zero."""
        rounded = (value / scale).round_()
        inside = None
        if reach < math.inf:
            inside = rounded.abs() <= reach
            rounded.clamp_(-reach, reach)
        rounded.mul_(scale).add_(0.0)
        ctx.save_for_backward(value, scale, rounded, inside)
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Gradients of the value and of the step."""
        value, scale, rounded, inside = ctx.saved_tensors
        if inside is None:
            by_scale = (rounded - value).mul_(gradients[0]) / scale
            return gradients[0], by_scale.sum_to_size(scale.shape), None
        by_scale = (rounded - value * inside).mul_(gradients[0]) / scale
        return gradients[0] * inside, by_scale.sum_to_size(scale.shape), None
