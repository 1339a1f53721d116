"""Cutting a weight with its state, and comparing a model's answers before and after."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoestring.core import array, seeded
from shoestring.kit.routing.traced import every_row
from shoestring.kit.tracing.compare import TOLERANCE, all_close
from shoestring.kit.tracing.example import Example, tensors
from shoestring.kit.tracing.exporter import quiet
from shoestring.kit.weights.parameters import Weight
from shoestring.kit.weights.parametrizations import is_masked

_ADVICE = "in forward() write x.flatten(1), or sizes taken from x.shape, in place of numbers"


def answers(model: nn.Module, examples: Sequence[Example]) -> list[Tensor]:
    """The tensors that a model answers to the examples, in order, within `every_row`."""
    with quiet(), seeded(0), every_row():
        # Copies: a model may return a tensor that it keeps and writes to.
        return [tensor.clone() for example in examples for tensor in tensors(example.run(model))]


def differs(model: nn.Module, examples: Sequence[Example], expected: Sequence[Tensor]) -> str:
    """How a model's answers differ from the expected ones by more than `TOLERANCE`.

    "" where they do not.
    """
    try:
        got = answers(model, examples)
    except Exception as error:
        return f"fails ({type(error).__name__}: {error}): {_ADVICE}"
    if [answer.shape for answer in got] != [answer.shape for answer in expected]:
        return f"gives another shape: {_ADVICE}"
    for answer, wanted in zip(got, expected, strict=True):
        tolerance = TOLERANCE * (8 if wanted.dtype in (torch.float16, torch.bfloat16) else 1)
        if not all_close(array(answer.double()), array(wanted.double()), tolerance):
            return "answers differently"
    return ""


def reason_to_stay(weight: Weight) -> str:
    """Why a weight must not be cut: it cannot be, or it is frozen. "" where it may be cut."""
    if reason := reason_not_to_cut(weight):
        return reason
    trainable = weight.raw.requires_grad if weight.state is None else weight.state.trainable
    return (
        "frozen" if weight.is_parameter and weight.raw.is_floating_point() and not trainable else ""
    )


def reason_not_to_cut(weight: Weight) -> str:
    """Why a weight cannot be cut, whether it is trained or not; "" where it can be."""
    if weight.is_foreign:
        return weight.why_foreign
    if any(is_masked(*owner) for owner in weight.owners):
        return (
            "masked by torch's own pruning (torch.nn.utils.prune.remove(layer, name) makes zeros "
            "of what it masks)"
        )
    if len(weight.owners) > 1:
        return "tied"
    return "its scales are of groups of columns" if _has_scales_of_columns(weight) else ""


def _has_scales_of_columns(weight: Weight) -> bool:
    """Whether each group of columns has a scale of its own."""
    scale = None if weight.state is None else weight.state.scale
    return (
        scale is not None
        and scale.ndim == weight.raw.ndim == 2
        and 1 < scale.shape[1] < weight.raw.shape[1]
    )


def take(weight: Weight, axis: int, indices: Tensor) -> None:
    """Leave only these indices along an axis of a weight, its mask, its indices and its scale."""
    # Counted from the last axis: a scale may have fewer axes, or axes of length 1, to broadcast.
    axis = axis - weight.raw.ndim
    state = weight.state
    for one in (weight.raw, *(() if state is None else (state.mask, state.indices, state.scale))):
        if one is None or one.ndim < -axis or one.shape[axis] == 1:
            continue
        taken = one.data.index_select(axis, indices.to(one.device))
        if (
            one.ndim == 4
            and not one.is_contiguous()
            and one.is_contiguous(memory_format=torch.channels_last)
        ):
            taken = taken.contiguous(memory_format=torch.channels_last)
        one.data = taken
