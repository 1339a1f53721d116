"""Initial weights for depth: variance by fan-in, and by the data."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize

from shoestring.core import Task, batches, seeded
from shoestring.kit.weights.buffers import copies_of_buffers, restore_buffers
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import SkippedWarning


def fan_in_variance(model: nn.Module) -> nn.Module:
    """A copy whose convolutions and linear layers keep the variance of what they read, behind ReLU.

    This is He's (Kaiming) initialisation: weights are drawn from a normal distribution with
    variance 2 / fan-in; biases are 0. The fan-in is how many numbers an output adds up: inputs
    times kernel over groups. Of a transposed convolution it is that over the product of its
    strides, since each output meets only every so many places of the kernel. The random numbers are
    torch's. Other parameters stay; so do parametrized and frozen weights, with a SkippedWarning
    that names them. torch's own initialisation has a sixth of this variance, which a network
    without norms multiplies with itself at every layer.

    Source: He et al. 2015, "Delving deep into rectifiers", equation 10.

    Raises ValueError for a model without such layers.
    """
    result = clone(model)
    for layer in _layers(result, "fan_in_variance").values():
        with torch.no_grad():
            nn.init.normal_(layer.weight, std=math.sqrt(2) / math.sqrt(_fan_in(layer)))
            if layer.bias is not None:
                layer.bias.zero_()
    return result


def unit_variance(model: nn.Module, task: Task) -> nn.Module:
    """A copy whose convolutions and linear layers give a variance of 1 on a batch of the task.

    This is layer-sequential unit variance (LSUV). Weights are orthonormal, biases 0; then each
    layer, in the order in which they run, is divided by the deviation of its output on the first
    training batch. One pass suffices, since a layer without bias gives as much less as its weight
    is smaller. The last layer to run is left orthonormal: logits of a variance of 1 would be
    confident about nothing.
    Layers that give a constant, or that the loss does not run, stay orthonormal, with a
    SkippedWarning. The random numbers are torch's; those of the batch are restored.

    Source: Mishkin & Matas 2016, "All you need is a good init" (LSUV), algorithm 1.
    Differs: one pass and not several for each layer.

    Raises ValueError for a model without such layers, or a task without training batches.
    """
    result = clone(model)
    layers = _layers(result, "unit_variance")
    with torch.no_grad():
        for layer in layers.values():
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                layer.bias.zero_()
    scales: dict[str, float] = {}

    def scale(name: str, layer: nn.Module, output: Tensor) -> Tensor:
        if name not in scales:
            scales[name] = float(output.float().std())
        deviation = scales[name]
        return output / deviation if 0 < deviation < math.inf else output

    handles = [
        layer.register_forward_hook(
            lambda part, _args, output, name=name: scale(name, part, output)
        )
        for name, layer in layers.items()
    ]
    kept = copies_of_buffers(result)
    modes = [(part, part.training) for part in result.modules()]
    try:
        with torch.no_grad(), seeded(0):
            result.train()
            task.loss(result, _first_batch(task, result))
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes:
            part.training = mode
    with torch.no_grad():
        restore_buffers(result, kept)
        for name, layer in layers.items():
            deviation = scales.get(name, 0.0)
            if not 0 < deviation < math.inf:
                _skipped("unit_variance", name, "the loss does not run it, or it gives a constant")
            elif name != list(scales)[-1]:
                layer.weight.div_(deviation)
    return result


def _fan_in(layer: Any) -> float:
    """How many products an output adds up, on average of its places."""
    if not isinstance(layer, _ConvTransposeNd):
        return layer.weight[0].numel()
    inputs = layer.in_channels * math.prod(layer.kernel_size)
    return inputs / (layer.groups * math.prod(layer.stride))


def _layers(model: nn.Module, what: str) -> dict[str, Any]:
    """The convolutions and linear layers that may be drawn anew, by name."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear | _ConvNd):
            continue
        if parametrize.is_parametrized(layer):
            _skipped(what, name, "its weight is parametrized")
        elif not layer.weight.requires_grad:
            _skipped(what, name, "its weight is frozen")
        elif id(layer.weight) not in seen:
            seen.add(id(layer.weight))
            found[name] = layer
    if not found:
        raise ValueError(
            f"{what} needs a convolution or a linear layer whose weight may change, and "
            f"{type(model).__name__} has none"
        )
    return found


def _first_batch(task: Task, model: nn.Module) -> Any:
    for batch in batches(task, "train", model):
        return batch
    raise ValueError("the task's training split has no batches: there is nothing to scale by")


def _skipped(what: str, name: str, reason: str) -> None:
    warnings.warn(f"{what} skipped {name}: {reason}", SkippedWarning, stacklevel=3)
