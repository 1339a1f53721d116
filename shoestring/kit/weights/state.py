"""The weight state: all that is known of a weight beyond its value."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class State(nn.Module):
    """What is known of one weight, applied in this order: value, then mask.

    Training gives each level of the codebook the sum of its weights' gradients, and passes the
    gradient of a rounded value straight through to the value.

    `codebook`: a parameter, (levels,); with `indices` it replaces the value.
    `indices`: integers of the weight's shape.
    `scale`: a parameter; the value is rounded to its nearest integer multiple. One number, (), or
        one for each slice along axis 0, (O, 1, 1, ...), or, for a matrix, one for each group of
        columns of each row, (O, groups).
    `reach`: the largest absolute integer (127: signed integers of 8 bits); None for no limit.
    `mask`: bool, of the weight's shape; where it is False the weight is zero.
    """

    codebook: nn.Parameter | None
    indices: Tensor | None
    scale: nn.Parameter | None
    reach: Tensor | None
    mask: Tensor | None

    def __init__(self, trainable: bool) -> None:
        """`trainable`: whether the weight was trained before it had a state."""
        super().__init__()
        self.trainable = trainable
        self.register_parameter("codebook", None)
        self.register_parameter("scale", None)
        self.register_buffer("indices", None)
        self.register_buffer("reach", None)
        self.register_buffer("mask", None)

    def forward(self, value: Tensor) -> Tensor:
        """The weight that the module computes with, of the value's shape."""
        # Function modes that follow the module's computation must not see this one.
        with torch._C.DisableTorchFunction():
            if self.codebook is not None and self.indices is not None:
                value = self.codebook[self.indices.int()]
            elif self.scale is not None:
                reach = math.inf if self.reach is None else float(self.reach)
                value = _Rounded.apply(value, spread(self.scale, value), reach)  # pyright: ignore[reportAssignmentType]
            # Not a product: that gives a negative zero for a negative value, and files keep
            # negative zero apart from zero.
            return value if self.mask is None else value.masked_fill(~self.mask, 0)


def spread(scale: Tensor, value: Tensor) -> Tensor:
    """The scale in a shape that broadcasts to the value; that of groups once for each column."""
    if scale.ndim == value.ndim == 2 and 1 < scale.shape[1] < value.shape[1]:
        return scale.repeat_interleave(value.shape[1] // scale.shape[1], 1)
    return scale


def state_in(module: nn.Module, attribute: str) -> State | None:
    """The state of a module's attribute; None where there is none."""
    if not parametrize.is_parametrized(module, attribute):
        return None
    first = module.parametrizations[attribute][0]  # type: ignore[index, operator]
    return first if isinstance(first, State) else None


class _Rounded(torch.autograd.Function):
    """The nearest multiple of the scale within reach.

    The gradient passes straight through the rounding to the value where it is within reach, and to
    the scale as (rounded - value) / scale; out of reach as rounded / scale. Source: Esser et al.
    2020 (LSQ), equations 1 to 3. Differs: the gradient is not rescaled, which Adam would undo.
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
        """Gradients of the value and of the scale."""
        value, scale, rounded, inside = ctx.saved_tensors
        if inside is None:
            by_scale = (rounded - value).mul_(gradients[0]) / scale
            return gradients[0], by_scale.sum_to_size(scale.shape), None
        by_scale = (rounded - value * inside).mul_(gradients[0]) / scale
        return gradients[0] * inside, by_scale.sum_to_size(scale.shape), None
