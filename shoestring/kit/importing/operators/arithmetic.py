"""ONNX's arithmetic as torch's.

Element by element, with what is known of shapes computed as plain numbers.
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


def _divided(one: Tensor, other: Tensor) -> Tensor:
    """Whole numbers are cut towards zero."""
    kind = type_of(one)
    exact = kind is None or kind.is_floating_point
    return torch.div(one, other) if exact else torch.div(one, other, rounding_mode="trunc")


def _divided_numbers(one: Array, other: Array) -> Any:
    if one.dtype.kind == "f" or other.dtype.kind == "f":
        return np.divide(one, other)
    if one.dtype == object or other.dtype == object:  # sizes, which are not below zero
        return np.floor_divide(one, other)
    return np.where((one < 0) != (other < 0), -(abs(one) // abs(other)), abs(one) // abs(other))


def _modulo(a: Attributes, one: Tensor, other: Tensor) -> Tensor:
    function = torch.fmod if a("fmod", 0) else torch.remainder
    return widened(function)(one, other)


def _power(one: Tensor, other: Tensor) -> Tensor:
    kind = type_of(one)
    answer = torch.pow(one, other)
    return answer if kind is None or answer.dtype == kind else answer.to(kind)


def _shifted(a: Attributes, one: Tensor, other: Tensor) -> Tensor:
    kind = one.dtype
    if kind in UNSIGNED or kind == torch.uint8:
        one, other = one.to(torch.int64), other.to(torch.int64)
    if a("direction") == "LEFT":
        return torch.bitwise_left_shift(one, other).to(kind)
    if kind == torch.uint64:  # the sign bit is a bit like the others
        most = (1 << 63) - 1
        moved = torch.bitwise_right_shift(
            torch.bitwise_right_shift(one, 1) & most, (other - 1).clamp_min(0)
        )
        return torch.where(other == 0, one, moved).to(kind)
    return torch.bitwise_right_shift(one, other).to(kind)


def _ordered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A comparison, of unsigned numbers of 64 bits too.

    Their highest bit is turned, so that signed ones are in the same order.
    """

    def call(one: Any, other: Any) -> Any:
        kind = type_of(one)
        if kind in UNSIGNED:
            one, other = (value.to(torch.int64) for value in (one, other))
            if kind == torch.uint64:
                one, other = (value ^ torch.iinfo(torch.int64).min for value in (one, other))
        answer = function(one, other)
        if kind == torch.uint64 and answer.dtype == torch.int64:
            answer = answer ^ torch.iinfo(torch.int64).min
        return answer.to(kind) if kind in UNSIGNED and answer.dtype != torch.bool else answer

    return call


def _equal(one: Tensor, other: Tensor) -> Tensor:
    if type_of(one) in UNSIGNED:
        one, other = one.to(torch.int64), other.to(torch.int64)
    return torch.eq(one, other)


def _chained(function: Callable[..., Any], of_numbers: Callable[..., Any]) -> Operator:
    """A function of two, of as many as there are."""
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
    if low is not None and high is not None and low > high:  # then everything is the upper one
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
    """Of another type: what is no truth value is one where it is not zero, and fractions are cut
    off.
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
    if kind is not None and kind.kind == "f":
        return np.array([torch.sym_float(one) for one in value.reshape(-1)], object).reshape(
            value.shape
        )
    if kind is not None and kind.kind in "iu":
        return np.array([torch.sym_int(one) for one in value.reshape(-1)], object).reshape(
            value.shape
        )
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


def _sum(one: Tensor, other: Tensor) -> Tensor:
    return widened(torch.add)(one, other)


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
    "CastLike": Operator(lambda _, value, other: converted(value, other.dtype)),
    "Ceil": plain(torch.ceil, numpy=_kept_type(math.ceil)),
    "Clip": Operator(_clip, known=(1, 2)),
    "Cos": plain(torch.cos),
    "Cosh": plain(torch.cosh),
    "Div": plain(widened(_divided), numpy=_divided_numbers),
    "Equal": plain(_equal, numpy=lambda one, other: np.frompyfunc(operator.eq, 2, 1)(one, other)),
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
        of_numbers=lambda a, one, other: settled((np.fmod if a("fmod", 0) else np.mod)(one, other)),
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
