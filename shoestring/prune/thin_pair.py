"""Two thin layers in the place of one: its matrix as a product of two of low rank."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit.surgery.in_sequence import POINT, convolution_like, in_sequence, whole


def largest_rank(share: float, outputs: int, inputs: int, multiple: int = 1) -> int:
    """The largest rank, 1 or more, at which two factors have this share of a matrix' elements.

    `multiple`: a rank above it is rounded down to a multiple of it.
    """
    rank = max(1, int(share * outputs * inputs / (outputs + inputs)))
    return rank if rank < multiple else rank // multiple * multiple


def thin_pair(layer: Any, first: Tensor, second: Tensor, bias: Tensor | None) -> nn.Sequential:
    """Two layers that compute second · first · x + bias in the place of an nn.Linear or nn.Conv.

    The first has the kernel, the stride and the padding of the layer, the second a kernel of 1.
    `first`: rank × (inputs, kernel); `second`: outputs × rank; `bias`: outputs, None for none.
    """
    rank = len(first)
    if isinstance(layer, nn.Linear):
        with seeded(0):
            pair: tuple[nn.Module, nn.Module] = (
                nn.Linear(layer.in_features, rank, bias=False),
                nn.Linear(rank, layer.out_features, bias=bias is not None),
            )
    else:
        pair = (
            convolution_like(layer, layer.in_channels, rank, **whole(layer)),
            convolution_like(layer, rank, layer.out_channels, bias=bias is not None, **POINT),
        )
    return in_sequence(layer, pair, (first, second), bias)
