"""ONNX's operators on shapes as torch functions, which move numbers and compute none."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.operator import (
    TYPES,
    UNSIGNED,
    Array,
    Attributes,
    Operator,
    as_tensor,
    integers,
    numbers,
    settled,
    type_of,
)


def _axes(a: Attributes, axes: Any) -> list[int] | None:
    """The axes of an attribute (before opset 13) or of an input; None where there are none."""
    given = a("axes") if axes is None else axes.reshape(-1).tolist()
    return None if given is None else [int(axis) for axis in given]


def _reshape(a: Attributes, value: Tensor, shape: Any = None) -> Tensor:
    sizes = list(a("shape", ())) if shape is None else integers(shape)
    if not a("allowzero", 0):
        sizes = [
            value.shape[axis] if type(size) is int and size == 0 else size
            for axis, size in enumerate(sizes)
        ]
    return value.reshape(sizes)


def _flatten(a: Attributes, value: Tensor) -> Tensor:
    axis = a("axis", 1)
    if axis == 1:
        return (
            torch.flatten(value, 1)
            if not isinstance(value, Tensor) or value.ndim > 1
            else value[:, None]
        )
    axis = axis + value.ndim if axis < 0 else axis
    rows = 1
    for size in value.shape[:axis]:
        rows = rows * size
    return (
        value.reshape(rows, -1)
        if value.numel()
        else value.reshape(rows, int(np.prod(value.shape[axis:])))
    )


def _squeeze(a: Attributes, value: Tensor, axes: Any = None) -> Tensor:
    chosen = _axes(a, axes)
    return torch.squeeze(value) if chosen is None else torch.squeeze(value, tuple(chosen))


def _unsqueeze(a: Attributes, value: Tensor, axes: Any = None) -> Tensor:
    chosen = _axes(a, axes) or []
    if len(chosen) == 1:
        return torch.unsqueeze(value, chosen[0])
    for axis in sorted(given % (value.ndim + len(chosen)) for given in chosen):
        value = torch.unsqueeze(value, axis)
    return value


def _squeeze_numbers(a: Attributes, value: Array, axes: Any = None) -> Array:
    chosen = _axes(a, axes)
    return np.squeeze(value, None if chosen is None else tuple(chosen))


def _unsqueeze_numbers(a: Attributes, value: Array, axes: Any = None) -> Array:
    return np.expand_dims(value, tuple(_axes(a, axes) or []))


def _transpose(a: Attributes, value: Tensor) -> Tensor:
    order = a("perm")
    return value.permute(tuple(reversed(range(value.ndim))) if order is None else tuple(order))


def _broadcast(value: Tensor, shape: Array) -> Tensor:
    """The value in a broadcast shape; either may have fewer axes, or axes of length 1."""
    wanted = integers(shape)
    have = [1] * (len(wanted) - value.ndim) + list(value.shape)
    wanted = [1] * (len(have) - len(wanted)) + wanted
    sizes = [
        size if type(goal) is int and goal == 1 else goal
        for size, goal in zip(have, wanted, strict=True)
    ]
    return value.expand(sizes)


def _concatenated(a: Attributes, *values: Tensor) -> Tensor:
    return torch.cat(values, a("axis", 1))


def _parts(a: Attributes, length: Any, sizes: Any) -> list[Any]:
    given = a("split") if sizes is None else integers(sizes)
    if given is not None:
        return list(given)
    count = a("num_outputs", a.outputs)
    each = -(-length // count)
    return [*[each] * (count - 1), length - each * (count - 1)]


def _split(a: Attributes, value: Tensor, sizes: Any = None) -> Any:
    axis = a("axis", 0)
    return torch.split(value, _parts(a, value.shape[axis], sizes), axis)


def _split_numbers(a: Attributes, value: Array, sizes: Any = None) -> Any:
    axis = a("axis", 0)
    ends = np.cumsum(_parts(a, value.shape[axis], sizes))[:-1]
    return tuple(np.split(value, ends, axis))


def _slices(
    a: Attributes, axes_of: int, starts: Any, ends: Any, axes: Any, steps: Any
) -> list[tuple[int, slice]]:
    """The slice of each axis that is cut; before opset 10 it is in attributes."""
    first = list(a("starts")) if starts is None else integers(starts)
    last = list(a("ends")) if ends is None else integers(ends)
    chosen = a("axes") if axes is None else integers(axes)
    chosen = range(len(first)) if chosen is None else chosen
    strides = [1] * len(first) if steps is None else integers(steps)
    return [
        (int(axis) % axes_of, slice(begin, end, step))
        for axis, begin, end, step in zip(chosen, first, last, strides, strict=True)
    ]


def _sliced(
    a: Attributes,
    value: Tensor,
    starts: Any = None,
    ends: Any = None,
    axes: Any = None,
    steps: Any = None,
) -> Tensor:
    taken: dict[int, slice] = {}
    for axis, part in _slices(a, value.ndim, starts, ends, axes, steps):
        if part.step > 0:
            taken[axis] = part
        else:
            indices = range(*part.indices(value.shape[axis]))
            value = value.index_select(
                axis, torch.tensor(list(indices), dtype=torch.int64, device=value.device)
            )
    if not taken:
        return value
    return value[tuple(taken.get(axis, slice(None)) for axis in range(max(taken) + 1))]


def _sliced_numbers(
    a: Attributes,
    value: Array,
    starts: Any = None,
    ends: Any = None,
    axes: Any = None,
    steps: Any = None,
) -> Array:
    taken = dict(_slices(a, value.ndim, starts, ends, axes, steps))
    return value[tuple(taken.get(axis, slice(None)) for axis in range(value.ndim))]


def _padding(a: Attributes, axes_of: int, pads: Any, axes: Any) -> list[tuple[Any, Any]]:
    """The padding before and after each axis."""
    given = list(a("pads", a("paddings", ()))) if pads is None else integers(pads)
    chosen = range(axes_of) if axes is None else [int(axis) % axes_of for axis in axes.reshape(-1)]
    padding: list[tuple[Any, Any]] = [(0, 0)] * axes_of
    for index, padded_axis in enumerate(chosen):
        padding[padded_axis] = given[index], given[index + len(given) // 2]
    return padding


_OF_TORCH = {"reflect": "reflect", "edge": "replicate"}
"""torch's names for modes of padding, which it serves where the size is known."""


