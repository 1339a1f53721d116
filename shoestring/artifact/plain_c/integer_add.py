"""Sums of two arrays of 8-bit integers on grids, in integers.

ONNX Runtime on x86 computes them in floats, with a fused multiply-add. Microcontrollers without
floating point would take hundreds of instructions for each. There are 65,536 pairs, so integers
that give the same sums are found, and checked, by trying all of them.
"""

from __future__ import annotations

import numpy as np

from shoestring.artifact.plain_c.building import OnGrid
from shoestring.artifact.plain_c.layers import IntegerAdd

_TRIES = 16
MOST_EXCEPTIONS = 64


def runtime_sums(first: OnGrid, second: OnGrid, out: OnGrid, limits: tuple[int, int]) -> np.ndarray:
    """What ONNX Runtime gives for each pair of integers, (256, 256), from the lowest on."""
    numbers = np.arange(limits[0], limits[1] + 1, dtype=np.float64)
    one = np.float32(first.scale) / np.float32(out.scale)
    two = np.float32(second.scale) / np.float32(out.scale)
    zeros = one * np.float32(first.zero) + two * np.float32(second.zero)
    fixed = np.float32(np.float32(out.zero) - zeros)
    # A product of an integer of 8 bits and a float32 is exact in float64, and so is the sum with
    # another float32 here; so this rounds once, as a fused multiply-add does.
    half = (numbers * np.float64(two) + np.float64(fixed)).astype(np.float32)
    sums = (numbers[:, None] * np.float64(one) + half.astype(np.float64)[None, :]).astype(
        np.float32
    )
    return np.clip(np.rint(sums), *limits).astype(np.int64)


def integer_add(
    name: str, first: OnGrid, second: OnGrid, out: OnGrid, limits: tuple[int, int]
) -> IntegerAdd | None:
    """The layer, without its target; None where no integers do it.

    A sum that is as good as halfway between two integers goes the way that the rounding of floats
    takes it, so a few pairs are exceptions.
    """
    wanted = runtime_sums(first, second, out, limits)
    one, two = first.scale / out.scale, second.scale / out.scale
    largest = max(abs(limits[0]), limits[1])
    fixed = abs(out.zero - one * first.zero - two * second.zero)
    room = (one + two) * largest + fixed + 256
    shift = int(np.floor(31 - np.log2(room))) - 1
    if not 8 <= shift <= 30:
        return None
    unit = 1 << shift
    a, b = round(one * unit), round(two * unit)
    offset = round((out.zero - one * first.zero - two * second.zero) * unit) + unit // 2
    numbers = np.arange(limits[0], limits[1] + 1, dtype=np.int64)
    found: tuple[int, np.ndarray, np.ndarray] | None = None
    # A sum that is nearly halfway between two integers may go the other way: move a little.
    for attempt in range(_TRIES):
        move = (attempt + 1) // 2 * (1 if attempt % 2 else -1) * max(unit >> 20, 1)
        sums = numbers[:, None] * a + numbers[None, :] * b + offset + move
        wrong = wanted - np.clip(sums >> shift, *limits)
        if found is None or np.count_nonzero(wrong) < np.count_nonzero(found[2]):
            found = offset + move, sums, wrong
    assert found is not None
    places = np.argwhere(found[2])
    if len(places) > MOST_EXCEPTIONS:
        return None
    rests = found[1][found[2] != 0] & (unit - 1)
    return IntegerAdd(
        name=name,
        sources=(first.buffer, second.buffer),
        target=-1,
        first=a,
        second=b,
        offset=found[0],
        shift=shift,
        exceptions=tuple(
            (int(numbers[one]), int(numbers[two]), int(found[2][one, two])) for one, two in places
        ),
        near=int(np.minimum(rests, unit - rests).max(initial=0)),
    )
