"""ONNX's arithmetic, element by element, as torch functions.

Numbers that are known, such as shapes, are computed in numpy.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shoestring.kit.importing.operators.operator import (
    NUMPY_TYPES,
    TYPES,
    UNSIGNED,
    Array,
    Attributes,
    Operator,
    as_tensor,
    plain,
    settled,
    type_of,
    widened,
)


def _divided(dividend: Tensor, divisor: Tensor) -> Tensor:
    """Division, in which integers are rounded towards zero."""
    kind = type_of(dividend)
    is_float = kind is None or kind.is_floating_point
    return (
        torch.div(dividend, divisor)
        if is_float
        else torch.div(dividend, divisor, rounding_mode="trunc")
    )


def _divided_numbers(dividend: Array, divisor: Array) -> Any:
    if dividend.dtype.kind == "f" or divisor.dtype.kind == "f":
        return np.divide(dividend, divisor)
    if dividend.dtype == object or divisor.dtype == object:  # sizes, which are not negative
        return np.floor_divide(dividend, divisor)
    return np.where(
        (dividend < 0) != (divisor < 0),
        -(abs(dividend) // abs(divisor)),
        abs(dividend) // abs(divisor),
    )


def _modulo(a: Attributes, left: Tensor, right: Tensor) -> Tensor:
    function = torch.fmod if a("fmod", 0) else torch.remainder
    return widened(function)(left, right)


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    kind = type_of(base)
    power = torch.pow(base, exponent)
    return power if kind is None or power.dtype == kind else power.to(kind)


def _shifted(a: Attributes, value: Tensor, bits: Tensor) -> Tensor:
    kind = value.dtype
    if kind in UNSIGNED or kind == torch.uint8:
        value, bits = value.to(torch.int64), bits.to(torch.int64)
    if a("direction") == "LEFT":
        return torch.bitwise_left_shift(value, bits).to(kind)
    if kind == torch.uint64:  # an arithmetic shift would repeat the highest bit
        mask = (1 << 63) - 1
        moved = torch.bitwise_right_shift(
            torch.bitwise_right_shift(value, 1) & mask, (bits - 1).clamp_min(0)
        )
        return torch.where(bits == 0, value, moved).to(kind)
    return torch.bitwise_right_shift(value, bits).to(kind)


def _ordered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A comparison that also works on unsigned integers, which torch does not compare.

    In 64 bits the highest bit is flipped, which gives signed integers in the same order.
    """

    def call(left: Any, right: Any) -> Any:
        kind = type_of(left)
        if kind in UNSIGNED:
            left, right = (value.to(torch.int64) for value in (left, right))
            if kind == torch.uint64:
                left, right = (value ^ torch.iinfo(torch.int64).min for value in (left, right))
        answer = function(left, right)
        if kind == torch.uint64 and answer.dtype == torch.int64:
            answer = answer ^ torch.iinfo(torch.int64).min
        return answer.to(kind) if kind in UNSIGNED and answer.dtype != torch.bool else answer

    return call


def _equal(left: Tensor, right: Tensor) -> Tensor:
    if type_of(left) in UNSIGNED:
        left, right = left.to(torch.int64), right.to(torch.int64)
    return torch.eq(left, right)


def _chained(function: Callable[..., Any], of_numbers: Callable[..., Any]) -> Operator:
    """A function of two arguments, applied in turn to any number of them."""
    return Operator(
        lambda _, *values: reduce(function, values),
        of_numbers=lambda _, *values: settled(reduce(of_numbers, values)),
    )


def _mean(_: Attributes, *values: Tensor) -> Tensor:
    return torch.div(reduce(torch.add, values), len(values))


def _clip(a: Attributes, value: Tensor, low: Any = None, high: Any = None) -> Tensor:
    low = a("min") if low is None else low.item()
    high = a("max") if high is None else high.item()
    kind = type_of(value)
    if low is None and high is None:
        return value
    if kind in UNSIGNED:
        return value.to(torch.int64).clamp(low, high).to(kind)
    if low is not None and high is not None and low > high:  # then all values become `high`
        low = high
    return torch.clamp(value, low, high)


def _is_infinite(a: Attributes, value: Tensor) -> Tensor:
    up, down = a("detect_positive", 1), a("detect_negative", 1)
    if up and down:
        return torch.isinf(value)
    infinite = torch.isposinf(value) if up else torch.isneginf(value)
    return infinite if up or down else torch.zeros_like(infinite)


def _cast(a: Attributes, value: Tensor) -> Tensor:
    return converted(value, TYPES[a("to")])


def converted(value: Tensor, kind: torch.dtype) -> Tensor:
    """A tensor of another type.

    As bool a number is True where it is not zero; as an integer it loses its fraction.
    """
    have = type_of(value)
    if (
        have is not None
        and have.is_floating_point
        and kind in (torch.uint8, torch.int8, torch.uint16, torch.int16)
    ):
        value = value.to(torch.int32)
    elif have is not None and have.is_floating_point and kind in UNSIGNED:
        value = value.to(torch.int64)
    return value if have == kind else value.to(kind)


