"""Weights on grids: how many bits they take once they are coded, and steps that take few bytes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from shoestring.kit import Weight


def code_length(levels: Tensor) -> tuple[float, Tensor]:
    """(bits of whole numbers in a tensor's shape, for each the bits saved where it is one nearer to
    0; at 0, the bits of a 1).

    The chance that a number is not 0 is the tensor's, times how much fuller than the tensor its row
    (axis 0) and its column (the other axes) are; a sign costs a bit; magnitudes fall off
    geometrically.
    """
    sizes = levels.float().abs()
    matrix = sizes.reshape(len(sizes), -1) if sizes.ndim > 1 else sizes.reshape(1, -1)
    full = (matrix > 0).to(matrix.dtype)
    count = full.sum()
    share = (count + 0.5) / (full.numel() + 1)
    chance = share.expand_as(full)
    if sizes.ndim > 1:
        row = (full.sum(1, keepdim=True) + 0.5) / (full.shape[1] + 0.5 / share)
        column = (full.sum(0, keepdim=True) + 0.5) / (full.shape[0] + 0.5 / share)
        chance = row * column / share
    chance = chance.clamp(2e-5, 0.95)
    mean = max(float((matrix.sum() + 0.5) / (count + 0.5)), 1.05)
    further = -math.log2(1 - 1 / mean)
    zero = -torch.log2(1 - chance)
    first = 1 + math.log2(mean) - torch.log2(chance)
    bits = float((zero + full * (first - zero + (matrix - 1) * further)).sum())
    return bits, torch.where(matrix > 1, further, (first - zero).clamp_min(0.5)).reshape(
        levels.shape
    )


def settle(weight: Weight) -> None:
    """Make the value of a weight on a grid the multiples themselves, of a step that takes two
    bytes.
    """
    state = weight.state
    assert state is not None and state.scale is not None
    with torch.no_grad():
        multiples = (weight.raw / state.scale).round()
        state.scale.copy_(state.scale.bfloat16())
        weight.raw.copy_(multiples * state.scale + 0.0)
