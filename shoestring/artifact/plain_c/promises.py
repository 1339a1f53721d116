"""Which layers of a C file are not promised to give what ONNX Runtime gives, bit for bit."""

from __future__ import annotations

import numpy as np

from shoestring.artifact.plain_c.layers import (
    Layer,
    Multiply,
    Network,
    Normalize,
    Pointwise,
    Product,
    Reduce,
    Softmax,
    Windowed,
)

_NAMED = 6
"""How many layers a sentence names."""


def not_promised(network: Network) -> list[str]:
    """A sentence for each reason, with the layers that it is true of."""
    signed, limited, floats = [], [], []
    for layer in network.layers:
        if isinstance(layer, Product) and layer.zero is not None:
            if layer.rescale is not None and network.buffers[layer.source].kind == "int8_t":
                signed.append(layer.name)
            elif layer.rescale is None and _more_than_a_factor(layer):
                limited.append(layer.name)
        elif _in_floats(layer):
            floats.append(layer.name)
    reasons = (
        (signed, "read signed integers, which ONNX Runtime may compute in floats"),
        (limited, "make floats of integers, which ONNX Runtime may do in another order"),
        (floats, "compute in floats, which may be rounded in another order"),
    )
    return [
        f"Not promised bit for bit, since these layers {why}: {_listed(names)}."
        for names, why in reasons
        if names
    ]


def _more_than_a_factor(layer: Product) -> bool:
    """Whether a sum becomes a float by more than its factor."""
    limits = np.isfinite(layer.low) or np.isfinite(layer.high)
    return bool(limits) or layer.pool is not None or layer.after is not None


def _in_floats(layer: Layer) -> bool:
    """Whether the order of operations on floats matters to a layer."""
    if isinstance(layer, Product | Multiply | Normalize | Softmax):
        return True
    if isinstance(layer, Reduce):
        return layer.rescale is None and layer.how in ("mean", "sum")
    if isinstance(layer, Windowed):
        return layer.how == "mean"
    if isinstance(layer, Pointwise):
        return any("math" in term.needs for term in layer.terms) or len(layer.terms) > 2
    return False


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
