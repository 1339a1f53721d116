"""A scale, a norm, a pool and a sign after a sum of signs: an integer threshold for each row.

Such sums are those of binary layers. The sum S is an integer of which only those with the parity
of its columns occur (all, where a pad is 0). For each row the sign of the numbers that follow from
S changes at one place. Where the
numbers for the two sums around this place are further from 0 than all float32 rounding together,
the threshold gives the signs that any order of rounding gives. Others are counted. An example is a
sum of 0 without an offset: a runtime that adds up 0.3 and -0.3 many times may get a little less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from shoestring.artifact.plain_c.building import Building
from shoestring.artifact.plain_c.products import Affine, affine, pool_of
from shoestring.artifact.plain_c.sign_layers import SignProduct
from shoestring.artifact.plain_c.traced import Step
from shoestring.artifact.plain_c.windows import Pool

_ROUNDING = 2.0**-22
"""Above the relative error of an operation, with that of the constants it was made of."""


@dataclass(frozen=True, kw_only=True)
class Folded:
    """What follows a sum up to a sign.

    `value`: the last value, whose sign is wanted.
    `shape`: of the sums or of what was pooled of them, as ONNX has it before it was flattened.
    `pool`: as in SignProduct. `thresholds`: likewise.
    `near`: how many of them rounding may move.
    `done`: the steps that are in it.
    """

    value: int
    shape: tuple[int, ...]
    pool: Pool | None
    thresholds: np.ndarray
    near: int
    done: frozenset[int]


def thresholds(
    now: Building,
    value: int,
    layer: SignProduct,
    scales: np.ndarray,
    bias: np.ndarray,
    axis: int,
) -> Folded | None:
    """What follows a sum of signs as thresholds; None where something else follows than a sign.

    `value`: the sums times `scales` plus `bias`, with the rows along `axis`.
    """
    shape, rows = now.shape(value), len(scales)
    axis %= len(shape)
    chain = [Affine.of(scales, bias)]
    on_bits = _on_bits(now, value, layer)
    pool, done, flat, limited = None, set[int](), False, False
    rising = bool((scales > 0).all())
    while (step := now.graph.reader(value)) is not None and step.operator != "Less":
        out = step.outputs[0]
        if step.operator in ("Reshape", "Flatten"):
            if flat or len(shape) != 4 or now.shape(out) != (1, prod(shape)):
                return None
            flat, rows, axis = True, prod(shape), 1
            positions = shape[2] * shape[3]
            chain = [one.repeated(positions) for one in chain]
        elif step.operator == "MaxPool" and not flat and pool is None and rising:
            pool, shape = pool_of(now, step), now.shape(out)
            if pool is None:
                return None
        elif _keeps_signs(now, step):
            limited = True
        else:
            found = None if limited else affine(now, step, value, axis, rows)
            if found is None or now.shape(out) != now.shape(value):  # or limits moved the sign
                return None
            chain.append(found)
            rising = rising and bool((found.factors > 0).all())
        done.add(step.index)
        value = out
    every = layer.fill == 0 and layer.window.padded
    if not on_bits:
        chain = _as_floats(chain, layer.bits[0].size)
    found = None if step is None else folded(chain, rows, layer.bits[0].size, every=every)
    if found is None:
        return None
    made, near = found
    made = made.reshape(layer.bits.shape[0], -1) if flat else made
    return Folded(
        value=value,
        shape=shape,
        pool=pool,
        thresholds=made,
        near=near,
        done=frozenset(done),
    )


def _on_bits(now: Building, value: int, layer: SignProduct) -> bool:
    """Whether our runtime looks for such a layer and computes it on bits: its sums are exact."""
    after = now.graph.reader(value)
    padded = layer.fill == 0 and layer.window.padded
    return layer.bits[0].size >= 64 and not padded and after is not None and after.operator == "Mul"


def _as_floats(chain: Sequence[Affine], columns: int) -> list[Affine]:
    """The operations, where a runtime may have multiplied weights by their factors beforehand.

    It adds up floats then. That is exact with powers of 2. Otherwise a sum of n may be off by n
    roundings of the sum of all magnitudes.
    """
    made, total = [], np.ones(1)
    for one in chain:
        total = total * np.abs(one.factors)
        exact = np.frexp(total)[0] == 0.5
        made.append(replace(one, sizes=one.sizes + np.where(exact, 0, columns**2 / 4 * total)))
    return made


def _keeps_signs(now: Building, step: Step) -> bool:
    """Whether a step is a Clip with limits on both sides of 0."""
    if step.operator != "Clip":
        return False
    limits = [now.constant(number) for number in step.inputs[1:3]]
    given = [number for number in step.inputs[1:3] if number is not None]
    known = [limit for limit in limits if limit is not None]
    if len(known) != len(given):
        return False
    low, high = [*limits, None, None][:2]
    return (low is None or low.item() < 0) and (high is None or high.item() >= 0)


def folded(
    chain: Sequence[Affine], rows: int, columns: int, *, every: bool
) -> tuple[np.ndarray, int] | None:
    """(the threshold of each row as in SignProduct, how many of them rounding may move), or None.

    `chain`: the operations after the sum, in order.
    `columns`: the products of a sum, which is from -columns to columns.
    `every`: whether all these integers occur; else those that are as even or odd as `columns`.
    None: a factor or an offset is not finite.
    """
    factor, offset = np.ones(rows), np.zeros(rows)
    for one in chain:
        factor, offset = factor * one.factors, offset * one.factors + one.offsets
    if not (np.isfinite(factor).all() and np.isfinite(offset).all()):
        return None
    step = 1 if every else 2
    most = 2 * columns // step  # sums are -columns + step * place, for places from 0 to this
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.nan_to_num((-offset / factor + columns) / step)
    # Where numbers rise, the first place that is not negative; where they fall, the last one.
    rises = factor > 0
    places = np.where(rises, np.ceil(root), np.floor(root))
    places = np.clip(places, np.where(rises, 0, -1), np.where(rises, most + 1, most))
    outer = places + np.where(rises, -1, 1)  # the neighbour that is negative
    near = np.zeros(rows, bool)
    for beside in (places, outer):
        number, error = _evaluated(chain, step * beside - columns, rows)
        occurs = (beside >= 0) & (beside <= most)
        near |= occurs & (np.abs(number) <= error) & (error > 0)
    near &= factor != 0
    inner, beyond = (_rounded(chain, step * one - columns, rows) for one in (places, outer))
    places = np.where(near & (beyond >= 0), outer, places)
    places = np.where(near & (inner < 0), places + np.where(rises, 1, -1), places)
    sums = step * places.astype(np.int64) - columns
    made = np.where(rises, 2 * sums, 2 * sums + 1)
    always = np.where(offset < 0, 2 * (columns + step), -2 * columns)
    return np.where(factor == 0, always, made).astype(np.int32), int(near.sum())


def _evaluated(
    chain: Sequence[Affine], sums: np.ndarray, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """(the numbers that follow from sums, how far rounding to float32 may move them)."""
    number, error = sums.astype(np.float64), np.zeros(rows)
    for one in chain:
        product = number * one.factors
        number = product + one.offsets
        error = error * np.abs(one.factors) + _ROUNDING * (np.abs(product) + one.sizes)
    return number, error


def _rounded(chain: Sequence[Affine], sums: np.ndarray, rows: int) -> np.ndarray:
    """The numbers that follow from sums, each operation rounded to float32."""
    number = sums.astype(np.float32)
    for one in chain:
        number = number * one.factors.astype(np.float32) + one.offsets.astype(np.float32)
    return np.broadcast_to(number, (rows,))
