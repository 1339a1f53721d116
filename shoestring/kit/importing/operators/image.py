"""ONNX's resizing and sampling of images as torch functions, and the selection of boxes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.importing.operators.operator import Array, Attributes, Operator, integers

# What torch's interpolation serves: mode, transformation of coordinates, choice of the nearest.
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
    """A value resized axis by axis.

    Each number is a weighted sum of neighbours; the weights depend on where it comes from.
    """
    if a.opset < 11:
        roi, scales = None, roi
    axes = [axis % value.ndim for axis in a("axes") or range(value.ndim)]
    wanted = None if sizes is None or not sizes.size else integers(sizes)
    given_scales = (
        None if scales is None or not scales.size else [float(s) for s in scales.reshape(-1)]
    )
    factors = dict.fromkeys(range(value.ndim), 1.0)
    goals: dict[int, Any] = dict(enumerate(value.shape))
    if wanted is not None:
        ratios = [goal / value.shape[axis] for goal, axis in zip(wanted, axes, strict=True)]
        policy = a("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            wanted = [math.floor(ratio * value.shape[axis] + 0.5) for axis in axes]
            ratios = [ratio] * len(axes)
        factors |= dict(zip(axes, ratios, strict=True))
        goals |= dict(zip(axes, wanted, strict=True))
    elif given_scales is not None:
        factors |= dict(zip(axes, given_scales, strict=True))
        goals |= {
            axis: math.floor(value.shape[axis] * scale)
            for axis, scale in zip(axes, given_scales, strict=True)
        }
    if (resized := _by_torch(a, value, goals, given_scales)) is not None:
        return resized
    crops = a("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    bounds = [float(bound) for bound in roi.reshape(-1)] if crops else []
    outside: Tensor | None = None
    kind, answer = value.dtype, value if value.is_floating_point() else value.float()
    for index, axis in enumerate(axes):
        region = (bounds[index], bounds[index + len(axes)]) if crops else None
        if goals[axis] == value.shape[axis] and factors[axis] == 1 and not crops:
            continue
        coordinates = _coordinates(a, value.shape[axis], goals[axis], factors[axis], region)
        if crops:
            is_outside = (coordinates < 0) | (coordinates > value.shape[axis] - 1)
            is_outside = is_outside.reshape([-1 if at == axis else 1 for at in range(value.ndim)])
            outside = is_outside if outside is None else outside | is_outside
        answer = _along(a, answer, axis, coordinates, factors[axis])
    if outside is not None:
        answer = torch.where(
            outside, torch.full_like(answer, a("extrapolation_value", 0.0)), answer
        )
    return answer if kind.is_floating_point else answer.round().to(kind)


def _by_torch(a: Attributes, value: Tensor, goals: dict[int, Any], scales: Any) -> Tensor | None:
    """The value resized by torch's own function; None where that computes something else."""
    mode, is_old = a("mode", "nearest"), a.opset < 11
    transformation = a("coordinate_transformation_mode", "asymmetric" if is_old else "half_pixel")
    nearest = (
        a("nearest_mode", "floor" if is_old else "round_prefer_floor") if mode == "nearest" else ""
    )
    served = _PLAIN.get((mode, transformation, nearest))
    is_image = value.ndim in _LINEAR and all(
        goals[axis] is value.shape[axis] or goals[axis] == value.shape[axis] for axis in (0, 1)
    )
    if served is None or not is_image or not value.is_floating_point():
        return None
    is_special = a("antialias", 0) or a("exclude_outside", 0) or a("cubic_coeff_a", -0.75) != -0.75
    if (
        is_special
        or (served[0] == "bicubic" and value.ndim != 4)
        or a("keep_aspect_ratio_policy", "stretch") != "stretch"
    ):
        return None
    if (
        mode != "nearest"
        and transformation == "pytorch_half_pixel"
        and any(goals[axis] == 1 for axis in range(2, value.ndim))
    ):
        return None
    is_exact = [
        goals[axis] == value.shape[axis] * scale
        for axis, scale in enumerate(scales or ())
        if axis > 1
    ]
    if scales is not None and (len(scales) != value.ndim or not all(is_exact)):
        return None
    size = [goals[axis] for axis in range(2, value.ndim)]
    return functional.interpolate(
        value,
        size=size,
        mode=_LINEAR[value.ndim] if served[0] == "linear" else served[0],
        align_corners=served[1],
    )


def _coordinates(
    a: Attributes, size: int, goal: int, scale: float, roi: tuple[float, float] | None
) -> Tensor:
    """The coordinate in the old axis of each index in the new one (float64)."""
    is_old = a.opset < 11
    mode, new_size = (
        a("coordinate_transformation_mode", "asymmetric" if is_old else "half_pixel"),
        scale * size,
    )
    index = torch.arange(goal, dtype=torch.float64)
    if mode == "align_corners":
        return index * 0 if new_size == 1 else index * (size - 1) / (new_size - 1)
    if mode == "asymmetric":
        return index / scale
    if mode == "tf_crop_and_resize":
        assert roi is not None
        start, end = roi
        offset = (
            index * 0 + (end - start) * (size - 1) / 2
            if new_size == 1
            else index * (end - start) * (size - 1) / (new_size - 1)
        )
        return offset + start * (size - 1)
    if mode == "pytorch_half_pixel" and new_size == 1:
        return index * 0 - 0.5
    shift = size / 2 * (1 - goal / new_size) if mode == "half_pixel_symmetric" else 0.0
    return shift + (index + 0.5) / scale - 0.5


