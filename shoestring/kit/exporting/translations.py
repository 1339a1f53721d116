"""How torch's exporter writes operators that it does not know, or writes as files cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset20 as operators

from shoestring.kit import quantised as _quantised  # noqa: F401  registers the operator on_grid
from shoestring.kit.exporting import embedding_bag


def translations() -> dict[Any, Callable]:
    """The function that writes each operator of torch in ONNX's operators.

    These are activations on grids and embedding bags.
    """
    return {torch.ops.shoestring.on_grid.default: _on_grid} | embedding_bag.translations()


def _on_grid(value: Any, scale: Any, zero: Any) -> Any:
    """QuantizeLinear and DequantizeLinear, which `lowering.py` completes."""
    return operators.DequantizeLinear(operators.QuantizeLinear(value, scale, zero), scale, zero)  # pyright: ignore[reportArgumentType]
