"""ONNX's resizing and sampling of images as torch's, and the boxes that detectors keep."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.operator import Array, Attributes, Operator, whole

# what torch's own interpolation does: mode, how coordinates are turned, how the nearest is chosen
_PLAIN = {
    ("nearest", "asymmetric", "floor"): ("nearest", None),
    ("linear", "half_pixel", ""): ("linear", False),
    ("linear", "pytorch_half_pixel", ""): ("linear", False),
    ("linear", "align_corners", ""): ("linear", True),
    ("cubic", "half_pixel", ""): ("bicubic", False),
    ("cubic", "pytorch_half_pixel", ""): ("bicubic", False),
    ("cubic", "align_corners", ""): ("bicubic", True),
}
_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


def _resized(
    a: Attributes, value: Tensor, roi: Any = None, scales: Any = None, sizes: Any = None
) -> Tensor:
    """Each axis by itself: a number is a sum of its neighbours, with weights that depend on where
    it comes from.
    """
    if a.opset < 11:
        roi, scales = None, roi
    axes = [one % value.ndim for one in a("axes") or range(value.ndim)]
    wanted = None if sizes is None or not sizes.size else whole(sizes)
    by = None if scales is None or not scales.size else [float(one) for one in scales.reshape(-1)]
    factors = dict.fromkeys(range(value.ndim), 1.0)
    goals: dict[int, Any] = dict(enumerate(value.shape))
    if wanted is not None:
        ratios = [goal / value.shape[axis] for goal, axis in zip(wanted, axes, strict=True)]
        policy = a("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            one = min(ratios) if policy == "not_larger" else max(ratios)
            wanted = [math.floor(one * value.shape[axis] + 0.5) for axis in axes]
            ratios = [one] * len(axes)
        factors |= dict(zip(axes, ratios, strict=True))
        goals |= dict(zip(axes, wanted, strict=True))
    elif by is not None:
        factors |= dict(zip(axes, by, strict=True))
        goals |= {
            axis: math.floor(value.shape[axis] * scale)
            for axis, scale in zip(axes, by, strict=True)
        }
    if (plain := _by_torch(a, value, goals, by)) is not None:
        return plain
    crops = a("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    bounds = [float(one) for one in roi.reshape(-1)] if crops else []
    outside: Tensor | None = None
    kind, answer = value.dtype, value if value.is_floating_point() else value.float()
    for turn, axis in enumerate(axes):
        own = (bounds[turn], bounds[turn + len(axes)]) if crops else None
        if goals[axis] == value.shape[axis] and factors[axis] == 1 and not crops:
            continue
        places = _coordinates(a, value.shape[axis], goals[axis], factors[axis], own)
        if crops:
            beyond = (places < 0) | (places > value.shape[axis] - 1)
            beyond = beyond.reshape([-1 if at == axis else 1 for at in range(value.ndim)])
            outside = beyond if outside is None else outside | beyond
        answer = _along(a, answer, axis, places, factors[axis])
    if outside is not None:
        answer = torch.where(
            outside, torch.full_like(answer, a("extrapolation_value", 0.0)), answer
        )
    return answer if kind.is_floating_point else answer.round().to(kind)


def _by_torch(a: Attributes, value: Tensor, goals: dict[int, Any], by: Any) -> Tensor | None:
    """By torch's own function, where that does the same."""
    mode, old = a("mode", "nearest"), a.opset < 11
    turned = a("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    chosen = (
        a("nearest_mode", "floor" if old else "round_prefer_floor") if mode == "nearest" else ""
    )
    found = _PLAIN.get((mode, turned, chosen))
    images = value.ndim in _LINEAR and all(
        goals[axis] is value.shape[axis] or goals[axis] == value.shape[axis] for axis in (0, 1)
    )
    if found is None or not images or not value.is_floating_point():
        return None
    special = a("antialias", 0) or a("exclude_outside", 0) or a("cubic_coeff_a", -0.75) != -0.75
    if (
        special
        or (found[0] == "bicubic" and value.ndim != 4)
        or a("keep_aspect_ratio_policy", "stretch") != "stretch"
    ):
        return None
    if (
        mode != "nearest"
        and turned == "pytorch_half_pixel"
        and any(goals[axis] == 1 for axis in range(2, value.ndim))
    ):
        return None
    exact = [
        goals[axis] == value.shape[axis] * scale for axis, scale in enumerate(by or ()) if axis > 1
    ]
    if by is not None and (len(by) != value.ndim or not all(exact)):
        return None
    size = [goals[axis] for axis in range(2, value.ndim)]
    return functional.interpolate(
        value,
        size=size,
        mode=_LINEAR[value.ndim] if found[0] == "linear" else found[0],
        align_corners=found[1],
    )


def _coordinates(
    a: Attributes, size: int, goal: int, scale: float, roi: tuple[float, float] | None
) -> Tensor:
    """Where in the old axis each number of the new one comes from."""
    old = a.opset < 11
    mode, new = (
        a("coordinate_transformation_mode", "asymmetric" if old else "half_pixel"),
        scale * size,
    )
    x = torch.arange(goal, dtype=torch.float64)
    if mode == "align_corners":
        return x * 0 if new == 1 else x * (size - 1) / (new - 1)
    if mode == "asymmetric":
        return x / scale
    if mode == "tf_crop_and_resize":
        assert roi is not None
        start, end = roi
        along = (
            x * 0 + (end - start) * (size - 1) / 2
            if new == 1
            else x * (end - start) * (size - 1) / (new - 1)
        )
        return along + start * (size - 1)
    if mode == "pytorch_half_pixel" and new == 1:
        return x * 0 - 0.5
    shift = size / 2 * (1 - goal / new) if mode == "half_pixel_symmetric" else 0.0
    return shift + (x + 0.5) / scale - 0.5