def _padded(
    a: Attributes, value: Tensor, pads: Any = None, filler: Any = None, axes: Any = None
) -> Tensor:
    sizes, mode = _padding(a, value.ndim, pads, axes), a("mode", "constant")
    if mode == "constant":
        number = a("value", 0.0) if filler is None or not filler.size else filler.item()
        flat = [size for pair in reversed(sizes) for size in pair]
        kind = type_of(value)
        wide = value.to(torch.int64) if kind in UNSIGNED else value
        return (
            functional.pad(wide, flat, value=number).to(value.dtype)
            if number
            else functional.pad(wide, flat).to(value.dtype)
        )
    for axis, (before, after) in enumerate(sizes):
        if type(before) is int and type(after) is int and before == after == 0:
            continue
        size = value.shape[axis]
        is_known = (
            all(type(number) is int for number in (before, after, size))
            and value.is_floating_point()
        )
        if is_known and mode in _OF_TORCH and min(before, after) >= 0 and max(before, after) < size:
            rows = value.movedim(axis, -1)
            flat = functional.pad(rows.reshape(1, -1, size), (before, after), _OF_TORCH[mode])
            value = flat.reshape(*rows.shape[:-1], before + size + after).movedim(-1, axis)
            continue
        indices = torch.arange(-before, size + after, device=value.device)
        # As a tensor: exporters do not take the size of a varying axis as an argument of functions.
        count = torch.arange(size, size + 1, device=value.device)
        if mode == "edge":
            indices = torch.minimum(indices.clamp_min(0), count - 1)
        elif mode == "wrap":
            indices = indices % count
        else:  # reflect
            period = (2 * (count - 1)).clamp_min(1)
            indices = indices % period
            indices = torch.where(indices < count, indices, period - indices)
        value = value.index_select(axis, indices)
    return value


