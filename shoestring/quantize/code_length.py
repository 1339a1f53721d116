"""How many bits weights on a grid take once they are coded, and scales that take two bytes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from shoestring.kit import Weight


def code_length(levels: Tensor) -> tuple[float, Tensor]:
    """(bits of a tensor of integers, bits saved per integer where it comes one nearer to 0).

    The second has the tensor's shape; for integers that are 0 it holds the bits of a 1. The model
    of the coder: the probability that an integer is not 0 is that of the tensor, times how much
    denser than the tensor its row (axis 0) and its column (the other axes) are; a sign costs one
    bit; magnitudes fall off geometrically.
    """
    magnitudes = levels.float().abs()
    matrix = (
        magnitudes.reshape(len(magnitudes), -1)
        if magnitudes.ndim > 1
        else magnitudes.reshape(1, -1)
    )
    nonzero = (matrix > 0).to(matrix.dtype)
    count = nonzero.sum()
    density = (count + 0.5) / (nonzero.numel() + 1)
    probability = density.expand_as(nonzero)
    if magnitudes.ndim > 1:
        row = (nonzero.sum(1, keepdim=True) + 0.5) / (nonzero.shape[1] + 0.5 / density)
        column = (nonzero.sum(0, keepdim=True) + 0.5) / (nonzero.shape[0] + 0.5 / density)
        probability = row * column / density
    probability = probability.clamp(2e-5, 0.95)
    mean = max(float((matrix.sum() + 0.5) / (count + 0.5)), 1.05)
    further = -math.log2(1 - 1 / mean)
    zero = -torch.log2(1 - probability)
    first = 1 + math.log2(mean) - torch.log2(probability)
    bits = float((zero + nonzero * (first - zero + (matrix - 1) * further)).sum())
    return bits, torch.where(matrix > 1, further, (first - zero).clamp_min(0.5)).reshape(
        levels.shape
    )


def snap_to_grid(weight: Weight) -> None:
    """Make a weight on a grid exact multiples of its scale, which is rounded to bfloat16."""
    state = weight.state
    assert state is not None and state.scale is not None
    with torch.no_grad():
        multiples = (weight.raw / state.scale).round()
        state.scale.copy_(state.scale.bfloat16())
        weight.raw.copy_(multiples * state.scale + 0.0)
