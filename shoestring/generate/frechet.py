"""The Fréchet distance of two sets of features: how far made pictures are from real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def frechet_distance(first_ND: ArrayLike, second_MD: ArrayLike) -> float:
    """The squared Fréchet distance of two sets of rows, each taken for a normal distribution.

    |μ₁ - μ₂|² + Tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½), 0 or more. In the features of an Inception network it is
    known as FID. In other features its size means something else: compare only figures of the same
    network, and of as many rows, since fewer rows give a larger distance.

    Source: Heusel et al. 2017, equation 6; Dowson & Landau 1982.

    `first_ND`, `second_MD`: finite numbers; two rows or more each.

    Raises ValueError for rows of different widths, fewer than two, or NaN or infinity.
    """
    first, second = (np.asarray(one, np.float64) for one in (first_ND, second_MD))
    for one in (first, second):
        if one.ndim != 2 or len(one) < 2 or one.shape[1] != first.shape[1]:
            raise ValueError(
                f"features of shapes {first.shape} and {second.shape}: give two or more rows of "
                "the same width each"
            )
        if not np.isfinite(one).all():
            raise ValueError("features with NaN or infinity: the pictures or the network have them")
    means = first.mean(0), second.mean(0)
    spreads = tuple(np.atleast_2d(np.cov(one, rowvar=False)) for one in (first, second))
    # The eigenvalues of Σ₁Σ₂ are those of Σ₁^½ Σ₂ Σ₁^½, which is symmetric.
    values, vectors = np.linalg.eigh(spreads[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ spreads[1] @ root), 0)).sum()
    apart = float(((means[0] - means[1]) ** 2).sum())
    return max(0.0, apart + float(np.trace(spreads[0]) + np.trace(spreads[1]) - 2 * shared))
