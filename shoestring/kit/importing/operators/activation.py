"""ONNX's activations as torch functions, and the losses with which some files end."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.operator import Attributes, Operator, UnservedError, plain


def _selu(a: Attributes, value: Tensor) -> Tensor:
    alpha, gamma = a("alpha"), a("gamma")
    if alpha is None and gamma is None:
        return functional.selu(value)
    alpha = 1.67326319217681884765625 if alpha is None else alpha
    gamma = 1.05070102214813232421875 if gamma is None else gamma
    return gamma * functional.elu(value, alpha)


def _shrink(a: Attributes, value: Tensor) -> Tensor:
    bias, edge = a("bias", 0.0), a("lambd", 0.5)
    zero = torch.zeros_like(value)
    moved = torch.where(value < -edge, value + bias, torch.where(value > edge, value - bias, zero))
    return moved.to(value.dtype)


def _hard_sigmoid(a: Attributes, value: Tensor) -> Tensor:
    return torch.clamp(value * a("alpha", 0.2) + a("beta", 0.5), 0.0, 1.0)


def _thresholded(a: Attributes, value: Tensor) -> Tensor:
    return torch.where(value > a("alpha", 1.0), value, torch.zeros_like(value))


def _over_axis(function: Any, a: Attributes, value: Tensor) -> Tensor:
    """Apply a function over an axis; before opset 13, over all axes from that one on."""
    if a.opset >= 13:
        return function(value, a("axis", -1))
    axis = a("axis", 1) % max(value.ndim, 1)
    return function(value.flatten(axis), -1).reshape(value.shape)


def _hardmax(value: Tensor, axis: int) -> Tensor:
    first = value.argmax(axis, keepdim=True)
    return torch.zeros_like(value).scatter(axis, first, 1)


def _slope(value: Tensor, slope: Tensor) -> Tensor:
    return torch.where(value < 0, slope * value, value)


def _swish(a: Attributes, value: Tensor) -> Tensor:
    alpha = a("alpha", 1.0)
    return functional.silu(value) if alpha == 1 else value * torch.sigmoid(alpha * value)


def _gated(a: Attributes, gate: Tensor, value: Tensor) -> Tensor:
    return _swish(a, gate) * value


def _likelihood(a: Attributes, scores: Tensor, targets: Tensor, weight: Any = None) -> Tensor:
    """The negative log likelihood; elements with the class to ignore do not count."""
    ignored = a("ignore_index")
    targets = targets.to(torch.int64)
    if ignored is None:
        return functional.nll_loss(scores, targets, weight, reduction=a("reduction", "mean"))
    return functional.nll_loss(
        scores, targets, weight, ignore_index=ignored, reduction=a("reduction", "mean")
    )


def _cross_entropy(a: Attributes, scores: Tensor, targets: Tensor, weight: Any = None) -> Any:
    logarithms = torch.log_softmax(scores, 1)
    loss = _likelihood(a, logarithms, targets, weight)
    return (loss, logarithms) if a.outputs > 1 else loss


def told_to_drop(a: Attributes, value: Tensor, ratio: Any = None, mode: Any = None) -> Any:
    """Dropout that an input switches on or off; raises UnservedError where it is on."""
    if mode is not None and bool(mode) and (ratio is None or float(ratio)):
        raise UnservedError("Dropout that is on outside of training")
    return (value, torch.ones_like(value, dtype=torch.bool)) if a.outputs > 1 else value


TABLE: dict[str, Operator] = {
    "Celu": Operator(lambda a, value: functional.celu(value, a("alpha", 1.0))),
    "Elu": Operator(lambda a, value: functional.elu(value, a("alpha", 1.0))),
    "Gelu": Operator(lambda a, value: functional.gelu(value, approximate=a("approximate", "none"))),
    "HardSigmoid": Operator(_hard_sigmoid),
    "HardSwish": plain(functional.hardswish),
    "Hardmax": Operator(lambda a, value: _over_axis(_hardmax, a, value)),
    "LeakyRelu": Operator(lambda a, value: functional.leaky_relu(value, a("alpha", 0.01))),
    "LogSoftmax": Operator(lambda a, value: _over_axis(torch.log_softmax, a, value)),
    "Mish": plain(functional.mish),
    "NegativeLogLikelihoodLoss": Operator(_likelihood),
    "PRelu": plain(_slope),
    "Relu": plain(torch.relu),
    "Selu": Operator(_selu),
    "Shrink": Operator(_shrink),
    "Sigmoid": plain(torch.sigmoid),
    "Softmax": Operator(lambda a, value: _over_axis(torch.softmax, a, value)),
    "SoftmaxCrossEntropyLoss": Operator(_cross_entropy),
    "Softplus": plain(functional.softplus),
    "Softsign": plain(functional.softsign),
    "SwiGLU": Operator(_gated),
    "Swish": Operator(_swish),
    "ThresholdedRelu": Operator(_thresholded),
}
