"""ONNX's quantized operators in torch: rounding to a grid, and products of integers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from shoestring.kit.importing.operators.convolution import TABLE as CONVOLUTIONS
from shoestring.kit.importing.operators.operator import TYPES, Attributes, Operator, UnservedError

_LIMITS = {
    torch.uint8: (0, 255),
    torch.int8: (-128, 127),
    torch.uint16: (0, 65535),
    torch.int16: (-32768, 32767),
}


def _spread(a: Attributes, numbers: Any, value: Tensor) -> Any:
    """Scales or zero points in a shape that broadcasts.

    There is one for all, one for each slice of an axis, or one for each block of it.
    """
    if numbers is None or numbers.numel() == 1:
        return None if numbers is None else numbers.reshape(())
    axis, size = a("axis", 1) % value.ndim, a("block_size", 0)
    if size:
        return numbers.repeat_interleave(size, axis).narrow(axis, 0, value.shape[axis])
    return numbers.reshape([-1 if at == axis else 1 for at in range(value.ndim)])


def _quantised(a: Attributes, value: Tensor, scale: Tensor, zero: Any = None) -> Tensor:
    kind = (
        TYPES[a("output_dtype")]
        if a("output_dtype")
        else torch.uint8
        if zero is None
        else zero.dtype
    )
    if kind not in _LIMITS:
        raise UnservedError(f"QuantizeLinear to {kind}")
    precise = TYPES[a("precision")] if a("precision") else None
    scale = _spread(a, scale, value)
    ratio = value / scale if precise is None else value.to(precise) / scale.to(precise)
    rounded = torch.round(
        ratio.float() if ratio.dtype in (torch.float16, torch.bfloat16) else ratio
    )
    if zero is not None:
        rounded = rounded + _spread(a, zero.to(torch.int32), value)
    return torch.clamp(rounded, *_LIMITS[kind]).to(torch.int32).to(kind)


def _dequantised(a: Attributes, value: Tensor, scale: Tensor, zero: Any = None) -> Tensor:
    integers = value.to(torch.int32)
    if zero is not None:
        integers = integers - _spread(a, zero.to(torch.int32), value)
    kind = TYPES[a("output_dtype")] if a("output_dtype") else scale.dtype
    return (integers.to(torch.float32) * _spread(a, scale.to(torch.float32), value)).to(kind)


def rounded(a: Attributes, value: Tensor, scale: Tensor, zero: Any = None) -> Tensor:
    """A value rounded to a grid, in floating point.

    Its gradient is that of clipping alone, as if nothing were rounded.
    """
    on_grid = _dequantised(a, _quantised(a, value, scale, zero), scale, zero)
    if not (torch.is_grad_enabled() and value.requires_grad):
        return on_grid
    low, high = _LIMITS[torch.uint8 if zero is None else zero.dtype]
    shift = 0.0 if zero is None else _spread(a, zero.float(), value)
    shaped_scale = _spread(a, scale, value)
    clipped = torch.clamp(value, (low - shift) * shaped_scale, (high - shift) * shaped_scale)
    return clipped + (on_grid - clipped).detach()


def _dynamic(_: Attributes, value: Tensor) -> Any:
    low, high = value.amin().clamp_max(0), value.amax().clamp_min(0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = torch.round(torch.clamp(-low / scale, 0, 255))
    integers = torch.clamp(torch.round(value / scale) + zero, 0, 255)
    return integers.to(torch.uint8), scale, zero.to(torch.uint8)


def _centred(value: Tensor, zero: Any, along: int) -> Tensor:
    """Integers minus their zero point, in float64, which holds any sum of products exactly.

    `along`: the axis along which there are several zero points.
    """
    integers = value.to(torch.float64)
    if zero is None:
        return integers
    if zero.numel() > 1 and zero.ndim == 1:
        zero = zero.reshape(
            [-1 if at == along % integers.ndim else 1 for at in range(integers.ndim)]
        )
    return integers - zero.to(torch.float64)


def _product(_: Attributes, a: Tensor, b: Tensor, a_zero: Any = None, b_zero: Any = None) -> Tensor:
    total = torch.matmul(_centred(a, a_zero, -2), _centred(b, b_zero, -1))
    return total.to(torch.int64).to(torch.int32)


def _convolution(
    a: Attributes, value: Tensor, weight: Tensor, zero: Any = None, weight_zero: Any = None
) -> Tensor:
    total = CONVOLUTIONS["Conv"].call(a, _centred(value, zero, 0), _centred(weight, weight_zero, 0))
    return total.to(torch.int64).to(torch.int32)


def _requantised(total: Tensor, ratio: Tensor, zero: Tensor) -> Tensor:
    rounded = torch.round(total * ratio) + zero.to(total.dtype)
    return torch.clamp(rounded, *_LIMITS[zero.dtype]).to(torch.int32).to(zero.dtype)


def _quantised_product(
    _: Attributes,
    a: Tensor,
    a_scale: Tensor,
    a_zero: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero: Tensor,
    scale: Tensor,
    zero: Tensor,
) -> Tensor:
    total = torch.matmul(_centred(a, a_zero, -2), _centred(b, b_zero, -1))
    rows = (
        a_scale.double().reshape(-1, 1)
        if a_scale.numel() > 1 and a_scale.ndim == 1
        else a_scale.double()
    )
    return _requantised(total, rows * b_scale.double() / scale.double(), zero)


def _quantised_convolution(
    a: Attributes,
    value: Tensor,
    value_scale: Tensor,
    value_zero: Tensor,
    weight: Tensor,
    weight_scale: Tensor,
    weight_zero: Tensor,
    scale: Tensor,
    zero: Tensor,
    bias: Any = None,
) -> Tensor:
    wide = _centred(value, value_zero, 0), _centred(weight, weight_zero, 0)
    total = CONVOLUTIONS["Conv"].call(a, *wide, None if bias is None else bias.double())
    by_channel = (
        weight_scale.double().reshape(-1, *[1] * (weight.ndim - 2))
        if weight_scale.numel() > 1
        else weight_scale.double()
    )
    return _requantised(total, value_scale.double() * by_channel / scale.double(), zero)


TABLE: dict[str, Operator] = {
    "ConvInteger": Operator(_convolution),
    "DequantizeLinear": Operator(_dequantised),
    "DynamicQuantizeLinear": Operator(_dynamic),
    "MatMulInteger": Operator(_product),
    "QLinearConv": Operator(_quantised_convolution),
    "QLinearMatMul": Operator(_quantised_product),
    "QuantizeLinear": Operator(_quantised),
}
