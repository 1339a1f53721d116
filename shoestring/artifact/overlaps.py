"""How far boxes overlap: of what a file finds in a picture, and of what people draw."""

from __future__ import annotations

import numpy as np


def overlaps(first_A4: np.ndarray, second_B4: np.ndarray) -> np.ndarray:
    """The intersection over the union of each pair of boxes (left, top, width, height): A×B."""
    a, b = first_A4[:, None], second_B4[None]
    corner = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(corner - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1), 0.0)
