"""Convolutions and products with constant weights, with what follows them in one layer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from shoestring.artifact.format.grids import grid_of
from shoestring.artifact.plain_c.building import Building, Handler
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import Product
from shoestring.artifact.plain_c.traced import Step
from shoestring.artifact.plain_c.windows import Pool, Weights, Window

MOST_LEVELS, LARGEST_INTEGER = 256, 127


def convolution(now: Building, step: Step) -> Product:
    """The layer of a Conv, whose buffers are not chosen yet (-1)."""
    weights = now.constant(step.inputs[1])
    if weights is None:
        raise NoPlainC(f"{step} has weights that are computed: C needs constant ones")
    if weights.ndim not in (3, 4):
        raise NoPlainC(f"{step} has {weights.ndim - 2} axes: C has convolutions of 1 and 2 axes")
    shape, out = now.shape(step.inputs[0] or 0), now.shape(step.outputs[0])
    if shape[0] != 1:
        raise NoPlainC(f"{step} has {shape[0]} images: C computes one at a time")
    groups = int(step.attributes.get("group", 1))
    window = replace(
        geometry(step, shape, out, weights.shape[2:]),
        channels=weights.shape[1],
        groups=groups,
        channel_step=prod(out[2:]),
        position_step=1,
    )
    bias = bias_of(now, step, weights.shape[0])
    rows = np.ascontiguousarray(weights.reshape(weights.shape[0], -1))
    return Product(
        name=str(step),
        source=-1,
        target=-1,
        weights=Weights(floats=rows),
        window=window,
        bias=bias,
    )


def geometry(
    step: Step, shape: tuple[int, ...], out: tuple[int, ...], kernel: tuple[int, ...]
) -> Window:
    """The window of a convolution or a pool, of one channel."""

    def pair(name: str, default: int) -> tuple[int, int]:
        given = tuple(step.attributes.get(name, (default,) * len(kernel)))
        return (default, *given) if len(given) == 1 else given  # pyright: ignore

    steps, dilations = pair("strides", 1), pair("dilations", 1)
    sides = (1, *kernel) if len(kernel) == 1 else kernel
    lengths = (1, *shape[2:]) if len(kernel) == 1 else shape[2:]
    sums = (1, *out[2:]) if len(kernel) == 1 else out[2:]
    automatic = step.attributes.get("auto_pad", "NOTSET")
    given = tuple(step.attributes.get("pads", (0,) * 2 * len(kernel)))
    before = given[: len(kernel)]
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        totals = [
            max((count - 1) * move + (side - 1) * dilation + 1 - length, 0)
            for count, move, side, dilation, length in zip(
                sums, steps, sides, dilations, lengths, strict=True
            )
        ]
        before = tuple(
            total // 2 if automatic == "SAME_UPPER" else total - total // 2 for total in totals
        )
    pads = (0, *before) if len(before) == 1 else before
    if min(pads) < 0:
        raise NoPlainC(f"{step} has negative pads {pads}")
    return Window(
        channels=1,
        height=lengths[0],
        width=lengths[1],
        kernel=(sides[0], sides[1]),
        steps=steps,
        dilations=dilations,
        pads=(pads[0], pads[1]),
        sums=(sums[0], sums[1]),
    )


def bias_of(now: Building, step: Step, rows: int) -> np.ndarray:
    """The bias of a layer, one number for each row; 0 where it has none."""
    if len(step.inputs) < 3 or step.inputs[2] is None:
        return np.zeros(rows, np.float32)
    bias = now.constant(step.inputs[2])
    if bias is None:
        raise NoPlainC(f"{step} has a bias that is computed: C needs a constant one")
    if bias.size not in (1, rows) or max(bias.shape, default=1) not in (1, rows):
        raise NoPlainC(f"{step} has a bias of shape {bias.shape}, not one number for each output")
    return np.broadcast_to(bias.reshape(-1).astype(np.float32), (rows,)).copy()


def matrix(now: Building, step: Step) -> Product:
    """The layer of a Gemm or MatMul with a constant matrix, without its buffers."""
    first, second = step.inputs[0], step.inputs[1]
    weights = now.constant(second)
    if weights is None or weights.ndim != 2:
        raise NoPlainC(
            f"{step} multiplies by a matrix that is computed or has more than 2 axes: C has "
            "products with constant matrices"
        )
    alpha, beta = 1.0, 1.0
    bias = np.zeros(0, np.float32)
    if step.operator == "Gemm":
        if step.attributes.get("transA", 0):
            raise NoPlainC(f"{step} has transA, which C does not have")
        alpha, beta = step.attributes.get("alpha", 1.0), step.attributes.get("beta", 1.0)
        weights = weights if step.attributes.get("transB", 0) else weights.T
        bias = bias_of(now, step, len(weights)) * np.float32(beta)
    else:
        weights = weights.T
        bias = np.zeros(len(weights), np.float32)
    made = dense(str(step), weights, prod(now.shape(first or 0)[:-1]), bias)
    return made if alpha == 1 else replace(made, factors=np.full(1, alpha, np.float32))


def dense(name: str, weights: np.ndarray, positions: int, bias: np.ndarray) -> Product:
    """The layer of (rows, columns) times each of some positions, one after the other."""
    rows, columns = weights.shape
    window = Window(channels=columns, height=1, width=1, kernel=(1, 1))
    if positions != 1:  # an image of one row, in which each step is a whole position
        window = Window(
            channels=1,
            height=1,
            width=positions * columns,
            kernel=(1, columns),
            steps=(1, columns),
            sums=(1, positions),
            channel_step=1,
            position_step=rows,
        )
    return Product(
        name=name,
        source=-1,
        target=-1,
        weights=Weights(floats=np.ascontiguousarray(weights)),
        window=window,
        bias=bias,
    )


@dataclass
class Following:
    """A product with the steps that were taken into it.

    `value`: the value that it makes now.
    `axis`: of the value, along which the rows of the weights lie.
    `pools`: whether a pool may be taken in.
    `of_sums`: whether a pool is of the sums, before their factors: not where these turn the order.
    """

    product: Product
    value: int
    axis: int
    pools: bool = True
    of_sums: bool = False

    def absorb(self, now: Building) -> None:
        """Take steps into the layer as long as it can compute them."""
        while (step := now.graph.reader(self.value)) is not None:
            if not (self._limited(now, step) or self._pooled(now, step) or self._scaled(now, step)):
                return
            now.done.add(step.index)
            self.value = step.outputs[0]

    def _limited(self, now: Building, step: Step) -> bool:
        product, limits = self.product, limits_of(now, step)
        if limits is None:
            return False
        low, high = limits
        self.product = replace(
            product,
            low=min(max(product.low, low), high),
            high=max(min(product.high, high), low),
        )
        return True

    def _pooled(self, now: Building, step: Step) -> bool:
        factors = self.product.factors
        turned = self.of_sums and factors is not None and bool((factors < 0).any())
        pool = fused_pool(now, step, self.product) if self.pools and not turned else None
        if pool is None:
            return False
        self.product = pool
        return True

    def _scaled(self, now: Building, step: Step) -> bool:
        """Take a scale or a shift of each row into the layer."""
        product = self.product
        if np.isfinite(product.low) or np.isfinite(product.high):
            return False
        found = affine(now, step, self.value, self.axis, product.weights.shape[0])
        if found is None:
            return False
        factors, bias = found.factors, found.offsets
        if product.pool is not None and not (factors > 0).all():
            return False  # the largest would become the smallest
        old = np.ones(1) if product.factors is None else product.factors.astype(np.float64)
        both = old * factors
        self.product = replace(
            product,
            factors=None if (both == 1).all() else np.atleast_1d(both).astype(np.float32),
            bias=(product.bias.astype(np.float64) * factors + bias).astype(np.float32),
        )
        return True


def limits_of(now: Building, step: Step) -> tuple[float, float] | None:
    """The constant limits of a Relu or Clip; None for another step."""
    if step.operator == "Relu":
        return 0.0, np.inf
    if step.operator != "Clip":
        return None
    limits = [*(now.constant(number) for number in step.inputs[1:]), None, None][:2]
    given = zip(step.inputs[1:], limits, strict=False)
    if any(number is not None and array is None for number, array in given):
        return None
    low = -np.inf if limits[0] is None else float(limits[0].item())
    high = np.inf if limits[1] is None else float(limits[1].item())
    return None if low > high else (low, high)


def pool_of(now: Building, step: Step) -> Pool | None:
    """The windows of a MaxPool that can be in one layer with a product; None for another step."""
    if step.operator != "MaxPool" or len(step.outputs) != 1:
        return None
    shape, out = now.shape(step.inputs[0] or 0), now.shape(step.outputs[0])
    kernel = tuple(step.attributes.get("kernel_shape", ()))
    if len(shape) != len(kernel) + 2 or len(kernel) not in (1, 2):
        return None
    window = geometry(step, shape, out, kernel)
    if window.padded or window.dilations != (1, 1):
        return None
    return Pool(
        height=window.kernel[0],
        width=window.kernel[1],
        step_y=window.steps[0],
        step_x=window.steps[1],
    )


def fused_pool(now: Building, step: Step, product: Product) -> Product | None:
    """The product with a MaxPool after it; None where it cannot be in one layer with it."""
    pool = None if product.pool is not None else pool_of(now, step)
    if pool is None:
        return None
    channel_step = prod(now.shape(step.outputs[0])[2:])
    window = replace(product.window, channel_step=channel_step)
    return replace(product, pool=pool, window=window)


@dataclass(frozen=True)
class Affine:
    """A scale and a shift of rows, in float64: one number, or one for each row.

    `sizes`: the magnitudes of what the offsets were computed of, added up: rounding is relative to
        these.
    """

    factors: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray

    @staticmethod
    def of(factors: np.ndarray, offsets: np.ndarray) -> Affine:
        """That of numbers that are constants themselves."""
        offsets = offsets.astype(np.float64)
        return Affine(factors.astype(np.float64), offsets, np.abs(offsets))

    def repeated(self, times: int) -> Affine:
        """Each row so many times, one after the other."""
        one, two, three = (
            array if array.size == 1 else np.repeat(array, times)
            for array in (self.factors, self.offsets, self.sizes)
        )
        return Affine(one, two, three)


def affine(now: Building, step: Step, value: int, axis: int, rows: int) -> Affine | None:
    """What a step does with a value, where it is a scale and a shift along an axis; else None."""
    if step.operator == "BatchNormalization":
        if step.inputs[0] != value or axis != 1:
            return None
        arrays = [now.constant(number) for number in step.inputs[1:5]]
        if any(array is None for array in arrays):
            return None
        scale, shift, mean, variance = (np.asarray(array, np.float64) for array in arrays)
        factors = scale / np.sqrt(variance + np.float64(step.attributes.get("epsilon", 1e-5)))
        moved = mean * factors
        return Affine(factors, shift - moved, np.abs(shift) + np.abs(moved))
    if step.operator not in ("Add", "Sub", "Mul", "Div") or len(step.inputs) != 2:
        return None
    place = 1 if step.inputs[0] == value else 0
    other = now.constant(step.inputs[place])
    shape = now.shape(value)
    if other is None or now.shape(step.outputs[0]) != shape or other.dtype != np.float32:
        return None
    number = _per_row(other, len(shape), axis, rows)
    if number is None:
        return None
    number = number.astype(np.float64)
    one, zero = np.ones(1), np.zeros(1)
    if step.operator == "Add":
        return Affine.of(one, number)
    if step.operator == "Mul":
        return Affine.of(number, zero)
    if step.operator == "Sub":
        return Affine.of(one, -number) if place == 1 else Affine.of(-one, number)
    divides = place == 1 and (number != 0).all()
    return Affine.of(1 / number, zero) if divides else None


def _per_row(array: np.ndarray, axes: int, axis: int, rows: int) -> np.ndarray | None:
    """An array that differs along one axis only, as one number for each row; else None."""
    if array.size == 1:
        return array.reshape(-1)
    padded = array.reshape((1,) * (axes - array.ndim) + array.shape)
    if padded.shape[axis] != rows or array.size != rows:
        return None
    return array.reshape(-1)


def as_integers(product: Product) -> Product:
    """The product with small integers in place of floats, where its weights are on a grid.

    A grid with a scale for each row becomes factors of rows.
    """
    floats = product.weights.floats
    if floats is None:
        return product
    weights, factors = few_levels(floats, per_row=product.factors is None)
    return replace(
        product, weights=weights, factors=product.factors if factors is None else factors
    )


def few_levels(floats: np.ndarray, *, per_row: bool) -> tuple[Weights, np.ndarray | None]:
    """(weights as small integers where they are on a grid or few, a factor for each row or None).

    `per_row`: whether there may be factors.
    """
    if not floats.size:
        return Weights(floats=floats), None
    found = grid_of(floats.view(np.uint32))
    if found is not None and np.abs(found[0]).max() <= LARGEST_INTEGER:
        integers, scales = found[0].astype(np.int32), found[1]
        if scales.size == 1:
            return Weights(integers=integers, scale=float(scales.reshape(-1)[0])), None
        if floats.shape[1] >= 8 and per_row:
            return Weights(integers=integers, scale=1.0), scales.reshape(-1)
    levels, places = np.unique(floats, return_inverse=True)
    if len(levels) > MOST_LEVELS or 2 * len(levels) > floats.size or not np.isfinite(levels).all():
        return Weights(floats=floats), None
    zero = np.flatnonzero(levels == 0)
    first = int(zero[0]) if len(zero) else -1  # no integer is 0 where no weight is
    integers = (places.reshape(floats.shape) - first).astype(np.int32)
    return Weights(integers=integers, levels=levels), None


def started(now: Building, step: Step) -> tuple[Product, int]:
    """(the layer of a Conv, Gemm or MatMul without its buffers, the axis of its rows)."""
    if step.operator == "Conv":
        return convolution(now, step), 1
    return matrix(now, step), len(now.shape(step.outputs[0])) - 1


def product(now: Building, step: Step) -> None:
    """Add the layer of a Conv, Gemm or MatMul in floats."""
    whole, axis = started(now, step)
    following = Following(whole, step.outputs[0], axis)
    following.absorb(now)
    source = now.source(step.inputs[0], step)
    target = now.target(following.value, step)
    now.layers.append(replace(as_integers(following.product), source=source, target=target))


PRODUCTS: dict[str, Handler] = {"Conv": product, "Gemm": product, "MatMul": product}
