"""ONNX's convolutions and pools as torch functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.operator import Attributes, Operator, UnservedError

_CONVOLUTIONS = (functional.conv1d, functional.conv2d, functional.conv3d)
_TRANSPOSED = (
    functional.conv_transpose1d,
    functional.conv_transpose2d,
    functional.conv_transpose3d,
)
_MAX_POOLS = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
_AVERAGE_POOLS = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)


def pads_of(
    a: Attributes, sizes: Sequence[Any], kernel: Sequence[int]
) -> tuple[list[Any], list[Any]]:
    """The padding before and after each axis of these sizes, for a window of this kernel."""
    axes, mode = len(kernel), a("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        pads = list(a("pads") or [0] * 2 * axes) if mode == "NOTSET" else [0] * 2 * axes
        return pads[:axes], pads[axes:]
    strides, dilations = a("strides") or [1] * axes, a("dilations") or [1] * axes
    before, after = list[Any](), list[Any]()
    for size, length, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        window = (length - 1) * dilation + 1
        # With a stride of 1 the padding does not depend on the size, which may vary.
        total = (
            window - 1 if stride == 1 else max((-(-size // stride) - 1) * stride + window - size, 0)
        )
        smaller = total // 2
        larger = total - smaller
        before.append(larger if mode == "SAME_LOWER" else smaller)
        after.append(smaller if mode == "SAME_LOWER" else larger)
    return before, after


def flat_pads(before: Sequence[Any], after: Sequence[Any]) -> list[Any]:
    """The padding in torch's order: the last axis first."""
    return [size for pair in zip(reversed(before), reversed(after), strict=True) for size in pair]


