"""Bags of embeddings as a graph without control flow.

Torch's exporter writes a loop over the bags, which files do not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_SUM, _MEAN, _MAX = range(3)  # as torch numbers them


def translations() -> dict[Any, Callable]:
    """What the exporter writes for bags of embeddings."""
    aten = torch.ops.aten
    return dict.fromkeys((aten.embedding_bag.default, aten.embedding_bag.padding_idx), _bags)


def _bags(
    weight: Any,
    indices: Any,
    offsets: Any,
    scale_grad_by_freq: bool = False,
    mode: int = _SUM,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Any, Any, Any, Any]:
    """(bags × columns): each row that is looked up is added to its bag.

    What torch gives besides is not used.
    """
    from onnxscript import opset20

    to: Any = opset20
    indices, offsets = to.Cast(indices, to=7), to.Cast(offsets, to=7)
    rows, length = to.Gather(weight, indices), to.Shape(indices)
    one = to.Constant(value_ints=[1])
    # Ones where bags begin, summed up from the left, number the bags; an empty one at the end
    # begins behind all.
    begins = to.ScatterElements(
        to.Expand(to.Constant(value_ints=[0]), to.Add(length, one)),
        offsets,
        to.Expand(one, to.Shape(offsets)),
        reduction="add",
    )
    numbers = to.Sub(to.CumSum(begins, to.Constant(value_int=0)), one)
    bag = to.Unsqueeze(to.Slice(numbers, to.Constant(value_ints=[0]), length), one)
    # what comes after the end of the last bag counts, and is in it where the largest is looked for:
    # torch has it so
    counts = bag
    if include_last_offset:
        counts = to.Min(bag, to.Sub(to.Shape(offsets), to.Constant(value_ints=[2])))
    size = to.Concat(to.Shape(offsets), to.Shape(weight, start=1, end=2), axis=0)
    held = to.Cast(
        to.Not(
            to.Equal(indices, to.Constant(value_int=-1 if padding_idx is None else padding_idx))
        ),
        to=1,
    )
    held = to.Unsqueeze(to.CastLike(held, weight), one)
    zeros = to.CastLike(to.Expand(to.Constant(value_float=0.0), size), weight)
    counted = to.ScatterND(
        to.Slice(zeros, to.Constant(value_ints=[0]), one, one), counts, held, reduction="add"
    )
    if mode == _MAX:
        least = to.CastLike(to.Constant(value_float=float("-inf")), weight)
        rows = to.Where(
            to.Greater(held, to.CastLike(to.Constant(value_float=0.5), weight)), rows, least
        )
        found = to.ScatterND(to.Add(zeros, least), counts, rows, reduction="max")
        some = to.Greater(counted, to.CastLike(to.Constant(value_float=0.5), weight))
        found = to.Where(some, found, zeros)
    else:
        if per_sample_weights is not None:
            rows = to.Mul(rows, to.Unsqueeze(per_sample_weights, one))
        found = to.ScatterND(zeros, bag, to.Mul(rows, held), reduction="add")
        if mode == _MEAN:
            found = to.Div(
                found, to.Max(counted, to.CastLike(to.Constant(value_float=1.0), weight))
            )
    if include_last_offset:  # the last one is where the last bag ends
        found = to.Slice(
            found,
            to.Constant(value_ints=[0]),
            to.Constant(value_ints=[-1]),
            to.Constant(value_ints=[0]),
        )
    return found, bag, counted, counted
