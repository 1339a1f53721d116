"""Transposed convolutions, as convolutions that each write every so many elements of the output.

With a step of 2, the even elements of the output are a convolution of the input with every other
weight, and so are the odd ones. So no multiplication is by a zero that was put between elements.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod

import numpy as np

from shoestring.artifact.plain_c.building import Building, Handler
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import Product
from shoestring.artifact.plain_c.products import Following, as_integers, bias_of
from shoestring.artifact.plain_c.traced import Step
from shoestring.artifact.plain_c.windows import Weights, Window


def transposed(now: Building, step: Step) -> None:
    """Add the layers of a ConvTranspose of one or two axes, with what follows it."""
    weights = now.constant(step.inputs[1])
    if weights is None:
        raise NoPlainC(f"{step} has weights that are computed: C needs constant ones")
    axes = weights.ndim - 2
    if axes not in (1, 2):
        raise NoPlainC(f"{step} has {axes} axes: C has convolutions of 1 and 2 axes")
    shape, out = now.shape(step.inputs[0] or 0), now.shape(step.outputs[0])
    if shape[0] != 1:
        raise NoPlainC(f"{step} has {shape[0]} images: C computes one at a time")
    groups = int(step.attributes.get("group", 1))
    kernel = _rows(weights, groups)
    rows = len(kernel)
    whole = Product(
        name=str(step),
        source=-1,
        target=-1,
        weights=Weights(floats=kernel.reshape(rows, -1)),
        window=Window(channels=kernel.shape[1], height=1, width=1, kernel=kernel.shape[2:]),
        bias=bias_of(now, step, rows),
    )
    following = Following(whole, step.outputs[0], 1, pools=False)
    following.absorb(now)
    source = now.source(step.inputs[0], step)
    target = now.target(following.value, step)
    sides = [(1, *shape[2:])[-2:], (1, *out[2:])[-2:]]
    for window, chosen in _phases(step, kernel, sides[0], sides[1], axes):
        one = replace(
            following.product,
            weights=Weights(floats=np.ascontiguousarray(chosen.reshape(rows, -1))),
            window=replace(window, groups=groups),
            source=source,
            target=target,
        )
        now.layers.append(as_integers(one))


def _rows(weights: np.ndarray, groups: int) -> np.ndarray:
    """The weights as (outputs, inputs of a group, height, width)."""
    inputs, outputs = weights.shape[:2]
    sides = (1, *weights.shape[2:])[-2:]
    parts = weights.reshape(groups, inputs // groups, outputs, *sides)
    turned = parts.transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(turned.reshape(groups * outputs, inputs // groups, *sides))


def _phases(
    step: Step,
    kernel: np.ndarray,
    inside: tuple[int, ...],
    outside: tuple[int, ...],
    axes: int,
) -> list[tuple[Window, np.ndarray]]:
    """(the window, its weights) of each convolution.

    `kernel`: as `_rows` gives it. `inside`, `outside`: (y, x), the lengths of input and output.
    """
    strides = _pair(step, "strides", axes)
    dilations = _pair(step, "dilations", axes)
    pads = _pads(step, axes, kernel.shape[2:], inside, outside)
    found: list[tuple[Window, np.ndarray]] = []
    for first in product(range(strides[0]), range(strides[1])):
        parts = [
            _part(kernel.shape[2 + place], first[place] + pads[place], strides[place], dilation)
            for place, dilation in enumerate(dilations)
        ]
        sums = [
            -(-(length - begin) // stride)
            for length, begin, stride in zip(outside, first, strides, strict=True)
        ]
        if min(sums) < 1:
            continue
        chosen = np.zeros((*kernel.shape[:2], *(len(taps) for taps, _ in parts)), np.float32)
        for y, from_y in enumerate(parts[0][0]):
            for x, from_x in enumerate(parts[1][0]):
                if from_y is not None and from_x is not None:
                    chosen[:, :, y, x] = kernel[:, :, from_y, from_x]
        found.append(
            (
                Window(
                    channels=kernel.shape[1],
                    height=inside[0],
                    width=inside[1],
                    kernel=(chosen.shape[2], chosen.shape[3]),
                    pads=(parts[0][1], parts[1][1]),
                    sums=(sums[0], sums[1]),
                    channel_step=prod(outside),
                    position_step=strides[1],
                    row_gap=strides[0] * outside[1] - sums[1] * strides[1],
                    start=first[0] * outside[1] + first[1],
                ),
                chosen,
            )
        )
    return found


def _part(side: int, first: int, stride: int, dilation: int) -> tuple[list[int | None], int]:
    """(which weight each element of a smaller kernel is, or None for 0, how many pads it has).

    `first`: where the first element of the output is, with the pads. Element number n of these
    gets weight k from the element n + (first - k × dilation) / stride of the input.
    """
    reached = {
        (first - place * dilation) // stride: place
        for place in range(side)
        if (first - place * dilation) % stride == 0
    }
    lowest, highest = min([0, *reached]), max([0, *reached])
    return [reached.get(place) for place in range(lowest, highest + 1)], -lowest


def _pair(step: Step, name: str, axes: int) -> tuple[int, ...]:
    return (1, *step.attributes.get(name, (1,) * axes))[-2:]


def _pads(
    step: Step,
    axes: int,
    kernel: tuple[int, ...],
    inside: tuple[int, ...],
    outside: tuple[int, ...],
) -> tuple[int, ...]:
    """(y, x), how much of the whole result is cut off above and to the left."""
    automatic = step.attributes.get("auto_pad", "NOTSET")
    if "output_shape" not in step.attributes and automatic in ("NOTSET", "VALID"):
        given = tuple(step.attributes.get("pads", (0,) * 2 * axes))[:axes]
        if min(given) < 0:
            raise NoPlainC(f"{step} has negative pads {given}")
        return (0, *given)[-2:]
    strides, dilations = _pair(step, "strides", axes), _pair(step, "dilations", axes)
    more = (0, *step.attributes.get("output_padding", (0,) * axes))[-2:]
    totals = [
        max(stride * (length - 1) + extra + (side - 1) * dilation + 1 - out, 0)
        for stride, length, extra, side, dilation, out in zip(
            strides, inside, more, kernel, dilations, outside, strict=True
        )
    ]
    return tuple(
        total // 2 if automatic == "SAME_UPPER" else total - total // 2 for total in totals
    )


TRANSPOSED: dict[str, Handler] = {"ConvTranspose": transposed}
