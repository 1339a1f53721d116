"""What graph surgery is made of.

A model's answers before and after, and a weight cut with all that is known of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from shoestring.core import array, seeded
from shoestring.kit.tracing.compare import TOLERANCE, all_close
from shoestring.kit.tracing.example import Example, tensors
from shoestring.kit.tracing.exporter import quiet
from shoestring.kit.weights.parameters import Weight

_ADVICE = "in forward() write x.flatten(1), or sizes taken from x.shape, in place of numbers"


def answers(model: nn.Module, examples: Sequence[Example]) -> list[Tensor]:
    """All that a model answers to the examples."""
    with quiet(), seeded(0):
        # Copies: a model may return a tensor that it keeps and writes to.
        return [tensor.clone() for one in examples for tensor in tensors(one.run(model))]


def differs(model: nn.Module, examples: Sequence[Example], expected: Sequence[Tensor]) -> str:
    """How a model's answers differ from the expected ones by more than export allows.

    Empty where they do not.
    """
    try:
        found = answers(model, examples)
    except Exception as error:
        return f"fails ({type(error).__name__}: {error}): {_ADVICE}"
    if [one.shape for one in found] != [one.shape for one in expected]:
        return f"gives another shape: {_ADVICE}"
    for got, one in zip(found, expected, strict=True):
        tolerance = TOLERANCE * (8 if one.dtype in (torch.float16, torch.bfloat16) else 1)
        if not all_close(array(got.double()), array(one.double()), tolerance):
            return "answers differently"
    return ""


def is_in_groups(weight: Weight) -> bool:
    """Whether it has a step for each group of its columns: these cannot be cut."""
    scale = None if weight.state is None else weight.state.scale
    return (
        scale is not None
        and scale.ndim == weight.raw.ndim == 2
        and 1 < scale.shape[1] < weight.raw.shape[1]
    )


def take(weight: Weight, axis: int, places: Tensor) -> None:
    """Leave a weight, and all that is known of it place by place, with these places along an axis."""
    behind = (
        axis - weight.raw.ndim
    )  # a step may have fewer axes, or axes of length 1, as broadcasting goes
    state = weight.state
    for one in (weight.raw, *(() if state is None else (state.mask, state.indices, state.scale))):
        if one is None or one.ndim < -behind or one.shape[behind] == 1:
            continue
        taken = one.data.index_select(behind, places.to(one.device))
        if (
            one.ndim == 4
            and not one.is_contiguous()
            and one.is_contiguous(memory_format=torch.channels_last)
        ):
            taken = taken.contiguous(memory_format=torch.channels_last)
        one.data = taken
