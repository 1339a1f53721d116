"""Batch norm as the scale and shift that it is once training is over."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from shoestring.core import Task
from shoestring.kit.surgery.cutting import answers, differs
from shoestring.kit.tracing.example import examples_of
from shoestring.kit.tracing.product import PRODUCTS
from shoestring.kit.tracing.tape import record
from shoestring.kit.weights.copying import clone
from shoestring.kit.weights.parameters import SkippedWarning, Weight, bake, parameters_of
from shoestring.kit.weights.state import State

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def settle_batch_norm(model: nn.Module) -> nn.Module:
    """Fold what each batch norm has seen into its scale and shift, in place, and keep it from
    seeing more.

    The module answers as before in evaluation mode: its mean is now 0 and its variance such that it
    divides by 1, and it is in evaluation mode. A channel that never varied gets a scale of 0: what
    it gives is its shift. Left as they are: those without a scale or running statistics, and those
    whose scale or shift is parametrized or shared. Returns the model.
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
    """A copy whose batch norms are gone where they follow a convolution or linear layer.

    Its weights and bias do their work.
    It answers as the model does in evaluation mode, up to rounding. A weight on a grid stays on it,
    each channel with a step of its own, unless groups of columns had theirs; one that was on levels
    is so no more; what was pruned stays pruned. Left as they are: norms that follow anything else
    or are of a class of their own, and those after a layer that is used twice or has tied or
    foreign weights; all of them, with a SkippedWarning, where the folded model answers otherwise.
    """
    folded, examples = clone(model), examples_of(task)
    judged = bake(clone(model)).eval().cpu()
    tape = record(judged, *examples)
    users, makers = tape.users(), tape.makers()
    runs = Counter(call.layer for call in tape.calls if call.function in (*PRODUCTS, "batch_norm"))
    uses = Counter(name for call in tape.calls for name in call.weights.values())
    parameters = parameters_of(folded)
    for call in [one for one in tape.calls if one.function == "batch_norm"]:
        before = makers.get(call.inputs[0]) if call.inputs[0] is not None else None
        if before is None or before.function not in PRODUCTS or before.outputs[0] in tape.results:
            continue
        if len(users[before.outputs[0]]) > 1 or (before.function == "linear" and before.axes != 2):
            continue
        name = f"{before.layer}.weight".lstrip(".")
        if (
            before.weights.get(1) != name
            or max(uses[name], runs[before.layer], runs[call.layer]) > 1
        ):
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
        for path in [
            path for path, module in folded.named_modules(remove_duplicate=False) if module is norm
        ]:
            parent, _, last = path.rpartition(".")
            setattr(folded.get_submodule(parent), last, nn.Identity())
    with torch.no_grad():
        reason = differs(bake(clone(folded)).eval().cpu(), examples, answers(judged, examples))
    if not reason:
        return folded
    text = f"batch norm stays as it is: folded into the layers before it, the model {reason}"
    warnings.warn(text, SkippedWarning, stacklevel=3)
    return clone(model)


def _own(weight: Weight | None) -> Weight | None:
    """A weight that one layer alone owns, and nothing else parametrizes."""
    return (
        weight if weight is not None and len(weight.owners) == 1 and not weight.is_foreign else None
    )


def _fold(layer: nn.Module, weight: Weight, bias: Weight | None, norm: Any) -> None:
    """Put what a norm does into the layer before it."""
    with torch.no_grad():
        scale = torch.rsqrt(norm.running_var + norm.eps) * (
            1.0 if norm.weight is None else norm.weight
        )
        by_channel = scale.view(-1, *[1] * (weight.raw.ndim - 1)).to(weight.raw)
        value = weight.value() * by_channel
        if weight.state is not None:
            _scale(weight.state, by_channel)
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


def _scale(state: State, scale: torch.Tensor) -> None:
    """Have the grid of a weight scaled with its channels (O, 1, 1, ...).

    What can be no grid for each channel is none any more.
    """
    state.codebook = state.indices = None
    if state.scale is None or state.scale.numel() not in (1, len(scale)):
        state.scale = state.reach = None
        return
    step = state.scale.detach() * scale.abs()
    # A channel that is multiplied by 0 is on any grid: as fine a one as others have, since its bias
    # is rounded to it.
    some = step > torch.finfo(step.dtype).tiny
    step = torch.where(some, step, step[some].min() if bool(some.any()) else torch.ones_like(step))
    state.scale = nn.Parameter(step, requires_grad=state.trainable)
