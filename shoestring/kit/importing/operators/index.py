"""ONNX's operators that take numbers from places, or put them there, as torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.operator import (
    Array,
    Attributes,
    Operator,
    plain,
    settled,
    type_of,
    whole,
    widened,
)


def _from_front(places: Tensor, size: Any) -> Tensor:
    """Places counted from the front, where some are counted from the back."""
    places = places.to(torch.int64)
    return torch.where(places < 0, places + size, places)


def _gather(a: Attributes, value: Tensor, places: Any) -> Tensor:
    axis = a("axis", 0)
    if isinstance(places, np.ndarray):
        if places.ndim == 0 and places.dtype != object:
            return value.select(axis, int(places))
        places = torch.tensor(whole(places), device=value.device).reshape(places.shape)
    axis = axis % value.ndim
    found = value.index_select(axis, _from_front(places, value.shape[axis]).reshape(-1))
    return found.reshape([*value.shape[:axis], *places.shape, *value.shape[axis + 1 :]])


def _gather_numbers(a: Attributes, value: Array, places: Array) -> Array:
    return settled(np.take(value, places.astype(np.int64), a("axis", 0)))


class _Gather(Operator):
    """Places that are known are given as they are: one of them selects."""

    def run(self, attributes: Attributes, values: Any) -> Any:
        value, places = values
        if isinstance(value, Tensor) and isinstance(places, np.ndarray):
            return _gather(attributes, value, places)
        return super().run(attributes, values)


def _gather_elements(a: Attributes, value: Tensor, places: Tensor) -> Tensor:
    axis = a("axis", 0)
    return torch.gather(value, axis, _from_front(places, value.shape[axis]))


def _gather_nd(a: Attributes, value: Tensor, places: Tensor) -> Tensor:
    batch = a("batch_dims", 0)
    lead = value.shape[:batch]
    flat = value.reshape(-1, *value.shape[batch:]) if batch else value[None]
    rows = (
        places.reshape(len(flat), -1, places.shape[-1])
        if batch
        else places.reshape(1, -1, places.shape[-1])
    )
    depth = places.shape[-1]
    own = torch.arange(len(flat), device=value.device)[:, None].expand(rows.shape[:2])
    indices = [_from_front(rows[..., at], flat.shape[at + 1]) for at in range(depth)]
    found = flat[(own, *indices)]
    return found.reshape(
        [*(lead if batch else ()), *places.shape[batch:-1], *value.shape[batch + depth :]]
    )


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _scatter(a: Attributes, value: Tensor, places: Tensor, updates: Tensor) -> Tensor:
    axis, kind = a("axis", 0), a("reduction", "none")
    places = _from_front(places, value.shape[axis])
    if kind == "none":
        return torch.scatter(value, axis, places, updates)
    return torch.scatter_reduce(value, axis, places, updates, _REDUCTIONS[kind])


def _scatter_nd(a: Attributes, value: Tensor, places: Tensor, updates: Tensor) -> Tensor:
    depth, kind = places.shape[-1], a("reduction", "none")
    indices = [_from_front(places[..., at], value.shape[at]).reshape(-1) for at in range(depth)]
    rest = value.shape[depth:]
    given = updates.reshape(-1, *rest)
    if kind in ("none", "add"):
        return value.index_put(tuple(indices), given, accumulate=kind == "add")
    flat = torch.zeros_like(indices[0])
    for at, one in enumerate(indices):
        flat = flat * value.shape[at] + one
    rows = value.reshape(-1, *rest)
    return torch.index_reduce(rows, 0, flat, given, _REDUCTIONS[kind]).reshape(value.shape)


def _tensor_scatter(a: Attributes, value: Tensor, update: Tensor, begins: Any = None) -> Tensor:
    axis = a("axis", -2) % value.ndim
    length, size = update.shape[axis], value.shape[axis]
    places = torch.arange(length, device=value.device)[None]
    if begins is not None:
        places = places + begins.to(torch.int64)[:, None]
    if a("mode", "linear") == "circular":
        places = places % size
    places = places.expand(len(value), length).reshape(
        [len(value), *[1] * (axis - 1), length, *[1] * (value.ndim - axis - 1)]
    )
    return torch.scatter(value, axis, places.expand(update.shape), update)


def _compressed(a: Attributes, value: Tensor, chosen: Tensor) -> Tensor:
    axis = a("axis")
    if axis is None:
        value, axis = value.reshape(-1), 0
    return value.index_select(axis, torch.nonzero(chosen).reshape(-1))


def _one_hot(a: Attributes, places: Tensor, depth: Array, levels: Tensor) -> Tensor:
    count, axis = int(depth.reshape(-1)[0]), a("axis", -1)
    whole_places = places.to(torch.int64)
    inside = (whole_places >= -count) & (whole_places < count)
    hot = functional.one_hot(whole_places % count, count).bool() & inside[..., None]
    return torch.where(hot.movedim(-1, axis), levels[1], levels[0])


def _nonzero(value: Tensor) -> Tensor:
    return torch.nonzero(value).T


def _largest(a: Attributes, value: Tensor, count: Any = None) -> Any:
    most = a("k") if count is None else whole(count)[0]
    axis, down = a("axis", -1), bool(a("largest", 1))
    order = torch.sort(widened(lambda one: one)(value), dim=axis, descending=down, stable=True)
    return order.values.narrow(axis, 0, most), order.indices.narrow(axis, 0, most)


def _which(function: Any, a: Attributes, value: Tensor) -> Tensor:
    axis, keeps = a("axis", 0), bool(a("keepdims", 1))
    if not a("select_last_index", 0):
        best = (
            value == (torch.amax if function == "max" else torch.amin)(value, axis, keepdim=True)
        ).to(torch.int64)
        return torch.argmax(best, axis, keepdim=keeps)  # the first of those that are equal
    turned = value.flip(axis)
    best = (
        turned == (torch.amax if function == "max" else torch.amin)(value, axis, keepdim=True)
    ).to(torch.int64)
    return value.shape[axis] - 1 - torch.argmax(best, axis, keepdim=keeps)


def _reversed(a: Attributes, value: Tensor, lengths: Tensor) -> Tensor:
    time, batch = a("time_axis", 0), a("batch_axis", 1)
    moved = value.movedim((time, batch), (0, 1))
    return reversed_in_time(moved, lengths).movedim((0, 1), (time, batch))


def reversed_in_time(value: Tensor, lengths: Tensor) -> Tensor:
    """A tensor (T, N, ...) with the first `lengths` (N) steps of each example in the other order."""
    steps = torch.arange(len(value), device=value.device)[:, None]
    lengths = lengths.to(torch.int64)
    places = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return value.gather(
        0, places.reshape([*places.shape, *[1] * (value.ndim - 2)]).expand(value.shape)
    )


def _unique(a: Attributes, value: Tensor) -> Any:
    axis = a("axis")
    if axis is None:
        value, axis = value.reshape(-1), 0
    found, inverse, counts = torch.unique(value, return_inverse=True, return_counts=True, dim=axis)
    order = torch.arange(len(inverse), device=value.device)
    first = torch.full((len(counts),), len(inverse), device=value.device).scatter_reduce(
        0, inverse, order, "amin"
    )
    if not a("sorted", 1):
        turn = torch.argsort(first)
        found, first, counts = found.index_select(axis, turn), first[turn], counts[turn]
        inverse = torch.argsort(turn)[inverse]
    return found, first, inverse, counts


def _columns_to_image(a: Attributes, value: Tensor, image: Array, block: Array) -> Tensor:
    """Every place of the image is the sum of what the blocks that cover it hold there."""
    sizes, kernel = whole(image), whole(block)
    axes = len(sizes)
    strides = a("strides") or [1] * axes
    dilations = a("dilations") or [1] * axes
    pads = a("pads") or [0] * 2 * axes
    if axes == 2 and pads[:2] == pads[2:]:
        return functional.fold(
            value, tuple(sizes), tuple(kernel), tuple(dilations), tuple(pads[:2]), tuple(strides)
        )
    steps = [
        (size + pads[at] + pads[at + axes] - dilations[at] * (kernel[at] - 1) - 1) // strides[at]
        + 1
        for at, size in enumerate(sizes)
    ]
    place = torch.zeros((), dtype=torch.int64, device=value.device)
    is_inside = torch.ones((), dtype=torch.bool, device=value.device)
    for at in range(axes):
        own = (
            torch.arange(kernel[at])[:, None] * dilations[at]
            + torch.arange(steps[at]) * strides[at]
            - pads[at]
        )
        shape = [kernel[i] if i == at else 1 for i in range(axes)] + [
            steps[i] if i == at else 1 for i in range(axes)
        ]
        own = own.to(value.device).reshape(shape)
        place = place * sizes[at] + own.clamp(0, sizes[at] - 1)
        is_inside = is_inside & (own >= 0) & (own < sizes[at])
    count = int(np.prod(kernel))
    values = value.reshape(len(value), -1, count * int(np.prod(steps)))
    values = torch.where(is_inside.reshape(-1), values, torch.zeros_like(values))
    empty = values.new_zeros(*values.shape[:2], int(np.prod(sizes)))
    return empty.index_add(2, place.reshape(-1), values).reshape(*values.shape[:2], *sizes)


def _cumulated(function: Any, a: Attributes, value: Tensor, axis: Array, nothing: int) -> Tensor:
    along = int(axis.reshape(-1)[0]) % value.ndim
    turned = value.flip(along) if a("reverse", 0) else value
    if a("exclusive", 0):
        flat = [0, 0] * (value.ndim - 1 - along) + [1, 0]
        turned = functional.pad(
            turned.narrow(along, 0, value.shape[along] - 1), flat, value=nothing
        )
    total = widened(lambda one: function(one, along))(turned)
    total = total.to(value.dtype) if type_of(total) != value.dtype else total
    return total.flip(along) if a("reverse", 0) else total


TABLE: dict[str, Operator] = {
    "ArgMax": Operator(lambda a, value: _which("max", a, value)),
    "ArgMin": Operator(lambda a, value: _which("min", a, value)),
    "Col2Im": Operator(_columns_to_image, known=(1, 2)),
    "Compress": Operator(_compressed),
    "CumProd": Operator(
        lambda a, value, axis: _cumulated(torch.cumprod, a, value, axis, 1), known=(1,)
    ),
    "CumSum": Operator(
        lambda a, value, axis: _cumulated(torch.cumsum, a, value, axis, 0), known=(1,)
    ),
    "Gather": _Gather(_gather, of_numbers=_gather_numbers),
    "GatherElements": Operator(_gather_elements),
    "GatherND": Operator(_gather_nd),
    "NonZero": plain(_nonzero),
    "OneHot": Operator(_one_hot, known=(1,)),
    "ReverseSequence": Operator(_reversed),
    "Scatter": Operator(_scatter),
    "ScatterElements": Operator(_scatter),
    "ScatterND": Operator(_scatter_nd),
    "TensorScatter": Operator(_tensor_scatter),
    "TopK": Operator(_largest, known=(1,)),
    "Unique": Operator(_unique),
}
