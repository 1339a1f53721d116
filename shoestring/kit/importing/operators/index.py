"""ONNX's operators that gather or scatter numbers by index, as torch functions."""

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
    integers,
    plain,
    settled,
    type_of,
    widened,
)


def _from_front(indices: Tensor, size: Any) -> Tensor:
    """Indices from the front, where negative ones count from the back."""
    indices = indices.to(torch.int64)
    return torch.where(indices < 0, indices + size, indices)


def _gather(a: Attributes, value: Tensor, indices: Any) -> Tensor:
    axis = a("axis", 0)
    if isinstance(indices, np.ndarray):
        if indices.ndim == 0 and indices.dtype != object:
            return value.select(axis, int(indices))
        indices = torch.tensor(integers(indices), device=value.device).reshape(indices.shape)
    axis = axis % value.ndim
    gathered = value.index_select(axis, _from_front(indices, value.shape[axis]).reshape(-1))
    return gathered.reshape([*value.shape[:axis], *indices.shape, *value.shape[axis + 1 :]])


def _gather_numbers(a: Attributes, value: Array, indices: Array) -> Array:
    return settled(np.take(value, indices.astype(np.int64), a("axis", 0)))


class _Gather(Operator):
    """Known indices are passed as numpy arrays; a single one selects."""

    def run(self, attributes: Attributes, values: Any) -> Any:
        value, indices = values
        if isinstance(value, Tensor) and isinstance(indices, np.ndarray):
            return _gather(attributes, value, indices)
        return super().run(attributes, values)


def _gather_elements(a: Attributes, value: Tensor, indices: Tensor) -> Tensor:
    axis = a("axis", 0)
    return torch.gather(value, axis, _from_front(indices, value.shape[axis]))


def _gather_nd(a: Attributes, value: Tensor, indices: Tensor) -> Tensor:
    batch = a("batch_dims", 0)
    batch_shape = value.shape[:batch]
    flat = value.reshape(-1, *value.shape[batch:]) if batch else value[None]
    rows = (
        indices.reshape(len(flat), -1, indices.shape[-1])
        if batch
        else indices.reshape(1, -1, indices.shape[-1])
    )
    depth = indices.shape[-1]
    batch_index = torch.arange(len(flat), device=value.device)[:, None].expand(rows.shape[:2])
    index_tuple = [_from_front(rows[..., level], flat.shape[level + 1]) for level in range(depth)]
    gathered = flat[(batch_index, *index_tuple)]
    return gathered.reshape(
        [*(batch_shape if batch else ()), *indices.shape[batch:-1], *value.shape[batch + depth :]]
    )


