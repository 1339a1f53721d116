"""How torch's exporter writes operators that it does not know, or writes as files cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset20 as operators

from shoestring.kit import quantised as _quantised  # noqa: F401  registers the operator on_grid
from shoestring.kit.exporting import embedding_bag
from shoestring.kit.routing import rows as _rows  # noqa: F401  registers rows_where and places


def translations() -> dict[Any, Callable]:
    """The function that writes each operator of torch in ONNX's operators.

    These are activations on grids, embedding bags, and rows that are chosen and put back.
    """
    ours = torch.ops.shoestring
    own = {
        ours.on_grid.default: _on_grid,
        ours.rows_where.default: _rows_where,
        ours.places.default: _places,
    }
    return own | embedding_bag.translations()


def _on_grid(value: Any, scale: Any, zero: Any) -> Any:
    """QuantizeLinear and DequantizeLinear, which `lowering.py` completes."""
    return operators.DequantizeLinear(operators.QuantizeLinear(value, scale, zero), scale, zero)  # pyright: ignore[reportArgumentType]


def _rows_where(rows: Any, chosen: Any) -> Any:
    return operators.Compress(rows, chosen, axis=0)


def _places(part_of: Any) -> Any:
    """Where each row is in the parts: TopK gives equal numbers in the order of their indices."""
    to: Any = operators
    count = to.Shape(part_of)
    _, order = to.TopK(part_of, count, axis=0, largest=0, sorted=1)
    _, place = to.TopK(order, count, axis=0, largest=0, sorted=1)
    return place
