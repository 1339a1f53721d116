"""What attention needs: products of computed matrices, and normalisation of slices."""

from __future__ import annotations

from math import prod

import numpy as np

from shoestring.artifact.plain_c import quantised
from shoestring.artifact.plain_c.building import Building, Handler
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.layers import Multiply, Normalize
from shoestring.artifact.plain_c.steps import dense_steps
from shoestring.artifact.plain_c.traced import Step


def matrix_product(now: Building, step: Step) -> None:
    """Add the layer of a MatMul: of constant weights, or of two computed matrices."""
    weights = now.constant(step.inputs[1])
    if weights is not None and weights.ndim == 2:
        quantised.product(now, step)
        return
    first, second = step.inputs[0] or 0, step.inputs[1] or 0
    one, two, out = now.shape(first), now.shape(second), now.shape(step.outputs[0])
    if min(len(one), len(two)) < 2:
        raise NoPlainC(f"{step} multiplies by a vector that is computed, which C does not have")
    if now.graph.types[first] != "float32":
        raise NoPlainC(f"{step} computes with {now.graph.types[first]}: C has floats")
    axes = len(out) - 2
    batch: list[tuple[int, int, int]] = []
    moves = [_batch_steps(shape, axes) for shape in (one, two)]
    for length, step_one, step_two in zip(out[:-2], *moves, strict=True):
        if length != 1:
            batch.append((length, step_one, step_two))
    sources = (now.source(first, step), now.source(second, step))
    now.layers.append(
        Multiply(
            name=str(step),
            sources=sources,
            target=now.target(step.outputs[0], step),
            batch=tuple(batch),
            rows=one[-2],
            inner=one[-1],
            columns=two[-1],
        )
    )


def _batch_steps(shape: tuple[int, ...], axes: int) -> list[int]:
    """How far a stack of matrices moves along each axis of the batch: 0 where it is repeated."""
    steps = dense_steps(shape)[:-2]
    own = [0 if length == 1 else move for length, move in zip(shape[:-2], steps, strict=True)]
    return [0] * (axes - len(own)) + own


def layer_normalization(now: Building, step: Step) -> None:
    """Add the layer of a LayerNormalization."""
    shape = now.shape(step.inputs[0] or 0)
    axis = int(step.attributes.get("axis", -1)) % len(shape)
    if any(number in now.graph.readers for number in step.outputs[1:]):
        raise NoPlainC(f"{step} tells the mean or the deviation, which C does not")
    count = prod(shape[axis:])
    scale, shift = _scales(now, step, shape[axis:])
    _normalize(now, step, (prod(shape[:axis]), count), scale, shift, by_slice=False)


def instance_normalization(now: Building, step: Step) -> None:
    """Add the layer of an InstanceNormalization."""
    shape = now.shape(step.inputs[0] or 0)
    scale, shift = _scales(now, step, shape[1:2])
    slices = shape[0] * shape[1]
    repeated = (np.tile(scale, shape[0]), np.tile(shift, shape[0]))
    _normalize(now, step, (slices, prod(shape[2:])), *repeated, by_slice=True)


def _scales(now: Building, step: Step, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The scale and the shift of a normalisation, as flat arrays."""
    scale = now.constant(step.inputs[1])
    shift = np.zeros(shape, np.float32)
    given = step.inputs[2] if len(step.inputs) > 2 else None
    found = shift if given is None else now.constant(given)
    if scale is None or found is None:
        raise NoPlainC(f"{step} has scales that are computed: C needs constant ones")
    both = (np.broadcast_to(one, shape).reshape(-1) for one in (scale, found))
    first, second = (one.astype(np.float32) for one in both)
    return first, second


def _normalize(
    now: Building,
    step: Step,
    sizes: tuple[int, int],
    scale: np.ndarray,
    shift: np.ndarray,
    *,
    by_slice: bool,
) -> None:
    now.layers.append(
        Normalize(
            name=str(step),
            source=now.source(step.inputs[0], step),
            target=now.target(step.outputs[0], step),
            outer=sizes[0],
            count=sizes[1],
            scale=scale,
            shift=shift,
            by_slice=by_slice,
            epsilon=float(step.attributes.get("epsilon", 1e-5)),
        )
    )


NORMALIZING: dict[str, Handler] = {
    "MatMul": matrix_product,
    "LayerNormalization": layer_normalization,
    "InstanceNormalization": instance_normalization,
}