def _cast_numbers(a: Attributes, value: Array) -> Any:
    kind = NUMPY_TYPES.get(a("to"))
    if value.dtype != object:
        return value.astype(kind) if kind is not None else as_tensor(value).to(TYPES[a("to")])
    if kind is not None and kind.kind in "fiu":
        cast = torch.sym_float if kind.kind == "f" else torch.sym_int
        return np.array([cast(number) for number in value.reshape(-1)], object).reshape(value.shape)
    return as_tensor(value).to(TYPES[a("to")])


def _bit_cast(a: Attributes, value: Tensor) -> Tensor:
    return value.contiguous().view(TYPES[a("to")])


def _rounded(value: Tensor) -> Tensor:
    return torch.round(value)  # half to even, as ONNX has it


def _each(function: Callable[[Any], Any]) -> Callable[[Array], Any]:
    made = np.frompyfunc(function, 1, 1)
    return lambda value: np.asarray(made(value), object)


def _kept_type(function: Callable[[Any], Any]) -> Callable[[Array], Any]:
    each = _each(function)

    def call(value: Array) -> Any:
        answer = each(value)
        return answer.astype(value.dtype) if value.dtype != object else answer

    return call


def _sign(value: Tensor) -> Tensor:
    return (value != 0).to(value.dtype) if type_of(value) in UNSIGNED else torch.sign(value)


def _absolute(value: Tensor) -> Tensor:
    return value if type_of(value) in UNSIGNED else torch.abs(value)


def _sum(left: Tensor, right: Tensor) -> Tensor:
    return widened(torch.add)(left, right)


_AND, _OR, _XOR, _NOT = torch.bitwise_and, torch.bitwise_or, torch.bitwise_xor, torch.bitwise_not

TABLE: dict[str, Operator] = {
    "Abs": plain(_absolute, numpy=np.abs),
    "Acos": plain(torch.acos),
    "Acosh": plain(torch.acosh),
    "Add": plain(_sum, numpy=np.add),
    "And": plain(torch.logical_and, numpy=np.logical_and),
    "Asin": plain(torch.asin),
    "Asinh": plain(torch.asinh),
    "Atan": plain(torch.atan),
    "Atanh": plain(torch.atanh),
    "BitCast": Operator(_bit_cast),
    "BitShift": Operator(_shifted),
    "BitwiseAnd": plain(widened(_AND)),
    "BitwiseNot": plain(widened(_NOT)),
    "BitwiseOr": plain(widened(_OR)),
    "BitwiseXor": plain(widened(_XOR)),
    "Cast": Operator(_cast, of_numbers=_cast_numbers),
    "CastLike": Operator(lambda _, value, like: converted(value, like.dtype)),
    "Ceil": plain(torch.ceil, numpy=_kept_type(math.ceil)),
    "Clip": Operator(_clip, known=(1, 2)),
    "Cos": plain(torch.cos),
    "Cosh": plain(torch.cosh),
    "Div": plain(widened(_divided), numpy=_divided_numbers),
    "Equal": plain(_equal, numpy=lambda left, right: np.frompyfunc(operator.eq, 2, 1)(left, right)),
    "Erf": plain(torch.erf),
    "Exp": plain(torch.exp),
    "Floor": plain(torch.floor, numpy=_kept_type(math.floor)),
    "Greater": plain(_ordered(torch.gt), numpy=np.greater),
    "GreaterOrEqual": plain(_ordered(torch.ge), numpy=np.greater_equal),
    "Identity": plain(lambda value: value, numpy=lambda value: value),
    "IsInf": Operator(_is_infinite),
    "IsNaN": plain(torch.isnan),
    "Less": plain(_ordered(torch.lt), numpy=np.less),
    "LessOrEqual": plain(_ordered(torch.le), numpy=np.less_equal),
    "Log": plain(torch.log),
    "Max": _chained(_ordered(torch.maximum), np.maximum),
    "Mean": Operator(_mean),
    "Min": _chained(_ordered(torch.minimum), np.minimum),
    "Mod": Operator(
        _modulo,
        of_numbers=lambda a, left, right: settled(
            (np.fmod if a("fmod", 0) else np.mod)(left, right)
        ),
    ),
    "Mul": plain(widened(torch.mul), numpy=np.multiply),
    "Neg": plain(torch.neg, numpy=np.negative),
    "Not": plain(torch.logical_not, numpy=np.logical_not),
    "Or": plain(torch.logical_or, numpy=np.logical_or),
    "Pow": plain(_power),
    "Reciprocal": plain(torch.reciprocal),
    "Round": plain(_rounded),
    "Sign": plain(_sign),
    "Sin": plain(torch.sin),
    "Sinh": plain(torch.sinh),
    "Sqrt": plain(torch.sqrt),
    "Sub": plain(widened(torch.sub), numpy=np.subtract),
    "Sum": _chained(_sum, np.add),
    "Tan": plain(torch.tan),
    "Tanh": plain(torch.tanh),
    "Where": plain(torch.where, numpy=np.where),
    "Xor": plain(torch.logical_xor, numpy=np.logical_xor),
}
