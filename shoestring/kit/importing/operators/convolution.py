"""ONNX's convolutions and pools as torch's."""

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
_LARGEST = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
_AVERAGES = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)


def pads_of(
    a: Attributes, sizes: Sequence[Any], kernel: Sequence[int]
) -> tuple[list[Any], list[Any]]:
    """What is added before and after each of the axes of these sizes, for a window of this kernel."""
    axes, mode = len(kernel), a("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        given = list(a("pads") or [0] * 2 * axes) if mode == "NOTSET" else [0] * 2 * axes
        return given[:axes], given[axes:]
    strides, dilations = a("strides") or [1] * axes, a("dilations") or [1] * axes
    before, after = list[Any](), list[Any]()
    for size, length, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        window = (length - 1) * dilation + 1
        # With a stride of 1 the amount depends on no size, which may vary.
        total = (
            window - 1 if stride == 1 else max((-(-size // stride) - 1) * stride + window - size, 0)
        )
        less = total // 2
        more = total - less
        before.append(more if mode == "SAME_LOWER" else less)
        after.append(less if mode == "SAME_LOWER" else more)
    return before, after


def flat_pads(before: Sequence[Any], after: Sequence[Any]) -> list[Any]:
    """As torch wants them: the last axis first."""
    return [one for pair in zip(reversed(before), reversed(after), strict=True) for one in pair]


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
    more, kernel = list(a("output_padding") or [0] * axes), weight.shape[2:]
    wanted, mode = a("output_shape"), a("auto_pad", "NOTSET")
    before, after = (
        pads_of(a, value.shape[2:], kernel)
        if mode in ("NOTSET", "VALID")
        else ([0] * axes, [0] * axes)
    )
    if wanted is not None or mode.startswith("SAME"):
        for at in range(axes):
            size = value.shape[2 + at]
            goal = size * strides[at] if wanted is None else wanted[-axes:][at]
            total = (
                strides[at] * (size - 1) + more[at] + (kernel[at] - 1) * dilations[at] + 1 - goal
            )
            if total < 0:  # the window does not reach so far: what is beyond it is zero
                more[at], total = more[at] - total, 0
            less = total // 2
            before[at], after[at] = (
                (total - less, less) if mode == "SAME_LOWER" else (less, total - less)
            )
            if mode == "NOTSET":
                before[at], after[at] = total - less, less
    call = _TRANSPOSED[axes - 1]
    if before == after and all(
        one < max(stride, dilation)
        for one, stride, dilation in zip(more, strides, dilations, strict=True)
    ):
        return call(
            value,
            weight,
            bias,
            tuple(strides),
            tuple(before),
            tuple(more),
            a("group", 1),
            tuple(dilations),
        )
    full = call(value, weight, None, tuple(strides), 0, 0, a("group", 1), tuple(dilations))
    full = functional.pad(
        full,
        flat_pads(
            [-one for one in before], [far - one for one, far in zip(after, more, strict=True)]
        ),
    )
    return full if bias is None else full + bias.view(-1, *[1] * axes)


def _rounded_up(
    a: Attributes, sizes: Sequence[Any], before: list[Any], after: list[Any]
) -> list[Any]:
    """What must be added after each axis so that the last window, which begins inside, is whole."""
    kernel = a("kernel_shape")
    axes = len(kernel)
    strides, dilations = a("strides") or [1] * axes, a("dilations") or [1] * axes
    found: list[Any] = []
    for size, b, e, length, stride, dilation in zip(
        sizes, before, after, kernel, strides, dilations, strict=True
    ):
        window = (length - 1) * dilation + 1
        steps = -(-(size + b + e - window) // stride) + 1
        if (steps - 1) * stride >= size + b:
            steps -= 1
        found.append(max((steps - 1) * stride + window - size - b - e, 0))
    return found


def _largest(a: Attributes, value: Tensor) -> Any:
    kernel = a("kernel_shape")
    axes = len(kernel)
    before, after = pads_of(a, value.shape[2:], kernel)
    strides, dilations = tuple(a("strides") or [1] * axes), tuple(a("dilations") or [1] * axes)
    ceil, kind = bool(a("ceil_mode", 0)), value.dtype if isinstance(value, Tensor) else None
    is_integer = kind is not None and not kind.is_floating_point
    fits = before == after and all(
        2 * one <= length for one, length in zip(before, kernel, strict=True)
    )
    if a.outputs == 1 and fits and not is_integer:
        return _LARGEST[axes - 1](value, tuple(kernel), strides, tuple(before), dilations, ceil)
    more = _rounded_up(a, value.shape[2:], before, after) if ceil else [0] * axes
    flat = flat_pads(before, [one + extra for one, extra in zip(after, more, strict=True)])
    wide = value.double() if is_integer else value
    padded = functional.pad(wide, flat, value=-math.inf)
    answer, places = _LARGEST[axes - 1](
        padded, tuple(kernel), strides, 0, dilations, False, return_indices=True
    )
    answer = answer.to(value.dtype)
    return (answer, _places(a, value, padded, places, before)) if a.outputs > 1 else answer


def _places(
    a: Attributes, value: Tensor, padded: Tensor, places: Tensor, before: Sequence[Any]
) -> Tensor:
    """Places within the whole tensor, of places within each padded image."""
    sizes, wide = value.shape[2:], padded.shape[2:]
    rest, along = places, list[Tensor]()
    for size, one in zip(reversed(wide), reversed(before), strict=True):
        along.insert(0, rest % size - one)
        rest = rest // size
    order = range(len(sizes)) if not a("storage_order", 0) else reversed(range(len(sizes)))
    flat = torch.zeros_like(places)
    for at in order:
        flat = flat * sizes[at] + along[at]
    images = torch.arange(value.shape[0] * value.shape[1], device=value.device) * int(
        np.prod(sizes)
    )
    return flat + images.reshape(*value.shape[:2], *[1] * len(sizes))


def _average(a: Attributes, value: Tensor) -> Tensor:
    kernel = a("kernel_shape")
    axes = len(kernel)
    before, after = pads_of(a, value.shape[2:], kernel)
    strides, dilations = list(a("strides") or [1] * axes), list(a("dilations") or [1] * axes)
    counts, ceil = bool(a("count_include_pad", 0)), bool(a("ceil_mode", 0))
    fits = before == after and all(
        2 * one <= length for one, length in zip(before, kernel, strict=True)
    )
    if fits and not ceil and all(one == 1 for one in dilations):
        return _AVERAGES[axes - 1](
            value, tuple(kernel), tuple(strides), tuple(before), False, counts
        )
    more = _rounded_up(a, value.shape[2:], before, after) if ceil else [0] * axes
    ones = functional.pad(
        torch.ones_like(value[:1, :1]), flat_pads(before, after), value=1.0 if counts else 0.0
    )
    extra = flat_pads([0] * axes, more)
    total = _window_sums(
        functional.pad(value, flat_pads(before, after)), extra, kernel, strides, dilations
    )
    return total / _window_sums(ones, extra, kernel, strides, dilations)


def _window_sums(
    value: Tensor, extra: list[Any], kernel: Sequence[int], strides: list[int], dilations: list[int]
) -> Tensor:
    """The sum over each window, with zeros beyond the end."""
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
    more = _rounded_up(a, value.shape[2:], before, after) if a("ceil_mode", 0) else [0] * axes
    padded = functional.pad(value.abs() ** p, flat_pads(before, after))
    strides, dilations = list(a("strides") or [1] * axes), list(a("dilations") or [1] * axes)
    return _window_sums(padded, flat_pads([0] * axes, more), kernel, strides, dilations) ** (1 / p)


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


def _put_back(a: Attributes, value: Tensor, places: Tensor, shape: Any = None) -> Tensor:
    kernel = a("kernel_shape")
    axes = len(kernel)
    strides, pads = a("strides") or [1] * axes, a("pads") or [0] * 2 * axes
    sizes = [
        (size - 1) * stride + length - pads[at] - pads[at + axes]
        for at, (size, stride, length) in enumerate(
            zip(value.shape[2:], strides, kernel, strict=True)
        )
    ]
    own = [*value.shape[:2], *sizes]
    flat = value.new_zeros(int(np.prod(own))).scatter(
        0, places.reshape(-1).to(torch.int64), value.reshape(-1)
    )
    if shape is None:
        return flat.reshape(own)
    wanted = [int(one) for one in shape.reshape(-1)]
    # Places count in the image that there was, so that a larger one holds the same numbers in the
    # first places of each row.
    return functional.pad(
        flat.reshape(own),
        flat_pads([0] * axes, [w - s for w, s in zip(wanted[2:], sizes, strict=True)]),
    )


def _causal(
    a: Attributes, value: Tensor, weight: Tensor, bias: Any = None, past: Any = None
) -> Any:
    kept = weight.shape[-1] - 1
    before = value.new_zeros(*value.shape[:2], kept) if past is None else past
    whole = torch.cat([before, value], -1)
    answer = functional.conv1d(whole, weight, bias, groups=weight.shape[0])
    if a("activation", "none") in ("silu", "swish"):
        answer = functional.silu(answer)
    return (answer, whole[..., whole.shape[-1] - kept :]) if a.outputs > 1 else answer


TABLE: dict[str, Operator] = {
    "AveragePool": Operator(_average),
    "CausalConvWithState": Operator(_causal),
    "Conv": Operator(_convolved),
    "ConvTranspose": Operator(_transposed),
    "GlobalAveragePool": Operator(_global_average),
    "GlobalLpPool": Operator(_global_power),
    "GlobalMaxPool": _over_all(torch.amax),
    "LpPool": Operator(_power_pool),
    "MaxPool": Operator(_largest),
    "MaxUnpool": Operator(_put_back, known=(2,)),
}
