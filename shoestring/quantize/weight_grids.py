"""Grids of weights: putting a weight on one, or keeping the one that it is on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from shoestring.kit import Weight, parameters_of
from shoestring.quantize.ranges import Histogram, Ranges


def weights_of(model: nn.Module) -> dict[str, Weight]:
    """By layer, the weight that it multiplies by, where that may be rounded."""
    return {
        layer: weight
        for weight in parameters_of(model)
        if weight.is_parameter
        and weight.raw.is_floating_point()
        and weight.raw.ndim >= 2
        and not weight.is_foreign
        and weight.raw.numel()
        for layer, _, attribute in (name.rpartition(".") for name in weight.names)
        if attribute == "weight"
    }


def round_weight(weight: Weight, bits: int, granularity: Any, ranges: Ranges) -> None:
    """Put a weight on a grid of signed integers, symmetric around zero.

    `bits`: of the integers, 2 to 8.
    `granularity`: gives the shape of the scales.
    `ranges`: gives the largest magnitude of each slice.
    """
    weight.attach()
    value, reach = weight.value().float(), (1 << (bits - 1)) - 1
    shape = granularity(value)
    rows = value.reshape(len(value), -1) if len(shape) == value.ndim else value.reshape(1, -1)
    if len(shape) == 2 and shape[1] > 1:  # groups of columns
        rows = value.reshape(-1, value.shape[1] // shape[1])
    largest = rows.abs().amax(1)
    if ranges.needs_counts:
        limits = []
        for row in rows:
            histogram = Histogram()
            histogram.limits(torch.cat([row, -row]))
            histogram.count(torch.cat([row, -row]))
            limits.append(ranges(histogram, 2 * reach)[1])
        largest = torch.tensor(limits).to(value)
    # The scale of a slice of zeros matters only for the bias, which is rounded to multiples of it:
    # the finest of the others will do.
    positive = largest[largest > 1e-12]
    scale = (
        torch.where(
            largest > 1e-12, largest, positive.min() if len(positive) else torch.ones_like(largest)
        )
        / reach
    )
    weight.round(scale.view(shape), reach)


def keep_grid(weight: Weight, bits: int, least: Tensor | None = None) -> bool:
    """Keep a weight on the grid that it is on, so that it stays cheap to code; whether that fits.

    It fits if its integers have at most this many bits, and its scales can be large enough.

    `bits`: of the integers, 2 to 8.
    `least`: what the scales must be at least, for each slice along axis 0. A smaller scale is
        multiplied by an integer, which must divide the integers of its slice.
    """
    state, reach = weight.state, (1 << (bits - 1)) - 1
    if state is None or state.scale is None or state.scale.numel() not in (1, len(weight.raw)):
        return False
    value, scale = weight.value(), state.scale.detach()
    integers = (value / scale).round()
    if bool((integers.abs() > reach).any()):
        return False
    if least is not None:
        needed = (
            least.to(scale).view(scale.shape)
            if scale.numel() > 1
            else least.max().to(scale).view(scale.shape)
        )
        factor = (needed / scale).ceil().clamp_min(1)
        if bool((integers % factor != 0).any()):
            return False
        scale = scale * factor
    with torch.no_grad():
        weight.raw.copy_(value)
    weight.round(scale, reach)
    return True


def least_scales(bias: Tensor | None, scales: list[float]) -> Tensor | None:
    """The least scale of a weight for its bias to fit into 32 bits, for each output (outputs).

    The bias is an integer in units of the scale of the weight times that of the input. None without
    a bias or scales of inputs.
    """
    if bias is None or not scales:
        return None
    return bias.detach().float().abs() / (min(scales) * 2.0**30)


def fit_bias(weight: Weight, bias: Tensor | None, scales: list[float]) -> None:
    """Raise the scales of a weight until its bias fits into 32 bits."""
    state, least = weight.state, least_scales(bias, scales)
    if least is None or state is None or state.scale is None:
        return
    least = (
        least.view(state.scale.shape)
        if state.scale.numel() > 1
        else least.max().view(state.scale.shape)
    )
    state.scale.data = torch.maximum(state.scale.data, least.to(state.scale))
