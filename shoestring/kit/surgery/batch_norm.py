"""Batch norm as the scale and shift that it is after training, folded into other layers or not."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from shoestring.core import Task
from shoestring.kit.surgery.cutting import answers, differs
from shoestring.kit.surgery.replacing import put_in_place
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.tracing.product import PRODUCTS
from shoestring.kit.tracing.tape import record
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import SkippedWarning, Weight, bake, parameters_of
from shoestring.kit.weights.state import State

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def settle_batch_norm(model: nn.Module) -> nn.Module:
    """Fold the running statistics of each batch norm into its scale and shift, in place.

    Each batch norm is put into evaluation mode and answers as it did in that mode: its running mean
    is now 0, and its running variance such that it divides by 1. A channel that never varied gets a
    scale of 0, so that it gives its shift. Left as they are: batch norms without a scale or running
    statistics, and those whose scale or shift is parametrized or shared. Returns the model.
    """
    norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    users = Counter(id(one) for part in norms for one in part._parameters.values())
    for part in norms:
        own = [part._parameters.get("weight"), part._parameters.get("bias")]
        if part.running_mean is None or any(one is None or users[id(one)] > 1 for one in own):
            continue
        mean, variance = part.running_mean, part.running_var
        assert mean is not None and variance is not None
        with torch.no_grad():
            scale = part.weight / torch.sqrt(variance + part.eps)
            scale[variance < 1e-3 * part.eps] = 0
            part.bias.sub_(mean * scale)
            part.weight.copy_(scale)
            mean.zero_()
            variance.fill_(1.0 - part.eps)
            assert part.num_batches_tracked is not None
            part.num_batches_tracked.zero_()
        part.eval()
    return model


def fold_batch_norm(model: nn.Module, task: Task) -> nn.Module:
    """A copy with each batch norm folded into the convolution or linear layer that it follows.

    It answers as the model does in evaluation mode, up to rounding. A weight with a scale keeps
    one, for each channel, unless groups of columns had scales; a codebook is lost; a mask is kept.
    Left as they are: batch norms that follow anything else or are of a subclass, and those after a
    layer that is used twice or has tied or foreign weights. All are left, with a SkippedWarning,
    where the folded model answers differently. Raises ExportError for an example that does not fit
    its declared axes.
    """
    folded, examples = clone(model), examples_of(task)
    plain = bake(clone(model)).eval().cpu()
    tape = record(plain, *examples)
    users, makers = tape.users(), tape.makers()
    runs = Counter(call.layer for call in tape.calls if call.function in (*PRODUCTS, "batch_norm"))
    uses = Counter(name for call in tape.calls for name in call.weights.values())
    parameters = parameters_of(folded)
    for call in [call for call in tape.calls if call.function == "batch_norm"]:
        before = makers.get(call.inputs[0]) if call.inputs[0] is not None else None
        if before is None or before.function not in PRODUCTS or before.outputs[0] in tape.results:
            continue
        if len(users[before.outputs[0]]) > 1 or (before.function == "linear" and before.axes != 2):
            continue
        name = f"{before.layer}.weight".lstrip(".")
        used = max(uses[name], runs[before.layer], runs[call.layer])
        if before.weights.get(1) != name or used > 1:
            continue
        layer, norm = folded.get_submodule(before.layer), folded.get_submodule(call.layer)
        weight, bias = _own(parameters.of(layer, "weight")), _own(parameters.of(layer, "bias"))
        if (
            parametrize.type_before_parametrizations(norm) not in _NORMS
            or norm.running_mean is None
        ):
            continue
        if weight is None or (bias is None and getattr(layer, "bias", None) is not None):
            continue
        _fold(layer, weight, bias, norm)
        put_in_place(folded, norm, nn.Identity())
    with torch.no_grad():
        reason = differs(bake(clone(folded)).eval().cpu(), examples, answers(plain, examples))
    if not reason:
        return folded
    text = f"batch norm stays as it is: folded into the layers before it, the model {reason}"
    warnings.warn(text, SkippedWarning, stacklevel=3)
    return clone(model)


def _own(weight: Weight | None) -> Weight | None:
    """The weight where only one layer owns it and nothing else parametrizes it; else None."""
    return (
        weight if weight is not None and len(weight.owners) == 1 and not weight.is_foreign else None
    )


def _fold(layer: nn.Module, weight: Weight, bias: Weight | None, norm: Any) -> None:
    """Fold a batch norm into the layer before it."""
    with torch.no_grad():
        scale = torch.rsqrt(norm.running_var + norm.eps) * (
            1.0 if norm.weight is None else norm.weight
        )
        by_channel = scale.view(-1, *[1] * (weight.raw.ndim - 1)).to(weight.raw)
        value = weight.value() * by_channel
        if weight.state is not None:
            _scale_state(weight.state, by_channel)
        weight.raw.data = value.clone(memory_format=torch.preserve_format)
        weight.raw.requires_grad_(
            norm.weight is None or norm.weight.requires_grad or weight.raw.requires_grad
        )
        shift = -norm.running_mean * scale + (0.0 if norm.bias is None else norm.bias)
        if bias is not None:
            bias.raw.data = bias.value() * scale + shift
            if bias.state is not None:
                bias.state.codebook = bias.state.indices = bias.state.scale = bias.state.reach = (
                    None
                )
        else:
            layer.bias = nn.Parameter(shift.to(weight.raw))


def _scale_state(state: State, factor: torch.Tensor) -> None:
    """Multiply a weight's scale by a factor for each channel, (O, 1, 1, ...).

    A codebook, and scales of groups of columns, are dropped.
    """
    state.codebook = state.indices = None
    if state.scale is None or state.scale.numel() not in (1, len(factor)):
        state.scale = state.reach = None
        return
    scale = state.scale.detach() * factor.abs()
    # A channel that is multiplied by 0 fits any scale. It gets the least of the others, since its
    # bias is rounded to a multiple of it.
    nonzero = scale > torch.finfo(scale.dtype).tiny
    least = scale[nonzero].min() if bool(nonzero.any()) else torch.ones_like(scale)
    state.scale = nn.Parameter(torch.where(nonzero, scale, least), requires_grad=state.trainable)
