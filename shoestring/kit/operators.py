"""One table of what torch does for each operator of ONNX that a file may hold."""

from __future__ import annotations

from shoestring.kit import (
    operators_activation,
    operators_arithmetic,
    operators_attention,
    operators_convolution,
    operators_image,
    operators_index,
    operators_quantised,
    operators_recurrent,
    operators_reduction,
    operators_shape,
    operators_signal,
)
from shoestring.kit.operator import Operator

OF_LAYERS = ("Dropout",)
"""What only a module does, because it is another thing in training."""
SERVED: dict[str, Operator] = {
    **operators_activation.TABLE,
    **operators_arithmetic.TABLE,
    **operators_attention.TABLE,
    **operators_convolution.TABLE,
    **operators_image.TABLE,
    **operators_index.TABLE,
    **operators_quantised.TABLE,
    **operators_recurrent.TABLE,
    **operators_reduction.TABLE,
    **operators_shape.TABLE,
    **operators_signal.TABLE,
}

FUNCTIONS: dict[str, Operator] = {
    **SERVED,
    "Rounding": Operator(operators_quantised.rounded),
    "ToldDropout": Operator(operators_activation.told_to_drop),
}
"""And what several nodes are together, or nodes in a special case."""
