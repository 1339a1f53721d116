"""Finds the grid that the values of a tensor are on: integers times a scale."""

from __future__ import annotations

import numpy as np

from shoestring.artifact.coding.context import MOST_DIGITS
from shoestring.artifact.format.tensors import multiples

FURTHEST = 1 << MOST_DIGITS  # integers coded in context are smaller than this


def grid_of(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(integers in the tensor's shape, scales) whose products these float32 bits are.

    There is one scale, or one for each slice along axis 0. None if there is no such grid, or if a
    value is -0.0 or not finite.
    """
    values = bits.view(np.float32)
    if (bits == 0x80000000).any() or not np.isfinite(values).all():
        return None
    slices = values.reshape(1, -1), values.reshape(len(values), -1)
    for rows in slices if values.ndim > 1 and len(values) > 1 else slices[:1]:
        sizes = np.where(rows == 0, np.inf, np.abs(rows)).min(1)
        sizes[np.isinf(sizes)] = 0
        for parts in (1, 2, 3, 4):
            scales = (sizes / parts).astype(np.float32)
            if (levels := _multiples_of(rows, scales)) is not None:
                return levels.reshape(values.shape), scales
    return None


def _multiples_of(rows: np.ndarray, scales: np.ndarray) -> np.ndarray | None:
    """The integers whose products with the scale of their row these values are, or None."""
    divisors = np.where(scales > 0, scales, 1).astype(np.float64)[:, None]
    # Most tensors have no grid, which the first columns show.
    for part in (slice(0, 64), slice(None)):
        with np.errstate(over="ignore"):
            levels = np.rint(rows[:, part] / divisors)
        if np.abs(levels).max() >= FURTHEST:
            return None
        levels = levels.astype(np.int64)
        if not np.array_equal(multiples(levels, scales[:, None]), rows[:, part].view(np.uint32)):
            return None
    return levels
