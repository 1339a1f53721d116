"""Whether two ways of computing give the same answer, but for rounding."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-3
"""Of what is written and of what a structure change may do to the answers, relative to the largest
of a tensor.
"""
_RULED_OUT = 1e6
"""What is as large and the same in both is what forward() writes for "never" (-1e9), and no measure
of the other answers.
"""


def all_close(found: np.ndarray, wanted: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Whether two arrays of one shape are the same to within a share of each number and of the
    largest; NaN is like NaN.
    """
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    sizes = np.abs(b[np.isfinite(b) & ((a != b) | (np.abs(b) < _RULED_OUT))])
    largest = max(float(sizes.max(initial=0.0)), 1e-6)
    return bool(np.isclose(a, b, rtol=tolerance, atol=tolerance * largest, equal_nan=True).all())