def _depth_to_space(a: Attributes, value: Tensor) -> Tensor:
    size = a("blocksize")
    count, channels, height, width = value.shape
    if a("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(value, size)
    parts = value.reshape(count, size, size, channels // size**2, height, width).permute(
        0, 3, 4, 1, 5, 2
    )
    return parts.reshape(count, channels // size**2, height * size, width * size)


def _space_to_depth(a: Attributes, value: Tensor) -> Tensor:
    size = a("blocksize")
    count, channels, height, width = value.shape
    parts = value.reshape(count, channels, height // size, size, width // size, size)
    if a("mode", "DCR") == "CRD":
        return functional.pixel_unshuffle(value, size)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(
        count, channels * size**2, height // size, width // size
    )


def _filled(a: Attributes, shape: Array) -> Tensor:
    given = a("value")
    value = torch.zeros(1) if given is None else given
    return torch.full(tuple(integers(shape)), value.item(), dtype=value.dtype)


def _filled_numbers(a: Attributes, shape: Array) -> Any:
    given = a("value")
    sizes = integers(shape)
    if (
        given is None
        or given.dtype not in (torch.int64, torch.bool)
        or len(sizes) > 1
        or not all(type(n) is int for n in sizes)
    ):
        return _filled(a, shape)
    return np.full(tuple(sizes), given.item())


def _expanded_numbers(_: Attributes, value: Array, shape: Array) -> Any:
    if shape.dtype == object or value.dtype.kind == "f":  # as large as an input, and no size
        return _broadcast(as_tensor(value), shape)
    sizes = tuple(int(size) for size in shape.reshape(-1))
    return np.broadcast_to(value, np.broadcast_shapes(value.shape, sizes))


class _Range(Operator):
    """Numbers from a start to an end, of the type of the start."""

    def run(self, attributes: Attributes, values: Any) -> Any:
        """The numbers."""
        first = values[0] if isinstance(values[0], Tensor) else as_tensor(values[0])
        return self.call(first.dtype, *(numbers(value).reshape(-1)[0] for value in values))


def _ranged(kind: torch.dtype, *given: Any) -> Tensor:
    start, end, step = (n.item() if isinstance(n, np.generic) else n for n in given)
    if kind.is_floating_point:
        return torch.arange(
            start, end, step, dtype=torch.float64 if kind == torch.float64 else torch.float32
        ).to(kind)
    return torch.arange(start, end, step, dtype=torch.int64).to(kind)


def _shape(a: Attributes, value: Any) -> Array:
    """The shape; before opset 15 always of all axes."""
    return settled(np.array([*value.shape], object)[a("start", 0) : a("end")])


def _size(_: Attributes, value: Any) -> Array:
    return settled(np.array(value.numel() if isinstance(value, Tensor) else value.size, object))


def _eye(a: Attributes, value: Tensor) -> Tensor:
    rows, columns = value.shape
    made = torch.ones(rows, columns, device=value.device)
    kept = torch.triu(torch.tril(made, a("k", 0)), a("k", 0))
    return kept.to(TYPES[a("dtype")] if a("dtype") else value.dtype)


def _triangle(a: Attributes, value: Tensor, k: Any = None) -> Tensor:
    diagonal = 0 if k is None else int(k.reshape(-1)[0])
    return torch.triu(value, diagonal) if a("upper", 1) else torch.tril(value, diagonal)


def _centred(a: Attributes, value: Tensor, shape: Array) -> Tensor:
    sizes = integers(shape)
    axes = a("axes") or range(value.ndim)
    for axis, size in zip(axes, sizes, strict=True):
        have = value.shape[axis]
        if have >= size:
            value = value.narrow(axis, (have - size) // 2, size)
        else:
            before = (size - have) // 2
            flat = [0, 0] * (value.ndim - 1 - axis % value.ndim) + [before, size - have - before]
            value = functional.pad(value, flat)
    return value


TABLE: dict[str, Operator] = {
    "CenterCropPad": Operator(_centred, known=(1,)),
    "Concat": Operator(
        _concatenated, of_numbers=lambda a, *values: settled(np.concatenate(values, a("axis", 1)))
    ),
    "ConstantOfShape": Operator(_filled, known=(0,), of_numbers=_filled_numbers),
    "DepthToSpace": Operator(_depth_to_space),
    "Expand": Operator(
        lambda _, value, shape: _broadcast(value, shape), known=(1,), of_numbers=_expanded_numbers
    ),
    "EyeLike": Operator(_eye),
    "Flatten": Operator(_flatten),
    "Pad": Operator(_padded, known=(1, 2, 3)),
    "Range": _Range(_ranged),
    "Reshape": Operator(
        _reshape, known=(1,), of_numbers=lambda _, value, shape: value.reshape(integers(shape))
    ),
    "Shape": Operator(_shape, of_numbers=_shape),
    "Size": Operator(_size, of_numbers=_size),
    "Slice": Operator(_sliced, known=(1, 2, 3, 4), of_numbers=_sliced_numbers),
    "SpaceToDepth": Operator(_space_to_depth),
    "Split": Operator(_split, known=(1,), of_numbers=_split_numbers),
    "Squeeze": Operator(_squeeze, known=(1,), of_numbers=_squeeze_numbers),
    "Tile": Operator(lambda _, value, times: value.repeat(integers(times)), known=(1,)),
    "Transpose": Operator(_transpose, of_numbers=lambda a, value: np.transpose(value, a("perm"))),
    "Trilu": Operator(_triangle, known=(1,)),
    "Unsqueeze": Operator(_unsqueeze, known=(1,), of_numbers=_unsqueeze_numbers),
}
