"""Write torch's embedding bags as a graph without control flow.

Torch's exporter writes a loop over the bags, which files do not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_SUM, _MEAN, _MAX = range(3)  # as torch numbers them


def translations() -> dict[Any, Callable]:
    """The function that writes each of torch's operators for embedding bags."""
    aten = torch.ops.aten
    return dict.fromkeys(
        (aten.embedding_bag.default, aten.embedding_bag.padding_idx), _embedding_bag
    )


def _embedding_bag(
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
    """The bags, (B, columns), of rows of the weight, (rows, columns), and three unused outputs.

    `indices`: the rows that are looked up, (L,). `offsets`: where each bag begins, (B,).
    """
    from onnxscript import opset20

    to: Any = opset20
    indices, offsets = to.Cast(indices, to=7), to.Cast(offsets, to=7)
    rows, length = to.Gather(weight, indices), to.Shape(indices)
    one = to.Constant(value_ints=[1])
    bag = _bag_of_each_row(to, length, offsets, one)
    # Torch counts the rows beyond the end of the last bag as its own, and takes the maximum over
    # them too, but does not add them.
    counted_bag = bag
    if include_last_offset:
        counted_bag = to.Min(bag, to.Sub(to.Shape(offsets), to.Constant(value_ints=[2])))
    shape = to.Concat(to.Shape(offsets), to.Shape(weight, start=1, end=2), axis=0)
    padding = to.Constant(value_int=-1 if padding_idx is None else padding_idx)
    is_kept = to.Cast(to.Not(to.Equal(indices, padding)), to=1)
    is_kept = to.Unsqueeze(to.CastLike(is_kept, weight), one)
    zeros = to.CastLike(to.Expand(to.Constant(value_float=0.0), shape), weight)
    first_column = to.Slice(zeros, to.Constant(value_ints=[0]), one, one)
    counts = to.ScatterND(first_column, counted_bag, is_kept, reduction="add")
    if mode == _MAX:
        bags = _largest(to, weight, rows, counted_bag, is_kept, counts, zeros)
    else:
        if per_sample_weights is not None:
            rows = to.Mul(rows, to.Unsqueeze(per_sample_weights, one))
        bags = to.ScatterND(zeros, bag, to.Mul(rows, is_kept), reduction="add")
        if mode == _MEAN:
            least_count = to.CastLike(to.Constant(value_float=1.0), weight)
            bags = to.Div(bags, to.Max(counts, least_count))
    if include_last_offset:  # the last offset is where the last bag ends, and begins no bag
        first, last = to.Constant(value_ints=[0]), to.Constant(value_ints=[-1])
        bags = to.Slice(bags, first, last, to.Constant(value_ints=[0]))
    return bags, bag, counts, counts


def _bag_of_each_row(to: Any, length: Any, offsets: Any, one: Any) -> Any:
    """The index of the bag that each row is in, (L, 1).

    The cumulative sum of ones where bags begin numbers the bags. An empty bag at the end begins
    behind all rows, so that there is one element more.
    """
    begins = to.ScatterElements(
        to.Expand(to.Constant(value_ints=[0]), to.Add(length, one)),
        offsets,
        to.Expand(one, to.Shape(offsets)),
        reduction="add",
    )
    numbers = to.Sub(to.CumSum(begins, to.Constant(value_int=0)), one)
    return to.Unsqueeze(to.Slice(numbers, to.Constant(value_ints=[0]), length), one)


def _largest(
    to: Any, weight: Any, rows: Any, bag: Any, is_kept: Any, counts: Any, zeros: Any
) -> Any:
    """The largest element of each column of each bag, 0 where a bag is empty."""
    least = to.CastLike(to.Constant(value_float=float("-inf")), weight)
    is_row = to.Greater(is_kept, to.CastLike(to.Constant(value_float=0.5), weight))
    rows = to.Where(is_row, rows, least)
    largest = to.ScatterND(to.Add(zeros, least), bag, rows, reduction="max")
    is_filled = to.Greater(counts, to.CastLike(to.Constant(value_float=0.5), weight))
    return to.Where(is_filled, largest, zeros)
