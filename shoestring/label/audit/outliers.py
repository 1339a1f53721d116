"""Outliers: examples that are far from all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from shoestring.label.audit.checked import checked_features

_NORMAL = 1.4826
"""The deviation of a normal distribution, in median absolute deviations."""


@final
@dataclass(frozen=True, kw_only=True)
class Outlier:
    """An example that is far from its neighbours.

    `index`: of the example.
    `distance`: the mean distance to its nearest neighbours, as a multiple of the median example's.
    `deviations`: how many robust standard deviations the logarithm of that is above the median.
    """

    index: int
    distance: float
    deviations: float


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Outliers:
    """The examples that are far from all others, the farthest first.

    `rows`: of those beyond the limit.
    `distance`: of each example, N, as in Outlier.
    """

    rows: tuple[Outlier, ...]
    distance: np.ndarray


def outliers(features: Any, *, neighbours: int = 10, deviations: float = 3.5) -> Outliers:
    """The examples whose nearest neighbours are far away.

    `features`: N×D, such as the outputs of a network before its last layer, or standardised
        columns; distances are Euclidean.
    `neighbours`: 1 or more; at most N - 1 are taken.
    `deviations`: an outlier's log distance is at least so many robust standard deviations (by the
        median absolute deviation) above the median, above 0.

    Source: Ramaswamy, Rastogi & Shim 2000, "Efficient algorithms for mining outliers from large
    data sets", for the distance; Iglewicz & Hoaglin 1993 for the limit of 3.5. Differs: the mean
    distance of the neighbours, not that of the last.
    Raises ValueError for features that are not N×D and finite, with N of 3 or more, and for numbers
    out of range.
    """
    from sklearn.neighbors import NearestNeighbors

    table = checked_features(features, least=3)
    if neighbours < 1 or not deviations > 0:
        raise ValueError(
            f"neighbours is {neighbours} and deviations {deviations}: give 1 or more, and a number "
            "above 0"
        )
    count = min(neighbours, len(table) - 1)
    distances, _ = NearestNeighbors(n_neighbors=count).fit(table).kneighbors()
    distance = distances.mean(1)
    middle = np.median(distance)
    if middle <= 0:  # most examples are equal: whatever is apart from them stands out
        middle = distance[distance > 0].min(initial=np.inf)
    if not np.isfinite(middle):
        return Outliers(rows=(), distance=np.ones(len(table)))
    relative = distance / middle
    logs = np.log(np.maximum(relative, 1e-12))
    off = logs - np.median(logs)
    spread = max(_NORMAL * float(np.median(np.abs(off))), 1e-3)
    scores = off / spread
    order = np.argsort(-relative, kind="stable")
    rows = tuple(
        Outlier(index=int(k), distance=float(relative[k]), deviations=float(scores[k]))
        for k in order
        if scores[k] >= deviations
    )
    return Outliers(rows=rows, distance=relative)
