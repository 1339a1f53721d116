"""Functions of torch that are layers: the axis of their channels, their arguments by name."""

from __future__ import annotations

from typing import Any

LAYERS = {
    "linear": 0,
    "conv1d": 1,
    "conv2d": 2,
    "conv3d": 3,
    "conv_transpose1d": 1,
    "conv_transpose2d": 2,
    "conv_transpose3d": 3,
}
"""The functions of layers, each with the number of axes that follow the axis of the channels."""

ESCAPES = ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__", "__array__")
"""Functions that take values out of tensors, into Python."""


def given_to(name: str, args: tuple, kwargs: dict) -> dict[str, Any]:
    """The arguments of a layer's function, by name."""
    order = (
        ("output_padding", "groups", "dilation") if "transpose" in name else ("dilation", "groups")
    )
    return (
        dict(zip(("input", "weight", "bias", "stride", "padding", *order), args, strict=False))
        | kwargs
    )
