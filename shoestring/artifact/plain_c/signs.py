"""Values that are signs: who can read them as bits, and products of signs (binary layers).

Source: Rastegari et al. 2016 (XNOR-Net), section 4; folding a norm and a sign to a threshold is
that of Umuroglu et al. 2017 (FINN), section 4.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from shoestring.artifact.plain_c.building import Building
from shoestring.artifact.plain_c.layers import Product
from shoestring.artifact.plain_c.products import Following, convolution, matrix
from shoestring.artifact.plain_c.sign_layers import PackedSigns, PackSigns, SignProduct
from shoestring.artifact.plain_c.thresholds import thresholds
from shoestring.artifact.plain_c.traced import Step
from shoestring.artifact.plain_c.windows import Window


@dataclass(frozen=True)
class Found:
    """The two steps that make signs of a value, as `Where(Less(value, 0), -1, 1)`."""

    value: int
    less: Step
    where: Step

    @property
    def signs(self) -> int:
        """The value that is signs."""
        return self.where.outputs[0]


def signs_by(now: Building, less: Step) -> Found | None:
    """The steps that make signs, of which one is a Less; None where it is something else's."""
    value = less.inputs[0]
    where = now.graph.reader(less.outputs[0]) if less.operator == "Less" else None
    if value is None or where is None:
        return None
    if where.operator != "Where" or where.inputs[0] != less.outputs[0]:
        return None
    wanted = ((less, 1, 0.0), (where, 1, -1.0), (where, 2, 1.0))
    for step, place, number in wanted:
        array = now.constant(step.inputs[place])
        if array is None or array.size != 1 or float(array.item()) != number:
            return None
    same = now.shape(where.outputs[0]) == now.shape(value)
    return Found(value, less, where) if same and now.graph.types[value] == "float32" else None


def signs_of(now: Building, value: int) -> Found | None:
    """The steps that make signs of a value, if nothing else reads it; else None."""
    less = now.graph.reader(value)
    found = None if less is None else signs_by(now, less)
    return found if found is not None and found.value == value else None