_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _scatter(a: Attributes, value: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    axis, kind = a("axis", 0), a("reduction", "none")
    indices = _from_front(indices, value.shape[axis])
    if kind == "none":
        return torch.scatter(value, axis, indices, updates)
    return torch.scatter_reduce(value, axis, indices, updates, _REDUCTIONS[kind])


def _scatter_nd(a: Attributes, value: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    depth, kind = indices.shape[-1], a("reduction", "none")
    index_tuple = [
        _from_front(indices[..., level], value.shape[level]).reshape(-1) for level in range(depth)
    ]
    rest = value.shape[depth:]
    flat_updates = updates.reshape(-1, *rest)
    if kind in ("none", "add"):
        return value.index_put(tuple(index_tuple), flat_updates, accumulate=kind == "add")
    flat = torch.zeros_like(index_tuple[0])
    for level, index in enumerate(index_tuple):
        flat = flat * value.shape[level] + index
    rows = value.reshape(-1, *rest)
    return torch.index_reduce(rows, 0, flat, flat_updates, _REDUCTIONS[kind]).reshape(value.shape)


def _tensor_scatter(a: Attributes, value: Tensor, update: Tensor, starts: Any = None) -> Tensor:
    axis = a("axis", -2) % value.ndim
    length, size = update.shape[axis], value.shape[axis]
    indices = torch.arange(length, device=value.device)[None]
    if starts is not None:
        indices = indices + starts.to(torch.int64)[:, None]
    if a("mode", "linear") == "circular":
        indices = indices % size
    indices = indices.expand(len(value), length).reshape(
        [len(value), *[1] * (axis - 1), length, *[1] * (value.ndim - axis - 1)]
    )
    return torch.scatter(value, axis, indices.expand(update.shape), update)


def _compressed(a: Attributes, value: Tensor, chosen: Tensor) -> Tensor:
    axis = a("axis")
    if axis is None:
        value, axis = value.reshape(-1), 0
    return value.index_select(axis, torch.nonzero(chosen).reshape(-1))


def _one_hot(a: Attributes, indices: Tensor, depth: Array, levels: Tensor) -> Tensor:
    count, axis = int(depth.reshape(-1)[0]), a("axis", -1)
    integer_indices = indices.to(torch.int64)
    is_inside = (integer_indices >= -count) & (integer_indices < count)
    is_hot = functional.one_hot(integer_indices % count, count).bool() & is_inside[..., None]
    return torch.where(is_hot.movedim(-1, axis), levels[1], levels[0])


def _nonzero(value: Tensor) -> Tensor:
    return torch.nonzero(value).T


def _largest(a: Attributes, value: Tensor, count: Any = None) -> Any:
    number = a("k") if count is None else integers(count)[0]
    axis, descending = a("axis", -1), bool(a("largest", 1))
    ordered = torch.sort(
        widened(lambda given: given)(value), dim=axis, descending=descending, stable=True
    )
    return ordered.values.narrow(axis, 0, number), ordered.indices.narrow(axis, 0, number)


def _which(function: Any, a: Attributes, value: Tensor) -> Tensor:
    axis, keeps = a("axis", 0), bool(a("keepdims", 1))
    if not a("select_last_index", 0):
        is_best = (
            value == (torch.amax if function == "max" else torch.amin)(value, axis, keepdim=True)
        ).to(torch.int64)
        return torch.argmax(is_best, axis, keepdim=keeps)  # the first of those that are equal
    flipped = value.flip(axis)
    is_best = (
        flipped == (torch.amax if function == "max" else torch.amin)(value, axis, keepdim=True)
    ).to(torch.int64)
    return value.shape[axis] - 1 - torch.argmax(is_best, axis, keepdim=keeps)


def _reversed(a: Attributes, value: Tensor, lengths: Tensor) -> Tensor:
    time, batch = a("time_axis", 0), a("batch_axis", 1)
    moved = value.movedim((time, batch), (0, 1))
    return reversed_in_time(moved, lengths).movedim((0, 1), (time, batch))


def reversed_in_time(value: Tensor, lengths: Tensor) -> Tensor:
    """A tensor (T, N, ...) with the first `lengths` (N) steps of each example reversed."""
    steps = torch.arange(len(value), device=value.device)[:, None]
    lengths = lengths.to(torch.int64)
    indices = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return value.gather(
        0, indices.reshape([*indices.shape, *[1] * (value.ndim - 2)]).expand(value.shape)
    )


def _unique(a: Attributes, value: Tensor) -> Any:
    axis = a("axis")
    if axis is None:
        value, axis = value.reshape(-1), 0
    values, inverse, counts = torch.unique(value, return_inverse=True, return_counts=True, dim=axis)
    index = torch.arange(len(inverse), device=value.device)
    first = torch.full((len(counts),), len(inverse), device=value.device).scatter_reduce(
        0, inverse, index, "amin"
    )
    if not a("sorted", 1):
        by_first = torch.argsort(first)
        values, first, counts = (
            values.index_select(axis, by_first),
            first[by_first],
            counts[by_first],
        )
        inverse = torch.argsort(by_first)[inverse]
    return values, first, inverse, counts


def _columns_to_image(a: Attributes, value: Tensor, image: Array, block: Array) -> Tensor:
    """An image in which each pixel is the sum of all blocks that cover it."""
    sizes, kernel = integers(image), integers(block)
    axes = len(sizes)
    strides = a("strides") or [1] * axes
    dilations = a("dilations") or [1] * axes
    pads = a("pads") or [0] * 2 * axes
    if axes == 2 and pads[:2] == pads[2:]:
        return functional.fold(
            value, tuple(sizes), tuple(kernel), tuple(dilations), tuple(pads[:2]), tuple(strides)
        )
    steps = [
        (size + pads[axis] + pads[axis + axes] - dilations[axis] * (kernel[axis] - 1) - 1)
        // strides[axis]
        + 1
        for axis, size in enumerate(sizes)
    ]
    index = torch.zeros((), dtype=torch.int64, device=value.device)
    is_inside = torch.ones((), dtype=torch.bool, device=value.device)
    for axis in range(axes):
        coordinate = (
            torch.arange(kernel[axis])[:, None] * dilations[axis]
            + torch.arange(steps[axis]) * strides[axis]
            - pads[axis]
        )
        shape = [kernel[other] if other == axis else 1 for other in range(axes)] + [
            steps[other] if other == axis else 1 for other in range(axes)
        ]
        coordinate = coordinate.to(value.device).reshape(shape)
        index = index * sizes[axis] + coordinate.clamp(0, sizes[axis] - 1)
        is_inside = is_inside & (coordinate >= 0) & (coordinate < sizes[axis])
    count = int(np.prod(kernel))
    columns = value.reshape(len(value), -1, count * int(np.prod(steps)))
    columns = torch.where(is_inside.reshape(-1), columns, torch.zeros_like(columns))
    empty = columns.new_zeros(*columns.shape[:2], int(np.prod(sizes)))
    return empty.index_add(2, index.reshape(-1), columns).reshape(*columns.shape[:2], *sizes)


def _cumulated(function: Any, a: Attributes, value: Tensor, axis: Array, neutral: int) -> Tensor:
    along = int(axis.reshape(-1)[0]) % value.ndim
    ordered = value.flip(along) if a("reverse", 0) else value
    if a("exclusive", 0):
        flat = [0, 0] * (value.ndim - 1 - along) + [1, 0]
        ordered = functional.pad(
            ordered.narrow(along, 0, value.shape[along] - 1), flat, value=neutral
        )
    total = widened(lambda given: function(given, along))(ordered)
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
