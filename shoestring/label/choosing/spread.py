"""Choosing examples that are far apart: farthest first, by k-means++, and by clusters."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def seed() -> int:
    """A seed for a generator of its own, drawn from the global generator of torch."""
    return int(torch.randint(2**31 - 1, ()))


def farthest_first(points_ND: Tensor, count: int, taken_MD: Tensor) -> Tensor:
    """The numbers of `count` points, each the farthest from all that were taken before it.

    `taken_MD`: points that were taken already; without any, the first is the one nearest to the
        mean.
    Source: Gonzalez 1985, the greedy 2-approximation of k-centre.
    """
    square_N = points_ND.square().sum(1)

    def squared_to(one_D: Tensor) -> Tensor:
        return (square_N - 2 * points_ND @ one_D + one_D.square().sum()).clamp(min=0)

    nearest_N = torch.full((len(points_ND),), torch.inf)
    for part in taken_MD.split(500) if len(taken_MD) else ():
        to_NM = square_N[:, None] - 2 * points_ND @ part.T + part.square().sum(1)
        nearest_N = nearest_N.minimum(to_NM.clamp(min=0).amin(1))
    chosen: list[int] = []
    for _ in range(count):
        first = not chosen and not len(taken_MD)
        pick = int((squared_to(points_ND.mean(0)).argmin()) if first else nearest_N.argmax())
        chosen.append(pick)
        nearest_N = nearest_N.minimum(squared_to(points_ND[pick]))
        nearest_N[torch.tensor(chosen)] = -1.0
    return torch.tensor(chosen, dtype=torch.long)


def seeded_far_apart(
    squared_to: Callable[[int], Tensor], count: int, first: int, weights_N: Tensor | None = None
) -> Tensor:
    """The numbers of `count` points by the seeding of k-means++.

    Each is drawn with a probability that is proportional to its squared distance from those drawn
    before, times its weight. Where only copies of these are left, the others follow by their
    weight, or else in their order.

    `squared_to`: from the number of a point to the squared distances N of all points to it.
    Source: Arthur & Vassilvitskii 2007, section 2.2.
    """
    draw = np.random.default_rng(seed())
    nearest = squared_to(first).double()
    chosen = [first]
    weights = torch.ones(len(nearest)) if weights_N is None else weights_N
    while len(chosen) < count:
        nearest[torch.tensor(chosen)] = 0.0
        # Rounding leaves copies of a point a little apart.
        share = torch.where(nearest > 1e-6 * squared_scale(nearest), nearest, 0.0) * weights
        if not share.sum() > 0:
            left = torch.ones(len(nearest), dtype=torch.bool)
            left[torch.tensor(chosen)] = False
            rest = left.nonzero().flatten()
            rest = rest[weights[rest].argsort(descending=True, stable=True)]
            chosen += rest[: count - len(chosen)].tolist()
            break
        cumulative = share.cumsum(0).numpy()
        pick = int(np.searchsorted(cumulative, draw.random() * cumulative[-1], side="right"))
        pick = min(pick, len(nearest) - 1)
        chosen.append(pick)
        nearest = nearest.minimum(squared_to(pick).double())
    return torch.tensor(chosen[:count], dtype=torch.long)


def squared_scale(nearest_N: Tensor) -> Tensor:
    """The largest squared distance, which says how large rounding errors are."""
    return nearest_N.max().clamp(min=1e-30)


def clusters(points_ND: Tensor, count: int, weights_N: Tensor | None = None) -> Tensor:
    """The cluster of each point, by k-means; there are `count`, or fewer where points repeat."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    kind = MiniBatchKMeans if len(points_ND) * count > 500_000 else KMeans
    means = kind(n_clusters=min(count, len(points_ND)), n_init="auto", random_state=seed())
    with warnings.catch_warnings():
        # It says that there are fewer distinct points than clusters, which is no fault here.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = means.fit_predict(
            points_ND.double().numpy(),
            sample_weight=None if weights_N is None else weights_N.double().numpy(),
        )
    return torch.from_numpy(np.asarray(labels)).long()


class SquaredTo:
    """The squared distances of points that are rows of a matrix.

    `points_ND`: the rows.
    """

    def __init__(self, points_ND: Tensor) -> None:
        self.points_ND = points_ND
        self.square_N = points_ND.square().sum(1)

    def __call__(self, number: int) -> Tensor:
        """To the point of this number: N, 0 or more."""
        products_N = self.points_ND @ self.points_ND[number]
        return (self.square_N - 2 * products_N + self.square_N[number]).clamp(min=0)
