"""Whether two computations give the same answer, up to rounding."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-3
"""How far answers may be off once a model is a file, or its structure changed.

Relative to each number, and to the largest one of the tensor.
"""
_RULED_OUT = 1e6
"""Numbers as large as this that are equal in both do not count as the largest.

forward() writes them for "never" (-1e9).
"""


def all_close(actual: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Whether two arrays of one shape are equal within a tolerance; NaN equals NaN.

    `tolerance`: relative to each number of `expected`, and to its largest.
    """
    a, b = actual.astype(np.float64), expected.astype(np.float64)
    sizes = np.abs(b[np.isfinite(b) & ((a != b) | (np.abs(b) < _RULED_OUT))])
    largest = max(float(sizes.max(initial=0.0)), 1e-6)
    return bool(np.isclose(a, b, rtol=tolerance, atol=tolerance * largest, equal_nan=True).all())
