"""Layers in a row in the place of one, with its device, precision, mode and memory format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit.weights.parameters import Weight
from shoestring.kit.weights.parametrizations import removal

HOOKED = "it has hooks, which would be lost with it"
"""Why a module with hooks is not replaced or taken out."""


def has_hooks(module: nn.Module) -> bool:
    """Whether something runs before or behind a module that another module in its place lacks."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def reason_to_leave(
    module: nn.Module, name: str, weight: Weight | None, kinds: tuple[type, ...]
) -> str:
    """Why a layer cannot be replaced by other layers; "" if it can.

    `weight`: the layer's weight, as `Parameters.of` gives it.
    `kinds`: the classes of layers that can be replaced, without their subclasses.
    """
    if weight is None:
        call = removal(module, "weight")
        how = f" ({call} makes a plain parameter of it)" if call else ""
        return f"its weight is computed by something else{how}"
    if len(weight.owners) > 1:
        return "its weights are tied"
    if weight.state is not None:
        return "its weights have a state"
    if weight.is_foreign:
        return f"it is {weight.why_foreign}"
    if not weight.raw.requires_grad:
        return "it is frozen"
    if has_hooks(module):
        return HOOKED
    if type(module) not in kinds:
        return "its class is the user's own"
    return "" if name else "it is the model itself"


def in_sequence(
    like: Any, halves: Sequence[nn.Module], values: Sequence[Tensor], bias: Tensor | None
) -> nn.Sequential:
    """The layers in a row, with these weights and, in the last, this bias.

    `like`: the layer that they replace: they get its device, type, mode and memory format.
    `halves`: the layers; those with a weight get one of `values` each, in order, reshaped to fit.
    `bias`: for the last, which has a bias then; None for none.
    """
    pair = nn.Sequential(*halves)
    old = like.weight
    pair.to(old.device)
    weighted: list[Any] = [half for half in halves if isinstance(half.weight, nn.Parameter)]
    channels_last = (
        old.ndim == 4
        and old.is_contiguous(memory_format=torch.channels_last)
        and not old.is_contiguous()
    )
    for half, value in zip(weighted, values, strict=True):
        half.to(old.dtype)
        half.weight.data = value.reshape(half.weight.shape).to(old)
        if channels_last:
            half.weight.data = half.weight.data.contiguous(memory_format=torch.channels_last)
    if bias is not None:
        weighted[-1].bias.data = bias.to(old)
    return pair.train(like.training)


def convolution_like(
    layer: Any,
    inputs: int,
    outputs: int,
    *,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int = 1,
    bias: bool = False,
) -> Any:
    """An untrained convolution of a layer's class and padding mode; random numbers are not used."""
    with seeded(0):
        return type(layer)(
            inputs,
            outputs,
            kernel,
            stride,
            padding,
            dilation,
            groups=groups,
            bias=bias,
            padding_mode=layer.padding_mode,
        )


def whole(layer: Any) -> dict[str, Any]:
    """The arguments of `convolution_like` for a layer's own kernel, stride, padding, dilation."""
    return {
        "kernel": layer.kernel_size,
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
    }


POINT: dict[str, Any] = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1}
"""The arguments of `convolution_like` for a pointwise (1×1) convolution."""
