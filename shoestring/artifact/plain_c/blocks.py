"""Operators that spread, repeat or sum elements along axes."""

from __future__ import annotations

from math import prod

import numpy as np

from shoestring.artifact.plain_c.building import Building, Handler
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.moving import moved, same
from shoestring.artifact.plain_c.sequences import Running
from shoestring.artifact.plain_c.steps import dense_steps
from shoestring.artifact.plain_c.traced import Step


def depth_to_space(now: Building, step: Step) -> None:
    """Channels become blocks of the picture."""
    value, side = step.inputs[0] or 0, int(step.attributes["blocksize"])
    count, channels, height, width = now.shape(value)
    first = step.attributes.get("mode", "DCR") == "DCR"
    inner = channels // side**2
    parts = (count, side, side, inner, height, width)
    order = (0, 3, 4, 1, 5, 2)
    if not first:
        parts, order = (count, inner, side, side, height, width), (0, 1, 4, 2, 5, 3)
    _reordered(now, step, value, parts, order)


def space_to_depth(now: Building, step: Step) -> None:
    """Blocks of the picture become channels."""
    value, side = step.inputs[0] or 0, int(step.attributes["blocksize"])
    count, channels, height, width = now.shape(value)
    parts = (count, channels, height // side, side, width // side, side)
    _reordered(now, step, value, parts, (0, 3, 5, 1, 2, 4))


def _reordered(
    now: Building, step: Step, value: int, parts: tuple[int, ...], order: tuple[int, ...]
) -> None:
    """Copy a value, as an array of the shape `parts`, with the axes in another order."""
    steps = dense_steps(parts)
    axes = tuple(parts[axis] for axis in order)
    moved(now, step, value, axes, tuple(steps[axis] for axis in order))


def tile(now: Building, step: Step) -> None:
    """Repeat the whole array along axes."""
    value, counts = step.inputs[0] or 0, now.constant(step.inputs[1])
    if counts is None:
        raise NoPlainC(f"{step} repeats by numbers that are computed: C needs constant ones")
    shape = now.shape(value)
    axes, steps = [], []
    for count, length, move in zip(counts.tolist(), shape, dense_steps(shape), strict=True):
        axes += [int(count), length]
        steps += [0, move]
    if (counts == 1).all():
        same(now, step)
        return
    moved(now, step, value, tuple(axes), tuple(steps))


def resize(now: Building, step: Step) -> None:
    """Repeat or leave out elements at a regular distance: a Resize to the nearest element."""
    value, out = step.inputs[0] or 0, step.outputs[0]
    mode = step.attributes.get("mode", "nearest")
    if mode != "nearest":
        raise NoPlainC(f"{step} has mode {mode}: C has nearest")
    shape, wanted = now.shape(value), now.shape(out)
    axes, steps, start = [], [], 0
    factors = _factors(now, step, shape, wanted)
    for length, target, factor, move in zip(
        shape, wanted, factors, dense_steps(shape), strict=True
    ):
        places = _places(step, length, target, factor)
        again = max(target // length, 1)
        gaps = np.unique(np.diff(places[::again]))
        regular = (places.reshape(-1, again) == places[::again, None]).all() and len(gaps) <= 1
        if not regular:
            raise NoPlainC(
                f"{step} makes {target} elements of {length} with unequal gaps, which C does not: "
                "use a whole factor"
            )
        axes += [target // again, again]
        steps += [move * (int(gaps[0]) if len(gaps) else 0), 0]
        start += int(places[0]) * move
    if wanted == shape and start == 0:
        same(now, step)
        return
    moved(now, step, value, tuple(axes), tuple(steps), start)


def _factors(
    now: Building, step: Step, shape: tuple[int, ...], wanted: tuple[int, ...]
) -> list[float]:
    """By how much each axis grows: as it is given, or by its lengths."""
    given = step.inputs[2] if len(step.inputs) > 2 else None
    scales = now.constant(given)
    known = len(shape) if "axes" not in step.attributes else -1
    if scales is not None and scales.size == known:
        return [float(one) for one in scales]
    return [target / length for target, length in zip(wanted, shape, strict=True)]


def _places(step: Step, length: int, target: int, factor: float) -> np.ndarray:
    """Which element each one is, by the rules of ONNX."""
    numbers = np.arange(target, dtype=np.float64)
    mode = step.attributes.get("coordinate_transformation_mode", "half_pixel")
    if (target == length and factor == 1) or target == 1 == length:
        return np.arange(target)
    if mode == "asymmetric":
        at = numbers / factor
    elif mode == "half_pixel" or (mode == "pytorch_half_pixel" and target > 1):
        at = (numbers + 0.5) / factor - 0.5
    elif mode == "pytorch_half_pixel":
        at = np.zeros(1)
    elif mode == "align_corners":
        at = numbers * (length - 1) / max(target - 1, 1)
    else:
        raise NoPlainC(f"{step} has coordinates {mode}, which C does not have")
    nearest = step.attributes.get("nearest_mode", "round_prefer_floor")
    rounded = {
        "round_prefer_floor": np.ceil(at - 0.5),
        "round_prefer_ceil": np.floor(at + 0.5),
        "floor": np.floor(at),
        "ceil": np.ceil(at),
    }[nearest]
    return np.clip(rounded, 0, length - 1).astype(np.int64)


def running_sum(now: Building, step: Step) -> None:
    """Add the layer of a CumSum."""
    axis, shape = now.constant(step.inputs[1]), now.shape(step.inputs[0] or 0)
    if axis is None:
        raise NoPlainC(f"{step} has an axis that is computed: C needs a constant one")
    place = int(axis.item()) % len(shape)
    now.layers.append(
        Running(
            name=str(step),
            source=now.source(step.inputs[0], step),
            target=now.target(step.outputs[0], step),
            outer=prod(shape[:place]),
            count=shape[place],
            inner=prod(shape[place + 1 :]),
            exclusive=bool(step.attributes.get("exclusive", 0)),
            backward=bool(step.attributes.get("reverse", 0)),
        )
    )


BLOCKS: dict[str, Handler] = {
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Tile": tile,
    "Resize": resize,
    "CumSum": running_sum,
}
