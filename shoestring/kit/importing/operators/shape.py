"""ONNX's operators on shapes as torch's: what moves numbers about and computes none."""

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
    numbers,
    settled,
    type_of,
    whole,
)


def _axes(a: Attributes, axes: Any) -> list[int] | None:
    """Those of an attribute, before opset 13, or of an input; None where neither says any."""
    found = a("axes") if axes is None else axes.reshape(-1).tolist()
    return None if found is None else [int(one) for one in found]


def _reshape(a: Attributes, value: Tensor, shape: Any = None) -> Tensor:
    sizes = list(a("shape", ())) if shape is None else whole(shape)
    if not a("allowzero", 0):
        sizes = [
            value.shape[place] if type(one) is int and one == 0 else one
            for place, one in enumerate(sizes)
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
    places = _axes(a, axes)
    return torch.squeeze(value) if places is None else torch.squeeze(value, tuple(places))


def _unsqueeze(a: Attributes, value: Tensor, axes: Any = None) -> Tensor:
    places = _axes(a, axes) or []
    if len(places) == 1:
        return torch.unsqueeze(value, places[0])
    for place in sorted(one % (value.ndim + len(places)) for one in places):
        value = torch.unsqueeze(value, place)
    return value


def _squeeze_numbers(a: Attributes, value: Array, axes: Any = None) -> Array:
    places = _axes(a, axes)
    return np.squeeze(value, None if places is None else tuple(places))


def _unsqueeze_numbers(a: Attributes, value: Array, axes: Any = None) -> Array:
    return np.expand_dims(value, tuple(_axes(a, axes) or []))


def _transpose(a: Attributes, value: Tensor) -> Tensor:
    order = a("perm")
    return value.permute(tuple(reversed(range(value.ndim))) if order is None else tuple(order))


def _broadcast(value: Tensor, shape: Array) -> Tensor:
    """Either may have fewer axes, or axes of length 1."""
    wanted = whole(shape)
    have = [1] * (len(wanted) - value.ndim) + list(value.shape)
    wanted = [1] * (len(have) - len(wanted)) + wanted
    sizes = [
        mine if type(other) is int and other == 1 else other
        for mine, other in zip(have, wanted, strict=True)
    ]
    return value.expand(sizes)


def _concatenated(a: Attributes, *values: Tensor) -> Tensor:
    return torch.cat(values, a("axis", 1))


def _parts(a: Attributes, length: Any, sizes: Any) -> list[Any]:
    given = a("split") if sizes is None else whole(sizes)
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
    """What is taken of each axis that is cut. Before opset 10 attributes said it."""
    first = list(a("starts")) if starts is None else whole(starts)
    last = list(a("ends")) if ends is None else whole(ends)
    places = a("axes") if axes is None else whole(axes)
    places = range(len(first)) if places is None else places
    by = [1] * len(first) if steps is None else whole(steps)
    return [
        (int(place) % axes_of, slice(begin, end, step))
        for place, begin, end, step in zip(places, first, last, by, strict=True)
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
            places = range(*part.indices(value.shape[axis]))
            value = value.index_select(
                axis, torch.tensor(list(places), dtype=torch.int64, device=value.device)
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
    """What is added before and after each axis."""
    given = list(a("pads", a("paddings", ()))) if pads is None else whole(pads)
    places = range(axes_of) if axes is None else [int(one) % axes_of for one in axes.reshape(-1)]
    found: list[tuple[Any, Any]] = [(0, 0)] * axes_of
    for turn, place in enumerate(places):
        found[place] = given[turn], given[turn + len(given) // 2]
    return found


_OF_TORCH = {"reflect": "reflect", "edge": "replicate"}
"""torch's names for ways of padding; it has them for a size that is known, as a step of its own."""


def _padded(
    a: Attributes, value: Tensor, pads: Any = None, filled: Any = None, axes: Any = None
) -> Tensor:
    sizes, mode = _padding(a, value.ndim, pads, axes), a("mode", "constant")
    if mode == "constant":
        number = a("value", 0.0) if filled is None or not filled.size else filled.item()
        flat = [one for pair in reversed(sizes) for one in pair]
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
        known = all(type(one) is int for one in (before, after, size)) and value.is_floating_point()
        if known and mode in _OF_TORCH and min(before, after) >= 0 and max(before, after) < size:
            rows = value.movedim(axis, -1)
            flat = functional.pad(rows.reshape(1, -1, size), (before, after), _OF_TORCH[mode])
            value = flat.reshape(*rows.shape[:-1], before + size + after).movedim(-1, axis)
            continue
        places = torch.arange(-before, size + after, device=value.device)
        # As a tensor: where an axis varies, exporters take no size for a number that functions are
        # given.
        count = torch.arange(size, size + 1, device=value.device)
        if mode == "edge":
            places = torch.minimum(places.clamp_min(0), count - 1)
        elif mode == "wrap":
            places = places % count
        else:  # reflect
            period = (2 * (count - 1)).clamp_min(1)
            places = places % period
            places = torch.where(places < count, places, period - places)
        value = value.index_select(axis, places)
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
    return torch.full(tuple(whole(shape)), value.item(), dtype=value.dtype)


def _filled_numbers(a: Attributes, shape: Array) -> Any:
    given = a("value")
    sizes = whole(shape)
    if (
        given is None
        or given.dtype not in (torch.int64, torch.bool)
        or len(sizes) > 1
        or not all(type(n) is int for n in sizes)
    ):
        return _filled(a, shape)
    return np.full(tuple(sizes), given.item())


def _expanded_numbers(_: Attributes, value: Array, shape: Array) -> Any:
    if shape.dtype == object or value.dtype.kind == "f":  # as large as an input, and no size itself
        return _broadcast(as_tensor(value), shape)
    sizes = tuple(int(one) for one in shape.reshape(-1))
    return np.broadcast_to(value, np.broadcast_shapes(value.shape, sizes))


class _Range(Operator):
    """Numbers from one to another, of the type of the first."""

    def run(self, attributes: Attributes, values: Any) -> Any:
        """What it gives."""
        first = values[0] if isinstance(values[0], Tensor) else as_tensor(values[0])
        return self.call(first.dtype, *(numbers(one).reshape(-1)[0] for one in values))


def _ranged(kind: torch.dtype, *given: Any) -> Tensor:
    start, end, step = (one.item() if isinstance(one, np.generic) else one for one in given)
    if kind.is_floating_point:
        return torch.arange(
            start, end, step, dtype=torch.float64 if kind == torch.float64 else torch.float32
        ).to(kind)
    return torch.arange(start, end, step, dtype=torch.int64).to(kind)


def _shape(a: Attributes, value: Any) -> Array:
    """Before opset 15 of all axes."""
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
    sizes = whole(shape)
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
        _reshape, known=(1,), of_numbers=lambda _, value, shape: value.reshape(whole(shape))
    ),
    "Shape": Operator(_shape, of_numbers=_shape),
    "Size": Operator(_size, of_numbers=_size),
    "Slice": Operator(_sliced, known=(1, 2, 3, 4), of_numbers=_sliced_numbers),
    "SpaceToDepth": Operator(_space_to_depth),
    "Split": Operator(_split, known=(1,), of_numbers=_split_numbers),
    "Squeeze": Operator(_squeeze, known=(1,), of_numbers=_squeeze_numbers),
    "Tile": Operator(lambda _, value, times: value.repeat(whole(times)), known=(1,)),
    "Transpose": Operator(_transpose, of_numbers=lambda a, value: np.transpose(value, a("perm"))),
    "Trilu": Operator(_triangle, known=(1,)),
    "Unsqueeze": Operator(_unsqueeze, known=(1,), of_numbers=_unsqueeze_numbers),
}
