"""Choose rows of a batch, and put the rows of several parts back in their order.

In a file these are `Compress` and `TopK`, which every batch size has in common: no branches and no
loops, and an operator on no rows computes nothing. So of a graph with many experts only those are
computed that some example asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def rows_where(rows: Tensor, chosen: Tensor) -> Tensor:
    """The rows of `rows` (N, ...) where `chosen` (N, bool) is true, in their order: (M, ...)."""
    return torch.ops.shoestring.rows_where(rows, chosen)


def in_order(parts: Sequence[Tensor], part_of: Tensor) -> Tensor:
    """The rows of the parts, put back in the order that they had before they were divided.

    `parts`: one tensor (M, ...) for each part, which has its rows in their old order.
    `part_of`: the part in which each row went (N, int64): as many say K as part K has rows.
    Returns (N, ...).
    """
    places = torch.ops.shoestring.places(part_of)  # where each row is in the parts
    return torch.cat(list(parts)).index_select(0, places)


@torch.library.custom_op("shoestring::rows_where", mutates_args=())
def _rows_where(rows: Tensor, chosen: Tensor) -> Tensor:
    return rows[chosen]


@_rows_where.register_fake
def _(rows: Tensor, chosen: Tensor) -> Tensor:
    # Traced as if there were two rows or more: batch norm would branch on none, and sums on one.
    count = torch.library.get_ctx().new_dynamic_size(min=2)
    return rows.new_empty(count, *rows.shape[1:])


def _keep_chosen(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.shape = inputs[0].shape


def _to_chosen(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    (chosen,) = ctx.saved_tensors
    whole = gradient.new_zeros(ctx.shape)
    whole[chosen] = gradient
    return whole, None


_rows_where.register_autograd(_to_chosen, setup_context=_keep_chosen)


@torch.library.custom_op("shoestring::places", mutates_args=())
def _places_of(part_of: Tensor) -> Tensor:
    order = part_of.argsort(stable=True)
    return torch.empty_like(order).scatter_(0, order, torch.arange(len(order)).to(order))


@_places_of.register_fake
def _(part_of: Tensor) -> Tensor:
    return torch.empty_like(part_of)