def _convolved(a: Attributes, value: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    axes = weight.ndim - 2
    if not 1 <= axes <= 3:
        raise UnservedError(f"a convolution over {axes} axes: torch has those over 1 to 3")
    before, after = pads_of(a, value.shape[2:], weight.shape[2:])
    padding: Any = tuple(before)
    if before != after:
        value, padding = functional.pad(value, flat_pads(before, after)), 0
    strides, dilations = tuple(a("strides") or [1] * axes), tuple(a("dilations") or [1] * axes)
    return _CONVOLUTIONS[axes - 1](value, weight, bias, strides, padding, dilations, a("group", 1))


def _transposed(a: Attributes, value: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    axes = weight.ndim - 2
    if not 1 <= axes <= 3:
        raise UnservedError(
            f"a transposed convolution over {axes} axes: torch has those over 1 to 3"
        )
    strides, dilations = list(a("strides") or [1] * axes), list(a("dilations") or [1] * axes)
    extra, kernel = list(a("output_padding") or [0] * axes), weight.shape[2:]
    wanted, mode = a("output_shape"), a("auto_pad", "NOTSET")
    before, after = (
        pads_of(a, value.shape[2:], kernel)
        if mode in ("NOTSET", "VALID")
        else ([0] * axes, [0] * axes)
    )
    if wanted is not None or mode.startswith("SAME"):
        for axis in range(axes):
            size = value.shape[2 + axis]
            goal = size * strides[axis] if wanted is None else wanted[-axes:][axis]
            total = (
                strides[axis] * (size - 1)
                + extra[axis]
                + (kernel[axis] - 1) * dilations[axis]
                + 1
                - goal
            )
            if total < 0:  # beyond the reach of the window the output is zero
                extra[axis], total = extra[axis] - total, 0
            smaller = total // 2
            before[axis], after[axis] = (
                (total - smaller, smaller) if mode == "SAME_LOWER" else (smaller, total - smaller)
            )
            if mode == "NOTSET":
                before[axis], after[axis] = total - smaller, smaller
    call = _TRANSPOSED[axes - 1]
    if before == after and all(
        size < max(stride, dilation)
        for size, stride, dilation in zip(extra, strides, dilations, strict=True)
    ):
        return call(
            value,
            weight,
            bias,
            tuple(strides),
            tuple(before),
            tuple(extra),
            a("group", 1),
            tuple(dilations),
        )
    full = call(value, weight, None, tuple(strides), 0, 0, a("group", 1), tuple(dilations))
    full = functional.pad(
        full,
        flat_pads(
            [-size for size in before], [far - size for size, far in zip(after, extra, strict=True)]
        ),
    )
    return full if bias is None else full + bias.view(-1, *[1] * axes)


def _completing_padding(
    a: Attributes, sizes: Sequence[Any], before: list[Any], after: list[Any]
) -> list[Any]:
    """The padding after each axis that completes the last window, which begins inside."""
    kernel = a("kernel_shape")
    axes = len(kernel)
    strides, dilations = a("strides") or [1] * axes, a("dilations") or [1] * axes
    padding: list[Any] = []
    for size, first, last, length, stride, dilation in zip(
        sizes, before, after, kernel, strides, dilations, strict=True
    ):
        window = (length - 1) * dilation + 1
        steps = -(-(size + first + last - window) // stride) + 1
        if (steps - 1) * stride >= size + first:
            steps -= 1
        padding.append(max((steps - 1) * stride + window - size - first - last, 0))
    return padding


def _max_pool(a: Attributes, value: Tensor) -> Any:
    kernel = a("kernel_shape")
    axes = len(kernel)
    before, after = pads_of(a, value.shape[2:], kernel)
    strides, dilations = tuple(a("strides") or [1] * axes), tuple(a("dilations") or [1] * axes)
    ceil, kind = bool(a("ceil_mode", 0)), value.dtype if isinstance(value, Tensor) else None
    is_integer = kind is not None and not kind.is_floating_point
    fits = before == after and all(
        2 * pad <= length for pad, length in zip(before, kernel, strict=True)
    )
    if a.outputs == 1 and fits and not is_integer:
        return _MAX_POOLS[axes - 1](value, tuple(kernel), strides, tuple(before), dilations, ceil)
    completing = _completing_padding(a, value.shape[2:], before, after) if ceil else [0] * axes
    flat = flat_pads(before, [pad + extra for pad, extra in zip(after, completing, strict=True)])
    widened = value.double() if is_integer else value
    padded = functional.pad(widened, flat, value=-math.inf)
    answer, indices = _MAX_POOLS[axes - 1](
        padded, tuple(kernel), strides, 0, dilations, False, return_indices=True
    )
    answer = answer.to(value.dtype)
    return (answer, _global_indices(a, value, padded, indices, before)) if a.outputs > 1 else answer


def _global_indices(
    a: Attributes, value: Tensor, padded: Tensor, indices: Tensor, before: Sequence[Any]
) -> Tensor:
    """Indices into the whole tensor, from indices into each padded image."""
    sizes, padded_sizes = value.shape[2:], padded.shape[2:]
    quotient, coordinates = indices, list[Tensor]()
    for size, pad in zip(reversed(padded_sizes), reversed(before), strict=True):
        coordinates.insert(0, quotient % size - pad)
        quotient = quotient // size
    order = range(len(sizes)) if not a("storage_order", 0) else reversed(range(len(sizes)))
    flat = torch.zeros_like(indices)
    for axis in order:
        flat = flat * sizes[axis] + coordinates[axis]
    images = torch.arange(value.shape[0] * value.shape[1], device=value.device) * int(
        np.prod(sizes)
    )
    return flat + images.reshape(*value.shape[:2], *[1] * len(sizes))


def _average_pool(a: Attributes, value: Tensor) -> Tensor:
    kernel = a("kernel_shape")
    axes = len(kernel)
    before, after = pads_of(a, value.shape[2:], kernel)
    strides, dilations = list(a("strides") or [1] * axes), list(a("dilations") or [1] * axes)
    counts, ceil = bool(a("count_include_pad", 0)), bool(a("ceil_mode", 0))
    fits = before == after and all(
        2 * pad <= length for pad, length in zip(before, kernel, strict=True)
    )
    if fits and not ceil and all(dilation == 1 for dilation in dilations):
        return _AVERAGE_POOLS[axes - 1](
            value, tuple(kernel), tuple(strides), tuple(before), False, counts
        )
    completing = _completing_padding(a, value.shape[2:], before, after) if ceil else [0] * axes
    ones = functional.pad(
        torch.ones_like(value[:1, :1]), flat_pads(before, after), value=1.0 if counts else 0.0
    )
    extra = flat_pads([0] * axes, completing)
    total = _window_sums(
        functional.pad(value, flat_pads(before, after)), extra, kernel, strides, dilations
    )
    return total / _window_sums(ones, extra, kernel, strides, dilations)


def _window_sums(
    value: Tensor, extra: list[Any], kernel: Sequence[int], strides: list[int], dilations: list[int]
) -> Tensor:
    """The sum over each window, after `extra` padding with zeros."""
    value = functional.pad(value, extra)
    flat = value.reshape(value.shape[0] * value.shape[1], 1, *value.shape[2:])
    summed = _CONVOLUTIONS[len(kernel) - 1](
        flat, flat.new_ones(1, 1, *kernel), None, tuple(strides), 0, tuple(dilations)
    )
    return summed.reshape(*value.shape[:2], *summed.shape[2:])


def _power_pool(a: Attributes, value: Tensor) -> Tensor:
    kernel, p = a("kernel_shape"), a("p", 2)
    axes = len(kernel)
    before, after = pads_of(a, value.shape[2:], kernel)
    completing = (
        _completing_padding(a, value.shape[2:], before, after) if a("ceil_mode", 0) else [0] * axes
    )
    padded = functional.pad(value.abs() ** p, flat_pads(before, after))
    strides, dilations = list(a("strides") or [1] * axes), list(a("dilations") or [1] * axes)
    return _window_sums(padded, flat_pads([0] * axes, completing), kernel, strides, dilations) ** (
        1 / p
    )


def _over_all(function: Any) -> Operator:
    def call(_: Attributes, value: Tensor) -> Tensor:
        return function(value, tuple(range(2, value.ndim)), True)

    return Operator(call)


def _global_average(_: Attributes, value: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or value.ndim == 4:
        return functional.adaptive_avg_pool2d(value, 1)
    return value.mean(tuple(range(2, value.ndim)), keepdim=True)


def _global_power(a: Attributes, value: Tensor) -> Tensor:
    p = a("p", 2)
    return (value.abs() ** p).sum(tuple(range(2, value.ndim)), keepdim=True) ** (1 / p)


def _unpool(a: Attributes, value: Tensor, indices: Tensor, shape: Any = None) -> Tensor:
    kernel = a("kernel_shape")
    axes = len(kernel)
    strides, pads = a("strides") or [1] * axes, a("pads") or [0] * 2 * axes
    sizes = [
        (size - 1) * stride + length - pads[at] - pads[at + axes]
        for at, (size, stride, length) in enumerate(
            zip(value.shape[2:], strides, kernel, strict=True)
        )
    ]
    full_shape = [*value.shape[:2], *sizes]
    flat = value.new_zeros(int(np.prod(full_shape))).scatter(
        0, indices.reshape(-1).to(torch.int64), value.reshape(-1)
    )
    if shape is None:
        return flat.reshape(full_shape)
    wanted = [int(size) for size in shape.reshape(-1)]
    # Indices count in the image before pooling. A larger image has the same values at the start of
    # each row.
    return functional.pad(
        flat.reshape(full_shape),
        flat_pads([0] * axes, [new - old for new, old in zip(wanted[2:], sizes, strict=True)]),
    )


def _causal(
    a: Attributes, value: Tensor, weight: Tensor, bias: Any = None, past: Any = None
) -> Any:
    state_length = weight.shape[-1] - 1
    state = value.new_zeros(*value.shape[:2], state_length) if past is None else past
    extended = torch.cat([state, value], -1)
    answer = functional.conv1d(extended, weight, bias, groups=weight.shape[0])
    if a("activation", "none") in ("silu", "swish"):
        answer = functional.silu(answer)
    return (answer, extended[..., extended.shape[-1] - state_length :]) if a.outputs > 1 else answer


TABLE: dict[str, Operator] = {
    "AveragePool": Operator(_average_pool),
    "CausalConvWithState": Operator(_causal),
    "Conv": Operator(_convolved),
    "ConvTranspose": Operator(_transposed),
    "GlobalAveragePool": Operator(_global_average),
    "GlobalLpPool": Operator(_global_power),
    "GlobalMaxPool": _over_all(torch.amax),
    "LpPool": Operator(_power_pool),
    "MaxPool": Operator(_max_pool),
    "MaxUnpool": Operator(_unpool, known=(2,)),
}
