"""One table of the torch function for each ONNX operator that a file may hold."""

from __future__ import annotations

from shoestring.kit.importing.operators import (
    activation,
    arithmetic,
    attention,
    convolution,
    image,
    index,
    quantised,
    recurrent,
    reduction,
    shape,
    signal,
)
from shoestring.kit.importing.operators.operator import Operator

OF_LAYERS = ("Dropout",)
"""Operators that only a module serves, because they act otherwise in training."""
SERVED: dict[str, Operator] = {
    **activation.TABLE,
    **arithmetic.TABLE,
    **attention.TABLE,
    **convolution.TABLE,
    **image.TABLE,
    **index.TABLE,
    **quantised.TABLE,
    **recurrent.TABLE,
    **reduction.TABLE,
    **shape.TABLE,
    **signal.TABLE,
}

FUNCTIONS: dict[str, Operator] = {
    **SERVED,
    "Rounding": Operator(quantised.rounded),
    "ToldDropout": Operator(activation.told_to_drop),
}
"""All functions: besides the operators, those for several nodes or for a special case."""
