"""Layers with weights of -1 and +1, and perhaps inputs of -1 and +1.

`Binary` puts them in place of convolutions and linear layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Real:
    """Inputs stay as they are (a binary-weight network).

    The file is smaller, and nothing is faster.
    """


@dataclass(frozen=True)
class Signs:
    """Inputs become their signs; zero becomes +1.

    Their magnitudes are left to the scales of the filters and the next norm.
    """


@dataclass(frozen=True)
class ScaledSigns:
    """Signs, with each output position scaled by the mean magnitude of the inputs that it sees.

    Source: Rastegari et al. 2016 (XNOR-Net), equation 11.
    """


Inputs = Real | Signs | ScaledSigns


class _Sign(torch.autograd.Function):
    """-1 below zero, +1 otherwise.

    The gradient passes straight through where the value is within -1..1, and is zero elsewhere.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A tensor of the shape of `value`."""
        ctx.save_for_backward(value.abs() <= 1)
        return _plain_sign(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Source: Courbariaux et al. 2016 (Binarized Neural Networks), equation 4."""
        return gradients[0] * ctx.saved_tensors[0]


def _plain_sign(value: Tensor) -> Tensor:
    signs = torch.where(value < 0, -1.0, 1.0)
    return signs if signs.dtype == value.dtype else signs.to(value.dtype)


def sign(value: Tensor) -> Tensor:
    """-1 or +1 for each element, in the shape and type of `value`."""
    return _Sign.apply(value) if torch.is_grad_enabled() else _plain_sign(value)  # pyright: ignore[reportReturnType]


class BinaryConv2d(nn.Conv2d):
    """A convolution whose filters are a scale times -1 or +1.

    While it trains, `scale` is None and `weight` is real. With `trains_weights` it computes with
    the signs of `weight`, scaled by the mean of its magnitudes; otherwise with `weight` as it is.
    Outside the image signs are +1 and real inputs 0.

    `norm`: a norm before the signs of its inputs, or None.
    """

    scale: nn.Parameter | None
    norm: nn.Module | None
    inputs: Inputs
    trains_weights: bool

    def __init__(self, layer: nn.Conv2d, inputs: Inputs, norm: nn.Module | None) -> None:
        kernel: Any = layer.kernel_size
        stride: Any = layer.stride
        padding: Any = layer.padding
        dilation: Any = layer.dilation
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            kernel,
            stride,
            padding,
            dilation,
            layer.groups,
            layer.bias is not None,
            layer.padding_mode,
            device="meta",
        )
        _begin(self, layer, inputs, norm)

    def forward(self, input: Tensor) -> Tensor:
        """Images N×C×H×W to N×O×H×W."""
        normed, values, weight, scale = _operands(self, input)
        if isinstance(self.inputs, Real):
            result = self._conv_forward(values, weight, None)
        else:
            padded = functional.pad(values, self._reversed_padding_repeated_twice, value=1.0)
            result = functional.conv2d(
                padded, weight, None, self.stride, 0, self.dilation, self.groups
            )
        if scale is not None:
            result = result * scale
        if isinstance(self.inputs, ScaledSigns):
            result = result * self._mean_magnitudes(normed)
        return result if self.bias is None else result + self.bias.view(-1, 1, 1)

    def _mean_magnitudes(self, normed: Tensor) -> Tensor:
        """The mean magnitude of the inputs that each output position sees, N×1×H×W."""
        mean = normed.abs().mean(1, keepdim=True)
        kernel = torch.full(
            (1, 1, *self.kernel_size),
            1 / (self.kernel_size[0] * self.kernel_size[1]),
            device=mean.device,
        )
        padded = functional.pad(mean, self._reversed_padding_repeated_twice)
        return functional.conv2d(padded, kernel.to(mean.dtype), None, self.stride, 0, self.dilation)


class BinaryLinear(nn.Linear):
    """A linear layer whose rows are a scale times -1 or +1; otherwise like `BinaryConv2d`."""

    scale: nn.Parameter | None
    norm: nn.Module | None
    inputs: Inputs
    trains_weights: bool

    def __init__(self, layer: nn.Linear, inputs: Inputs, norm: nn.Module | None) -> None:
        super().__init__(
            layer.in_features, layer.out_features, layer.bias is not None, device="meta"
        )
        _begin(self, layer, inputs, norm)

    def forward(self, input: Tensor) -> Tensor:
        """N×...×in to N×...×out."""
        normed, values, weight, scale = _operands(self, input)
        result = functional.linear(values, weight)
        if scale is not None:
            result = result * scale
        if isinstance(self.inputs, ScaledSigns):
            result = result * normed.abs().mean(-1, keepdim=True)
        return result if self.bias is None else result + self.bias


BinaryLayer = BinaryConv2d | BinaryLinear


def _begin(
    binary: Any, layer: nn.Conv2d | nn.Linear, inputs: Inputs, norm: nn.Module | None
) -> None:
    """Give a new binary layer the weights and the mode of the layer that it replaces."""
    binary.weight = nn.Parameter(layer.weight.detach().clone())
    if layer.bias is not None:
        binary.bias = nn.Parameter(
            layer.bias.detach().clone(), requires_grad=layer.bias.requires_grad
        )
    binary.inputs, binary.norm, binary.trains_weights = inputs, norm, True
    binary.register_parameter("scale", None)
    binary.train(layer.training)


def _operands(layer: BinaryLayer, input: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """(inputs after the norm, inputs, weights and scale to compute with)."""
    normed = input if layer.norm is None else layer.norm(input)
    values = normed if isinstance(layer.inputs, Real) else sign(normed)
    if layer.scale is not None:
        return normed, values, layer.weight, layer.scale
    if not layer.trains_weights:
        return normed, values, layer.weight, None
    return normed, values, sign(layer.weight), _scale(layer)


def _scale(layer: BinaryLayer) -> Tensor:
    """The scale that is nearest to the weights: the mean of their magnitudes, per filter.

    Source: Rastegari et al. 2016 (XNOR-Net), equation 6.
    """
    if isinstance(layer, BinaryConv2d):
        return layer.weight.abs().mean((1, 2, 3)).view(-1, 1, 1)
    return layer.weight.abs().mean(1)


@torch.no_grad()
def freeze(layer: BinaryLayer) -> None:
    """Keep only signs and scales.

    Scales are rounded to 16 bits if each of them stays within 1/1024 of its value.
    """
    scale = _scale(layer)
    halves = scale.half().to(scale.dtype)
    # Relative to each scale: a norm may follow that makes a small one large.
    near = bool(((halves - scale).abs() <= scale.abs() / 1024).all())
    layer.weight.copy_(_plain_sign(layer.weight))
    layer.weight.requires_grad_(False)
    layer.scale = nn.Parameter(halves if near else scale)


@torch.no_grad()
def thaw(layer: BinaryLayer) -> None:
    """Make a frozen layer trainable again, from its signs and scales."""
    if layer.scale is not None:
        scale = layer.scale.view(-1, *[1] * (layer.weight.ndim - 1))
        layer.weight.mul_(scale)
        layer.weight.requires_grad_(True)
        layer.scale = None