def _along(a: Attributes, value: Tensor, axis: int, coordinates: Tensor, scale: float) -> Tensor:
    """The value with one axis resized."""
    mode, size = a("mode", "nearest"), value.shape[axis]
    if mode == "nearest":
        chosen = a("nearest_mode", "floor" if a.opset < 11 else "round_prefer_floor")
        coordinates = coordinates.round(decimals=9)  # removes errors of rounding near integers
        neighbour = {
            "round_prefer_floor": lambda x: torch.ceil(x - 0.5),
            "round_prefer_ceil": lambda x: torch.floor(x + 0.5),
            "floor": torch.floor,
            "ceil": torch.ceil,
        }[chosen](coordinates)
        return value.index_select(
            axis, neighbour.clamp(0, size - 1).to(torch.int64).to(value.device)
        )
    shrinks = min(scale, 1.0) if a("antialias", 0) else 1.0
    reach = 1 if mode == "linear" else 2
    first = torch.floor(coordinates)
    lowest = math.floor(-reach / shrinks) + 1
    total: Any = 0.0
    sums: Any = 0.0
    for offset in range(lowest, reach + 1 - lowest - (reach - 1)):
        neighbour = first + offset
        weight = _weight(a, (neighbour - coordinates) * shrinks)
        if a("exclude_outside", 0):
            weight = torch.where(
                (neighbour < 0) | (neighbour > size - 1), torch.zeros_like(weight), weight
            )
        sums = sums + weight
        shaped = weight.reshape([-1 if at == axis else 1 for at in range(value.ndim)]).to(value)
        total = total + shaped * value.index_select(
            axis, neighbour.clamp(0, size - 1).to(torch.int64).to(value.device)
        )
    if shrinks == 1 and not a("exclude_outside", 0):
        return total
    return total / sums.reshape([-1 if at == axis else 1 for at in range(value.ndim)]).to(value)


def _weight(a: Attributes, distance: Tensor) -> Tensor:
    """The weight of a neighbour at this distance."""
    x = distance.abs()
    if a("mode", "nearest") == "linear":
        return (1 - x).clamp_min(0)
    c = a("cubic_coeff_a", -0.75)
    near = (c + 2) * x**3 - (c + 3) * x**2 + 1
    far = c * x**3 - 5 * c * x**2 + 8 * c * x - 4 * c
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _upsampled(a: Attributes, value: Tensor, scales: Any = None) -> Tensor:
    given_scales = torch.tensor(a("scales")).numpy() if scales is None else scales
    mode = {"nearest": "nearest", "linear": "linear", "bilinear": "linear"}[a("mode", "nearest")]
    return _resized(Attributes({"mode": mode}, 10), value, given_scales)


def _sampled(a: Attributes, value: Tensor, grid: Tensor) -> Tensor:
    mode: str = {"linear": "bilinear", "cubic": "bicubic"}.get(a("mode", "linear")) or a("mode")
    return functional.grid_sample(
        value, grid, mode, a("padding_mode", "zeros"), bool(a("align_corners", 0))
    )


def _affine(a: Attributes, theta: Tensor, size: Array) -> Tensor:
    return functional.affine_grid(theta, integers(size), bool(a("align_corners", 0)))


def _kept_boxes(
    a: Attributes,
    boxes: Tensor,
    scores: Tensor,
    max_boxes: Any = None,
    max_overlap: Any = None,
    min_score: Any = None,
) -> Tensor:
    """Non-maximum suppression: (image, class, box) of each box that is kept.

    A box is kept where it overlaps no better one of its class by more than a threshold.
    """
    count = int(max_boxes.reshape(-1)[0]) if max_boxes is not None else 0
    threshold = float(max_overlap.reshape(-1)[0]) if max_overlap is not None else 0.0
    floor = float(min_score.reshape(-1)[0]) if min_score is not None else None
    if a("center_point_box", 0):
        centre, size = boxes[..., :2], boxes[..., 2:]
        low, high = centre - size / 2, centre + size / 2
    else:
        low, high = (
            torch.minimum(boxes[..., :2], boxes[..., 2:]),
            torch.maximum(boxes[..., :2], boxes[..., 2:]),
        )
    selected: list[tuple[int, int, int]] = []
    for image, classes in enumerate(scores):
        for class_index, class_scores in enumerate(classes):
            order = torch.argsort(class_scores, descending=True, stable=True).tolist()
            kept: list[int] = []
            for box in order:
                if len(kept) >= count or (floor is not None and not class_scores[box] > floor):
                    break
                sides = (
                    torch.minimum(high[image, box], high[image, kept])
                    - torch.maximum(low[image, box], low[image, kept])
                ).clamp_min(0)
                intersection = sides.prod(-1)
                areas = (high[image] - low[image]).prod(-1)
                if not kept or not bool(
                    (intersection > threshold * (areas[box] + areas[kept] - intersection)).any()
                ):
                    kept.append(box)
                    selected.append((image, class_index, box))
    return torch.tensor(selected, dtype=torch.int64).reshape(-1, 3)


TABLE: dict[str, Operator] = {
    "AffineGrid": Operator(_affine, known=(1,)),
    "GridSample": Operator(_sampled),
    "NonMaxSuppression": Operator(_kept_boxes, known=(2, 3, 4)),
    "Resize": Operator(_resized, known=(1, 2, 3)),
    "Upsample": Operator(_upsampled, known=(1,)),
}