def _along(a: Attributes, value: Tensor, axis: int, places: Tensor, scale: float) -> Tensor:
    """One axis, resized."""
    mode, size = a("mode", "nearest"), value.shape[axis]
    if mode == "nearest":
        chosen = a("nearest_mode", "floor" if a.opset < 11 else "round_prefer_floor")
        places = places.round(decimals=9)  # what is whole but for rounding is whole
        near = {
            "round_prefer_floor": lambda x: torch.ceil(x - 0.5),
            "round_prefer_ceil": lambda x: torch.floor(x + 0.5),
            "floor": torch.floor,
            "ceil": torch.ceil,
        }[chosen](places)
        return value.index_select(axis, near.clamp(0, size - 1).to(torch.int64).to(value.device))
    shrinks = min(scale, 1.0) if a("antialias", 0) else 1.0
    reach = 1 if mode == "linear" else 2
    first = torch.floor(places)
    low = math.floor(-reach / shrinks) + 1
    total: Any = 0.0
    sums: Any = 0.0
    for step in range(low, reach + 1 - low - (reach - 1)):
        near = first + step
        weight = _weight(a, (near - places) * shrinks)
        if a("exclude_outside", 0):
            weight = torch.where((near < 0) | (near > size - 1), torch.zeros_like(weight), weight)
        sums = sums + weight
        own = weight.reshape([-1 if at == axis else 1 for at in range(value.ndim)]).to(value)
        total = total + own * value.index_select(
            axis, near.clamp(0, size - 1).to(torch.int64).to(value.device)
        )
    if shrinks == 1 and not a("exclude_outside", 0):
        return total
    return total / sums.reshape([-1 if at == axis else 1 for at in range(value.ndim)]).to(value)


def _weight(a: Attributes, apart: Tensor) -> Tensor:
    """That of a neighbour so far away."""
    x = apart.abs()
    if a("mode", "nearest") == "linear":
        return (1 - x).clamp_min(0)
    c = a("cubic_coeff_a", -0.75)
    near = (c + 2) * x**3 - (c + 3) * x**2 + 1
    far = c * x**3 - 5 * c * x**2 + 8 * c * x - 4 * c
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _upsampled(a: Attributes, value: Tensor, scales: Any = None) -> Tensor:
    by = torch.tensor(a("scales")).numpy() if scales is None else scales
    mode = {"nearest": "nearest", "linear": "linear", "bilinear": "linear"}[a("mode", "nearest")]
    return _resized(Attributes({"mode": mode}, 10), value, by)


def _sampled(a: Attributes, value: Tensor, grid: Tensor) -> Tensor:
    mode: str = {"linear": "bilinear", "cubic": "bicubic"}.get(a("mode", "linear")) or a("mode")
    return functional.grid_sample(
        value, grid, mode, a("padding_mode", "zeros"), bool(a("align_corners", 0))
    )


def _affine(a: Attributes, theta: Tensor, size: Array) -> Tensor:
    return functional.affine_grid(theta, whole(size), bool(a("align_corners", 0)))


def _kept_boxes(
    a: Attributes,
    boxes: Tensor,
    scores: Tensor,
    most: Any = None,
    overlap: Any = None,
    least: Any = None,
) -> Tensor:
    """(image, class, box) of the boxes that overlap no better one of their class by more than a
    share.
    """
    count = int(most.reshape(-1)[0]) if most is not None else 0
    share = float(overlap.reshape(-1)[0]) if overlap is not None else 0.0
    floor = float(least.reshape(-1)[0]) if least is not None else None
    if a("center_point_box", 0):
        centre, size = boxes[..., :2], boxes[..., 2:]
        low, high = centre - size / 2, centre + size / 2
    else:
        low, high = (
            torch.minimum(boxes[..., :2], boxes[..., 2:]),
            torch.maximum(boxes[..., :2], boxes[..., 2:]),
        )
    found: list[tuple[int, int, int]] = []
    for image, classes in enumerate(scores):
        for number, own in enumerate(classes):
            order = torch.argsort(own, descending=True, stable=True).tolist()
            kept: list[int] = []
            for at in order:
                if len(kept) >= count or (floor is not None and not own[at] > floor):
                    break
                sides = (
                    torch.minimum(high[image, at], high[image, kept])
                    - torch.maximum(low[image, at], low[image, kept])
                ).clamp_min(0)
                both = sides.prod(-1)
                areas = (high[image] - low[image]).prod(-1)
                if not kept or not bool((both > share * (areas[at] + areas[kept] - both)).any()):
                    kept.append(at)
                    found.append((image, number, at))
    return torch.tensor(found, dtype=torch.int64).reshape(-1, 3)


TABLE: dict[str, Operator] = {
    "AffineGrid": Operator(_affine, known=(1,)),
    "GridSample": Operator(_sampled),
    "NonMaxSuppression": Operator(_kept_boxes, known=(2, 3, 4)),
    "Resize": Operator(_resized, known=(1, 2, 3)),
    "Upsample": Operator(_upsampled, known=(1,)),
}
