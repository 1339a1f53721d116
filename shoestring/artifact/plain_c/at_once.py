"""Which products multiply several rows of weights at once, so that each input is read once."""

from __future__ import annotations

from collections.abc import Callable

from shoestring.artifact.plain_c.layers import Network, Product

AT_ONCE = 4
"""The rows of a dense layer that are multiplied at once, where weights are used where they lie."""
_WORTH = 0.1
"""The share of the products of a network that dense layers have, from which on that is done."""
_WORTH_PATCHES = 0.95
"""The same of convolutions, at each of their positions: others need a second function."""
DENSE = 0.5
"""Integers of which this share or more is not zero are used where they lie, if they may be."""


def rows_at_once(network: Network) -> bool:
    """Whether several rows of dense layers are multiplied at once, each input read once.

    The function for it is longer, which pays where they have a good part of all products.
    """
    return _share(network, takes_rows_at_once) >= _WORTH


def patches(network: Network) -> bool:
    """Whether convolutions of integers multiply several rows at once at each position.

    What the sums at a position read is copied to one place first, zeros beyond the border too.
    """
    return _share(network, patchable) >= _WORTH_PATCHES


def _share(network: Network, which: Callable[[Product], bool]) -> float:
    """The share of the products of a network that some layers have."""
    products = [one for one in network.layers if isinstance(one, Product)]
    counts = [one.weights.used.size * one.window.sums[0] * one.window.sums[1] for one in products]
    found = sum(count for one, count in zip(products, counts, strict=True) if which(one))
    return found / max(sum(counts), 1)


def neighbours(layer: Product) -> bool:
    """Whether the inputs of a sum lie one after the other."""
    window = layer.window
    whole = window.kernel == (window.height, window.width)
    neighbours = whole or (window.channels == 1 and window.kernel[0] == 1)
    neighbours = neighbours and window.dilations == (1, 1) and not window.padded
    return neighbours and layer.pool is None and window.sums[0] == 1


def takes_rows_at_once(layer: Product) -> bool:
    """Whether several rows of this layer may be multiplied at once."""
    window = layer.window
    alone = neighbours(layer) and window.sums == (1, 1) and window.groups == 1 and window.start == 0
    plain = layer.other is None and not layer.signs and window.channel_step == 1
    return alone and plain and layer.weights.shape[0] >= AT_ONCE


def patchable(layer: Product) -> bool:
    """Whether a convolution has integers that are used where they lie, and rows for one patch."""
    rows, window = layer.weights.shape[0], layer.window
    plane = window.sums[0] * window.sums[1]
    in_order = (window.channel_step, window.position_step) == (plane, 1)
    in_order = in_order and window.start == window.row_gap == 0 and window.groups == 1
    # A sum is written over what is added, so no row may be computed twice.
    fits = rows >= AT_ONCE and (layer.other is None or rows % AT_ONCE == 0)
    dense = layer.zero is not None and layer.weights.used.mean() >= DENSE
    plain = layer.pool is None and not layer.signs and not neighbours(layer)
    return bool(dense) and plain and fits and in_order