def sign_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(-1 and 1, the scale of each row) of weights that are signs with a scale; else None."""
    scales = np.abs(rows[:, :1])
    if not rows.size or not (scales > 0).all() or (np.abs(rows) != scales).any():
        return None
    return np.where(rows < 0, -1, 1), scales.reshape(-1)


def bits_fit(now: Building, signs: int) -> bool:
    """Whether all that reads some signs are products that take them as bits."""
    readers = now.graph.readers.get(signs, [])
    if not readers or signs in now.graph.results or now.shape(signs)[0] != 1:
        return False
    return all(_takes(now, step, signs) for step in readers)


def _takes(now: Building, step: Step, value: int) -> bool:
    """Whether a step is a product that takes bits of a value, perhaps after a pad or a reshape."""
    if step.inputs[0] != value:
        return False
    shape = now.shape(value)
    after = now.graph.reader(step.outputs[0])
    if step.operator == "Pad":
        pads = _pads(now, step)
        return pads is not None and after is not None and _convolves(now, after, padded=True)
    if step.operator in ("Reshape", "Flatten"):
        flat = (1, prod(shape))
        if after is None or len(shape) != 4 or now.shape(step.outputs[0]) != flat:
            return False
        return after.inputs[0] == step.outputs[0] and _multiplies(now, after)
    if step.operator == "Conv":
        return _convolves(now, step, padded=False)
    return _multiplies(now, step)


def _convolves(now: Building, step: Step, *, padded: bool) -> bool:
    weights = now.constant(step.inputs[1]) if step.operator == "Conv" else None
    if weights is None or weights.ndim != 4 or int(step.attributes.get("group", 1)) != 1:
        return False
    if sign_rows(weights.reshape(len(weights), -1)) is None:
        return False
    return not padded or not convolution(now, step).window.padded


def _multiplies(now: Building, step: Step) -> bool:
    if step.operator not in ("Gemm", "MatMul") or step.attributes.get("transA", 0):
        return False
    weights = now.constant(step.inputs[1])
    if weights is None or weights.ndim != 2 or len(now.shape(step.inputs[0] or 0)) < 2:
        return False
    return sign_rows(matrix(now, step).weights.floats) is not None  # pyright: ignore


def _pads(now: Building, step: Step) -> tuple[int, int, int] | None:
    """(above, to the left, of which sign) of a Pad of an image; None for another one."""
    pads = now.constant(step.inputs[1])
    fill = now.constant(step.inputs[2]) if len(step.inputs) > 2 else np.zeros(1)
    if pads is None or fill is None or step.attributes.get("mode", "constant") != "constant":
        return None
    if len(pads) != 8 or any(number is not None for number in step.inputs[3:]):
        return None
    if pads.min() < 0 or pads[[0, 1, 4, 5]].any() or fill.item() not in (-1.0, 0.0, 1.0):
        return None
    return int(pads[2]), int(pads[3]), int(fill.item())


def packed(now: Building, found: Found, shape: tuple[int, ...]) -> PackedSigns:
    """A new buffer for the signs that two steps make, and what else stands for it.

    `shape`: of the array that is packed: that of the signs, or one that was flattened to it.
    """
    if len(shape) == 4:
        channels, height, width = shape[1:]
    else:
        channels, height, width = shape[-1], 1, prod(shape[1:-1])
    buffer = now.room((height, width, -(-channels // 8)), "uint8_t")
    signs = PackedSigns(buffer=buffer, channels=channels, height=height, width=width)
    now.done |= {found.less.index, found.where.index}
    now.signs[found.signs] = signs
    for step in now.graph.readers[found.signs]:
        if step.operator == "Pad":
            above, left, fill = _pads(now, step) or (0, 0, 0)
            now.signs[step.outputs[0]] = replace(signs, pads=(above, left), fill=fill)
        elif step.operator in ("Reshape", "Flatten"):
            now.signs[step.outputs[0]] = signs
        else:
            continue
        now.done.add(step.index)
    return signs


def pack(now: Building, found: Found, source: int) -> None:
    """Add the layer that packs the signs of an array of floats."""
    shape = now.shape(found.value)
    last = _made_by(now, found, source)
    signs = packed(now, found, shape)
    if last is not None:
        unlimited = replace(last, low=-np.inf, high=np.inf)
        now.layers[-1] = replace(unlimited, target=signs.buffer, signs=True)
        return
    image = len(shape) == 4
    positions = signs.height * signs.width
    now.layers.append(
        PackSigns(
            name=f"signs of {found.less}",
            source=source,
            target=signs.buffer,
            channels=signs.channels,
            positions=positions,
            channel_step=positions if image else 1,
            position_step=1 if image else signs.channels,
        )
    )


def _made_by(now: Building, found: Found, source: int) -> Product | None:
    """The convolution in floats right before signs, if it can make them itself; else None."""
    last = now.layers[-1] if now.layers else None
    if not isinstance(last, Product) or last.target != source or last.zero is not None:
        return None
    held = [value for value, buffer in now.holds.items() if buffer == source]
    alone = held == [found.value] and signs_of(now, found.value) is not None
    image = last.window.position_step == 1 and last.window.sums[0] > 1
    return last if alone and image and last.low < 0 <= last.high else None


def sign_product(now: Building, step: Step, signs: PackedSigns) -> None:
    """Add the layer of a Conv, Gemm or MatMul of packed signs with constant signs."""
    layer, scales, bias = _started(now, step, signs)
    image = step.operator == "Conv"
    found = thresholds(now, step.outputs[0], layer, scales, bias, 1 if image else -1)
    last = None if found is None else signs_of(now, found.value)
    if found is not None and last is not None and bits_fit(now, last.signs):
        now.done |= found.done
        if found.near:
            now.remarks.append(
                f"{found.near} thresholds of {step} are so near to a sum that rounding decides: "
                "signs may differ from those of a runtime there."
            )
        target = packed(now, last, found.shape).buffer
        now.layers.append(
            replace(layer, target=target, pool=found.pool, thresholds=found.thresholds)
        )
        return
    whole = convolution(now, step) if image else matrix(now, step)
    plain = replace(whole, window=layer.window, bias=bias, factors=scales)
    following = Following(
        plain,
        step.outputs[0],
        1 if image else len(now.shape(step.outputs[0])) - 1,
        of_sums=True,
    )
    following.absorb(now)
    made = following.product
    now.layers.append(
        replace(
            layer,
            target=now.target(following.value, step),
            window=made.window,
            pool=made.pool,
            factors=made.factors,
            after=made.bias if made.bias.any() else None,
            low=made.low,
            high=made.high,
        )
    )


def _started(
    now: Building, step: Step, signs: PackedSigns
) -> tuple[SignProduct, np.ndarray, np.ndarray]:
    """(the layer without its target, the scale of each row, the bias of each row)."""
    if step.operator == "Conv":
        whole = convolution(now, step)
        window = whole.window
        own = window.padded  # its own pads are zeros
        if not own:
            window = replace(window, height=signs.height, width=signs.width, pads=signs.pads)
        kernel = (signs.channels, *window.kernel)
    else:
        whole, own = matrix(now, step), False
        kernel = (signs.channels, signs.height, signs.width)
        window = Window(channels=kernel[0], height=kernel[1], width=kernel[2], kernel=kernel[1:])
        if whole.window.sums != (1, 1):  # positions, which are multiplied one by one
            window = replace(window, kernel=(1, 1), sums=(1, signs.width))
            window = replace(window, channel_step=1, position_step=whole.weights.shape[0])
            kernel = (signs.channels, 1, 1)
    assert whole.weights.floats is not None
    found = sign_rows(whole.weights.floats)
    assert found is not None
    integers, scales = found
    factor = 1.0 if whole.factors is None else float(whole.factors[0])
    rows = integers.reshape(len(integers), *kernel).transpose(0, 2, 3, 1)
    layer = SignProduct(
        name=str(step),
        source=signs.buffer,
        target=-1,
        bits=np.ascontiguousarray(rows < 0),
        window=window,
        fill=0 if own else signs.fill,
    )
    return layer, (scales * np.float32(factor)).astype(np.float32), whole.bias
