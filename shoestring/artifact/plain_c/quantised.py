"""Layers of integers: what QuantizeLinear and DequantizeLinear are around, as runtimes read them.

The numbers are those of ONNX Runtime's integer kernels: sums of 32 bits, times a float32 factor of
the row, rounded to the nearest integer, halves to even.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shoestring.artifact.plain_c.building import (
    Building,
    Handler,
    OnGrid,
    dequantise,
    float_literal,
)
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.integer_add import integer_add
from shoestring.artifact.plain_c.layers import IntegerAdd, Operand, Product, Reduce, Term
from shoestring.artifact.plain_c.products import PRODUCTS, Following, fused_pool, started
from shoestring.artifact.plain_c.signs import sign_product, sign_rows
from shoestring.artifact.plain_c.steps import dense_steps
from shoestring.artifact.plain_c.traced import Step
from shoestring.artifact.plain_c.windows import Rescale, Weights

LIMITS = {"uint8_t": (0, 255), "int8_t": (-128, 127)}


def grid_of_activations(now: Building, step: Step) -> tuple[float, int]:
    """(scale, zero) of a QuantizeLinear or DequantizeLinear of activations."""
    scale = now.constant(step.inputs[1])
    zero = now.constant(step.inputs[2]) if len(step.inputs) > 2 else np.zeros(1, np.int64)
    if scale is None or zero is None or scale.size != 1 or zero.size != 1:
        raise NoPlainC(
            f"{step} has {'computed' if scale is None or zero is None else 'several'} scales for "
            "activations: C has one constant for each"
        )
    return float(scale.item()), int(zero.item())


def dequantize(now: Building, step: Step) -> None:
    """Remember on which grid the integers of a value are: what reads them decides."""
    scale, zero = grid_of_activations(now, step)
    buffer = now.source(step.inputs[0], step)
    if now.buffers[buffer].kind not in LIMITS:
        raise NoPlainC(f"{step} reads {now.buffers[buffer].kind}: C has grids of 8 bits")
    now.grids[step.outputs[0]] = OnGrid(buffer, scale, zero)


def quantize(now: Building, step: Step) -> None:
    """Integers of floats, or another name for integers that are on this grid already."""
    scale, zero = grid_of_activations(now, step)
    value, out = step.inputs[0] or 0, step.outputs[0]
    kind = now.kind(out, step)
    if kind not in LIMITS:
        raise NoPlainC(f"{step} makes {kind}: C has grids of 8 bits")
    grid = now.grids.get(value)
    same = grid is not None and grid == OnGrid(grid.buffer, scale, zero)
    if grid is not None and same and now.buffers[grid.buffer].kind == kind:
        now.holds[out] = grid.buffer
        return
    found = now.grids.get(value) if value not in now.holds else None
    if found is None:
        operand = now.operand(value, now.shape(out), step)
        terms = (quantise(scale, zero, kind, 0),)
    else:
        steps = dense_steps(now.shape(out))
        source = now.buffers[found.buffer].kind
        operand = Operand(buffer=found.buffer, steps=steps, kind=source)
        terms = (dequantise(found, 0), quantise(scale, zero, kind, -1))
    now.pointwise(str(step), now.target(out, step), (operand,), terms)


def quantise(scale: float, zero: int, kind: str, argument: int) -> Term:
    """The integer of a float on a grid: the nearest, halves to even."""
    low, high = LIMITS[kind]
    text = (
        f"({kind})({{p}}_nearest({{0}} / {float_literal(scale)}, {low - zero}.0f, {high - zero}.0f)"
        + (f" + {zero})" if zero else ")")
    )
    return Term(text=text, arguments=(argument,), kind=kind, needs=("nearest",))


def _weights(
    now: Building, step: Step, rows: int, floats: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """(integers in the shape that the layer has its weights in, scales) or None for floats.

    `floats`: the weights, (rows, columns), which may be signs; None where sums go on a grid.
    """
    value = step.inputs[1]
    maker = now.graph.makers.get(-1 if value is None else value)
    if maker is None or maker.operator != "DequantizeLinear":
        return None if floats is None else sign_rows(floats)
    integers = now.constant(maker.inputs[0])
    scales = now.constant(maker.inputs[1])
    zero = now.constant(maker.inputs[2]) if len(maker.inputs) > 2 else np.zeros(1)
    if integers is None or scales is None or zero is None or integers.dtype != np.int8:
        return None
    if np.any(zero) or scales.size not in (1, rows) or (integers == -128).any():
        return None
    if step.operator != "Conv" and not step.attributes.get("transB", 0):
        integers = integers.T
    return integers.astype(np.int32), scales.astype(np.float32).reshape(-1)


def _integer_bias(now: Building, step: Step, rows: int) -> np.ndarray | None:
    """The bias of a layer as integers of 32 bits; None where it has none of these."""
    value = step.inputs[2] if len(step.inputs) > 2 else None
    if value is None:
        return np.zeros(rows, np.int32)
    maker = now.graph.makers.get(value)
    if maker is None or maker.operator != "DequantizeLinear":
        return None
    bias = now.constant(maker.inputs[0])
    if bias is None or bias.dtype != np.int32 or bias.size not in (1, rows):
        return None
    return np.broadcast_to(bias.reshape(-1), (rows,)).copy()


def product(now: Building, step: Step) -> None:
    """Add the layer of a Conv, Gemm or MatMul: in integers where all that it reads is integers."""
    if step.inputs[0] in now.signs:
        sign_product(now, step, now.signs[step.inputs[0]])
        return
    grid = now.grids.get(-1 if step.inputs[0] is None else step.inputs[0])
    whole = None if grid is None else _integer_product(now, step, grid)
    if grid is None or whole is None:
        PRODUCTS[step.operator](now, step)
        return
    whole, scales = whole
    quantizer = now.graph.reader(step.outputs[0])
    if quantizer is None or quantizer.operator != "QuantizeLinear":
        _with_floats(now, step, whole, grid, (np.float32(grid.scale) * scales).astype(np.float32))
        return
    now.done.add(quantizer.index)
    scale, zero = grid_of_activations(now, quantizer)
    kind = now.kind(quantizer.outputs[0], quantizer)
    if kind not in LIMITS:
        raise NoPlainC(f"{quantizer} makes {kind}: C has grids of 8 bits")
    factors = (np.float32(grid.scale) * scales) / np.float32(scale)
    low, high = LIMITS[kind]
    whole = replace(
        whole, low=low, high=high, rescale=Rescale(factors=factors.astype(np.float32), zero=zero)
    )
    value = quantizer.outputs[0]
    reader = now.graph.reader(value)
    if reader is not None and reader.operator == "DequantizeLinear":
        after = now.graph.reader(reader.outputs[0])
        pooled = None if after is None else fused_pool(now, after, whole)
        if after is not None and pooled is not None:
            now.done |= {reader.index, after.index}
            target = now.room(now.shape(after.outputs[0]), kind)
            now.grids[after.outputs[0]] = OnGrid(target, *grid_of_activations(now, reader))
            now.layers.append(replace(pooled, source=grid.buffer, target=target))
            return
    target = now.target(value, quantizer)
    now.layers.append(replace(whole, source=grid.buffer, target=target))


def _with_floats(
    now: Building, step: Step, whole: Product, grid: OnGrid, factors: np.ndarray
) -> None:
    """Add a layer of integers whose output is floats, with what follows it."""
    rows = whole.weights.shape[0]
    plain = replace(whole, bias=np.zeros(rows, np.float32), factors=factors, zero=None)
    following = Following(plain, step.outputs[0], started(now, step)[1], of_sums=True)
    if (factors > 0).all():  # the largest sum is the largest number
        following.absorb(now)
    found = following.product
    now.layers.append(
        replace(
            found,
            source=grid.buffer,
            target=now.target(following.value, step),
            bias=whole.bias,
            after=found.bias if found.bias.any() else None,
            zero=whole.zero,
        )
    )


def _integer_product(now: Building, step: Step, grid: OnGrid) -> tuple[Product, np.ndarray] | None:
    """(the layer in integers, the scales of its weights), or None."""
    if now.constant(step.inputs[1]) is None:
        return None
    whole, _ = started(now, step)
    rows = whole.weights.shape[0]
    floats = whole.weights.floats if grid.scale == 1 and not whole.bias.any() else None
    found, bias = _weights(now, step, rows, floats), _integer_bias(now, step, rows)
    if found is None or bias is None or whole.factors is not None:
        return None
    integers, scales = found
    weights = Weights(integers=np.ascontiguousarray(integers.reshape(rows, -1)))
    return replace(whole, weights=weights, bias=bias, zero=grid.zero), scales


def add(now: Building, step: Step) -> bool:
    """Add the layer of an Add of two values on grids, where its sum goes on a grid."""
    first, second = (now.grids.get(-1 if value is None else value) for value in step.inputs)
    quantizer = now.graph.reader(step.outputs[0])
    if first is None or second is None or quantizer is None:
        return False
    if quantizer.operator != "QuantizeLinear" or len(step.inputs) != 2:
        return False
    shapes = {now.shape(value) for value in (*step.inputs, *step.outputs) if value is not None}
    kind = now.kind(quantizer.outputs[0], quantizer)
    kinds = {kind, now.buffers[first.buffer].kind, now.buffers[second.buffer].kind}
    if len(shapes) != 1 or len(kinds) != 1 or kind not in LIMITS:
        return False
    out = OnGrid(-1, *grid_of_activations(now, quantizer))
    made = integer_add(str(step), first, second, out, LIMITS[kind])
    if made is None:
        return False
    now.done.add(quantizer.index)
    target = now.target(quantizer.outputs[0], quantizer)
    if not _added_at_once(now, step, made, target):
        now.layers.append(replace(made, target=target))
    return True


def _added_at_once(now: Building, step: Step, made: IntegerAdd, target: int) -> bool:
    """Let the convolution right before a sum compute it too, so that its output is not stored."""
    last = now.layers[-1] if now.layers else None
    if not isinstance(last, Product) or last.rescale is None or last.added is not None:
        return False
    window = last.window
    if last.target not in made.sources or window.position_step != 1 or window.sums[0] == 1:
        return False
    place = made.sources.index(last.target)
    other = made.sources[1 - place]
    held = [value for value, buffer in now.holds.items() if buffer == last.target]
    alone = len(held) == 1 and now.graph.reader(held[0]) is not None
    if not alone or now.graph.reader(step.inputs[place] or 0) is not step or other == last.target:
        return False
    if place:
        turned = tuple((two, one, change) for one, two, change in made.exceptions)
        made = replace(made, first=made.second, second=made.first, exceptions=turned)
    now.layers[-1] = replace(last, target=target, other=other, added=made)
    return True


def mean(now: Building, step: Step) -> bool:
    """Add the layer of a GlobalAveragePool from a grid to a grid."""
    grid = now.grids.get(-1 if step.inputs[0] is None else step.inputs[0])
    quantizer = now.graph.reader(step.outputs[0])
    if grid is None or quantizer is None or quantizer.operator != "QuantizeLinear":
        return False
    scale, zero = grid_of_activations(now, quantizer)
    shape = now.shape(step.inputs[0] or 0)
    size = int(np.prod(shape[2:]))
    if now.kind(quantizer.outputs[0], quantizer) != now.buffers[grid.buffer].kind:
        return False
    factor = np.float32(grid.scale) / (np.float32(scale) * np.float32(size))
    now.done.add(quantizer.index)
    now.layers.append(
        Reduce(
            name=str(step),
            source=grid.buffer,
            target=now.target(quantizer.outputs[0], quantizer),
            how="mean",
            outer=((int(np.prod(shape[:2])), size),),
            inner=((size, 1),),
            zero=grid.zero,
            rescale=Rescale(factors=np.array([factor], np.float32), zero=zero),
        )
    )
    return True


QUANTISED: dict[str, Handler] = {
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "Conv": product,
    "Gemm": product,
    "MatMul": product,
}
