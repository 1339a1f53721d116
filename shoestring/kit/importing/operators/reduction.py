"""ONNX's reductions, matrix products and normalizations as torch functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.operator import (
    UNSIGNED,
    Array,
    Attributes,
    Operator,
    plain,
    settled,
    type_of,
)


def _over(
    function: Callable[..., Tensor], of_numbers: Callable[..., Any] | None = None
) -> Operator:
    """A reduction over the axes of an input, or of an attribute before opsets 13 and 18.

    Without axes it is over all of them.
    """

    def axes_of(a: Attributes, axes: Any) -> list[int] | None:
        given = a("axes") if axes is None else axes.reshape(-1).tolist()
        return None if given is None or not len(given) else [int(axis) for axis in given]

    def call(a: Attributes, value: Tensor, axes: Any = None) -> Tensor:
        chosen, keeps = axes_of(a, axes), bool(a("keepdims", 1))
        if chosen is None and a("noop_with_empty_axes", 0):
            return function(value[None], (0,), False)
        chosen = list(range(value.ndim)) if chosen is None else chosen
        if not chosen:  # a scalar
            return function(value[None], (0,), False)
        kind = type_of(value)
        answer = function(
            value.to(torch.int64) if kind in UNSIGNED else value, tuple(chosen), keeps
        )
        return answer if kind is None or answer.dtype == kind else answer.to(kind)

    def call_numbers(a: Attributes, value: Array, axes: Any = None) -> Any:
        chosen = axes_of(a, axes)
        if chosen is None and a("noop_with_empty_axes", 0):
            return value
        assert of_numbers is not None
        return settled(
            of_numbers(
                value,
                axis=None if chosen is None else tuple(chosen),
                keepdims=bool(a("keepdims", 1)),
            )
        )

    return Operator(call, known=(1,), of_numbers=None if of_numbers is None else call_numbers)


def _product(value: Tensor, axes: tuple[int, ...], keeps: bool) -> Tensor:
    for axis in sorted((axis % value.ndim for axis in axes), reverse=True):
        value = torch.prod(value, axis, keepdim=keeps)
    return value


def _logarithm_of_exponentials(value: Tensor, axes: tuple[int, ...], keeps: bool) -> Tensor:
    return torch.logsumexp(value if value.is_floating_point() else value.float(), axes, keeps)


def _mean(value: Tensor, axes: tuple[int, ...], keeps: bool) -> Tensor:
    kind = type_of(value)
    is_float = kind is None or kind.is_floating_point
    return torch.mean(value, axes, keeps) if is_float else torch.mean(value.double(), axes, keeps)


def _root_of_squares(value: Tensor, axes: tuple[int, ...], keeps: bool) -> Tensor:
    kind = type_of(value)
    is_float = kind is None or kind.is_floating_point
    squares = torch.sum(torch.square(value if is_float else value.double()), axes, keepdim=keeps)
    return torch.sqrt(squares)


def _extreme(function: Callable[..., Tensor], worst: float) -> Callable[..., Tensor]:
    """A maximum or minimum; over no numbers it is the least or greatest number of the type."""

    def call(value: Tensor, axes: tuple[int, ...], keeps: bool) -> Tensor:
        if all(value.shape[axis] for axis in axes):
            return function(value, axes, keeps)
        if value.dtype == torch.bool:
            number: float = worst > 0
        elif value.dtype.is_floating_point:
            number = worst
        else:
            limits = torch.iinfo(value.dtype)
            number = limits.max if worst > 0 else limits.min
        sizes = [
            1 if at in [axis % value.ndim for axis in axes] else size
            for at, size in enumerate(value.shape)
        ]
        filled = value.new_full(sizes, number)
        return filled if keeps else filled.squeeze(axes)

    return call


# -- products


def _gemm(a: Attributes, left: Tensor, right: Tensor, added: Any = None) -> Tensor:
    left = left.T if a("transA", 0) else left
    right = right.T if a("transB", 0) else right
    answer = torch.matmul(left, right)
    alpha, beta = a("alpha", 1.0), a("beta", 1.0)
    answer = answer if alpha == 1 else answer * alpha
    if added is None:
        return answer
    return torch.add(answer, added if beta == 1 else added * beta).to(answer.dtype)


def _einsum(a: Attributes, *values: Tensor) -> Tensor:
    return torch.einsum(a("equation"), *values)


# -- normalisations


def _layer(a: Attributes, value: Tensor, scale: Tensor, shift: Any = None) -> Any:
    axis, kind = a("axis", -1) % value.ndim, value.dtype
    axes = tuple(range(axis, value.ndim))
    wide = value.float() if kind != torch.float64 else value  # as `stash_type` demands
    mean = wide.mean(axes, keepdim=True)
    inverse = torch.rsqrt((wide - mean).square().mean(axes, keepdim=True) + a("epsilon", 1e-5))
    answer = ((wide - mean) * inverse).to(kind) * scale
    answer = answer if shift is None else answer + shift
    return (answer, mean, inverse)[: a.outputs] if a.outputs > 1 else answer


def _root_mean_square(a: Attributes, value: Tensor, scale: Tensor) -> Tensor:
    axes, kind = tuple(range(a("axis", -1) % value.ndim, value.ndim)), value.dtype
    wide = value.float() if kind != torch.float64 else value
    inverse = torch.rsqrt(wide.square().mean(axes, keepdim=True) + a("epsilon", 1e-5))
    return (wide * inverse).to(kind) * scale


def _group(a: Attributes, value: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    groups = a("num_groups")
    if a.opset >= 21:  # before, there was a scale and a shift for each group
        return functional.group_norm(value, groups, scale, shift, a("epsilon", 1e-5))
    each = value.shape[1] // groups
    return functional.group_norm(
        value,
        groups,
        scale.repeat_interleave(each),
        shift.repeat_interleave(each),
        a("epsilon", 1e-5),
    )


def _instance(a: Attributes, value: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return functional.instance_norm(value, None, None, scale, shift, True, 0.0, a("epsilon", 1e-5))


def _batch(
    a: Attributes, value: Tensor, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor
) -> Any:
    if not a("training_mode", 0):
        return functional.batch_norm(
            value, mean, variance, scale, shift, False, 0.0, a("epsilon", 1e-5)
        )
    axes, momentum = tuple(at for at in range(value.ndim) if at != 1), a("momentum", 0.9)
    batch_mean = value.mean(axes)
    batch_variance = value.var(axes, correction=0)
    answer = functional.batch_norm(value, None, None, scale, shift, True, 0.0, a("epsilon", 1e-5))
    return (
        answer,
        mean * momentum + batch_mean * (1 - momentum),
        variance * momentum + batch_variance * (1 - momentum),
    )


def _mean_variance(a: Attributes, value: Tensor) -> Tensor:
    axes = tuple(a("axes", (0, 2, 3)))
    mean = value.mean(axes, keepdim=True)
    deviation = (value.square().mean(axes, keepdim=True) - mean.square()).sqrt()
    return (value - mean) / (deviation + 1e-9)


def _length(a: Attributes, value: Tensor) -> Tensor:
    axis, p = a("axis", -1), a("p", 2)
    length = (
        value.abs().sum(axis, keepdim=True)
        if p == 1
        else value.square().sum(axis, keepdim=True).sqrt()
    )
    return torch.where(length == 0, torch.zeros_like(value), value / length)


def _local_response(a: Attributes, value: Tensor) -> Tensor:
    size = a("size")
    before = (size - 1) // 2
    squares = functional.pad(value.square().movedim(1, -1), (before, size - 1 - before))
    total = squares.unfold(-1, size, 1).sum(-1).movedim(-1, 1)
    return value / (a("bias", 1.0) + a("alpha", 1e-4) / size * total) ** a("beta", 0.75)


TABLE: dict[str, Operator] = {
    "BatchNormalization": Operator(_batch),
    "Det": plain(torch.linalg.det),
    "Einsum": Operator(_einsum),
    "Gemm": Operator(_gemm),
    "GroupNormalization": Operator(_group),
    "InstanceNormalization": Operator(_instance),
    "LRN": Operator(_local_response),
    "LayerNormalization": Operator(_layer),
    "LpNormalization": Operator(_length),
    "MatMul": plain(torch.matmul),
    "MeanVarianceNormalization": Operator(_mean_variance),
    "RMSNormalization": Operator(_root_mean_square),
    "ReduceL1": _over(lambda value, axes, keeps: torch.sum(torch.abs(value), axes, keepdim=keeps)),
    "ReduceL2": _over(_root_of_squares),
    "ReduceLogSum": _over(
        lambda value, axes, keeps: torch.log(torch.sum(value, axes, keepdim=keeps))
    ),
    "ReduceLogSumExp": _over(_logarithm_of_exponentials),
    "ReduceMax": _over(_extreme(torch.amax, -float("inf")), np.max),
    "ReduceMean": _over(_mean),
    "ReduceMin": _over(_extreme(torch.amin, float("inf")), np.min),
    "ReduceProd": _over(_product, np.prod),
    "ReduceSum": _over(lambda value, axes, keeps: torch.sum(value, axes, keepdim=keeps), np.sum),
    "ReduceSumSquare": _over(
        lambda value, axes, keeps: torch.sum(torch.square(value), axes, keepdim=keeps)
    ),
}
