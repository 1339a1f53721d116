"""Initial weights for depth: variance by fan-in, by the data, and branches that begin silent."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from shoestring.core import Task, batches, seeded
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.tracing.product import PRODUCTS
from shoestring.kit.tracing.tape import Call, Tape, record
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import SkippedWarning

_NORMS = ("batch_norm", "layer_norm", "group_norm", "rms_norm", "instance_norm")


def fan_in_variance(model: nn.Module) -> nn.Module:
    """A copy whose convolutions and linear layers keep the variance of what they read, behind ReLU.

    Weights are drawn from a normal distribution with variance 2 / fan-in; biases are 0. The random
    numbers are torch's. Other parameters stay; so do parametrized and frozen weights, with a
    SkippedWarning that names them. torch's own initialisation has a sixth of this variance, which a
    network without norms multiplies with itself at every layer.

    Source: He et al. 2015, "Delving deep into rectifiers", equation 10.

    Raises ValueError for a model without such layers.
    """
    result = clone(model)
    for layer in _layers(result, "fan_in_variance").values():
        with torch.no_grad():
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                layer.bias.zero_()
    return result


def unit_variance(model: nn.Module, task: Task) -> nn.Module:
    """A copy whose convolutions and linear layers give a variance of 1 on a batch of the task.

    Weights are orthonormal, biases 0; then each layer, in the order in which they run, is divided
    by the deviation of its output on the first training batch. One pass suffices, since a layer
    without bias gives as much less as its weight is smaller. The last layer to run is left
    orthonormal: logits of a variance of 1 would be confident about nothing.
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
    kept = {name: buffer.clone() for name, buffer in result.named_buffers()}
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
        for name, buffer in result.named_buffers():
            buffer.copy_(kept[name])
        for name, layer in layers.items():
            deviation = scales.get(name, 0.0)
            if not 0 < deviation < math.inf:
                _skipped("unit_variance", name, "the loss does not run it, or it gives a constant")
            elif name != list(scales)[-1]:
                layer.weight.div_(deviation)
    return result


def silent_branches(model: nn.Module, task: Task) -> nn.Module:
    """A copy whose residual branches begin at zero: each block hands on what came in.

    Where two computed values are added, the one with more layers behind it is the branch. The scale
    of the norm that gives it becomes 0, or, where a convolution or linear layer gives it, that
    layer's weight and bias. Additions whose sides have as many layers, and branches that anything
    else gives, or whose last layer is used elsewhere, stay as they are. A model without any is
    returned as a copy, with a SkippedWarning.

    Source: Goyal et al. 2017, "Accurate, large minibatch SGD", section 5.1 (norms); Zhang, Dauphin
    & Ma 2019, "Fixup initialization" (layers).

    Raises ExportError for an example that does not fit its declared axes.
    """
    result = clone(model)
    tape = record(result.eval(), *examples_of(task))
    result.train(model.training)
    for part, own in zip(result.modules(), model.modules(), strict=True):
        part.training = own.training
    silenced = 0
    uses: dict[str, int] = {}
    for call in tape.calls:
        for name in call.weights.values():
            uses[name] = uses.get(name, 0) + 1
    parameters = dict(result.named_parameters())
    for last in _ends(tape):
        names = list(last.weights.values())
        if all(uses[name] == 1 for name in names) and names:
            with torch.no_grad():
                # A norm's shift is 0 at the beginning, and what it has learned stays.
                for name in names[:1] if last.function in _NORMS else names:
                    parameters[name].zero_()
            silenced += 1
    if not silenced:
        _skipped("silent_branches", "the model", "no residual branch was found in it")
    return result


def _ends(tape: Tape) -> Iterator[Call]:
    """The last call of each residual branch."""
    makers = tape.makers()
    layers: dict[int, int] = {}  # weighted calls on the longest way to a value
    for call in tape.calls:
        depth = max((layers.get(one, 0) for one in call.inputs if one is not None), default=0)
        for value in call.outputs:
            layers[value] = depth + bool(call.weights)
        if call.function != "add":
            continue
        sides = [one for one in call.inputs if one is not None]
        if len(sides) != 2 or layers.get(sides[0], 0) == layers.get(sides[1], 0):
            continue
        last = makers.get(max(sides, key=lambda one: layers.get(one, 0)))
        if last is not None and last.function in (*PRODUCTS, *_NORMS):
            yield last


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
