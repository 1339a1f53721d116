"""Whether made pictures are copies: their distances to training pictures, and held-out ones'."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_NEAR = 0.01  # the share of held-out pictures that are called near


@dataclass(frozen=True, kw_only=True)
class Memorised:
    """How near to training pictures made ones are, beside held-out ones.

    `z`: of the rank test of Mann & Whitney. Far below 0: made pictures are nearer than held-out
        ones. Blurred pictures are too, without being copies.
    `near`: the share of made pictures that are nearer than all but a hundredth of the held-out
        ones are.
    `nearest`: for each made picture the index of the nearest training picture, N, to look at.
    """

    z: float
    near: float
    nearest: Tensor


def memorised(made: Tensor, training: Tensor, held_out: Tensor) -> Memorised:
    """Compare distances to the nearest training picture: of made pictures and of held-out ones.

    Source: Meehan, Chaudhuri & Dasgupta 2020, "A non-parametric test to detect data-copying in
    generative models", section 2.
    Differs: the whole space is one cell; and the share of near pictures is told.

    `made`, `training`, `held_out`: pictures, or their features, with the example along axis 0.

    Raises ValueError for an empty set, and for NaN or infinity.
    """
    for name, one in (("made", made), ("training", training), ("held-out", held_out)):
        if not torch.isfinite(one).all():
            raise ValueError(f"the {name} pictures hold NaN or infinity: leave these out")
    if not min(len(made), len(training), len(held_out)):
        raise ValueError(
            f"{len(made)} made, {len(training)} training and {len(held_out)} held-out pictures: "
            "give one of each at least"
        )
    known = training.flatten(1).float()
    ours, nearest = _nearest(made.flatten(1).float(), known)
    theirs, _ = _nearest(held_out.flatten(1).float(), known)
    below = torch.quantile(theirs, _NEAR)
    return Memorised(
        z=_rank_z(ours, theirs), near=float((ours <= below).double().mean()), nearest=nearest
    )


def _nearest(rows: Tensor, known: Tensor, part: int = 200) -> tuple[Tensor, Tensor]:
    """The squared distance of each row to the nearest known one, and that one's index."""
    lengths = known.square().sum(1)
    found = [(lengths - 2 * one @ known.T).min(1) for one in rows.split(part)]
    indices = torch.cat([one.indices for one in found])
    # again, by differences: where rows are equal the sum of large numbers is not 0
    return (rows - known[indices]).square().sum(1), indices


def _rank_z(first: Tensor, second: Tensor) -> float:
    from scipy.stats import rankdata

    ranks = rankdata(torch.cat([first, second]).double().numpy())
    count, other = len(first), len(second)
    statistic = ranks[:count].sum() - count * (count + 1) / 2
    ties = torch.unique(torch.cat([first, second]), return_counts=True)[1].double()
    total = count + other
    tied = float((ties**3 - ties).sum()) / (total * max(1, total - 1))
    deviation = (count * other / 12 * (total + 1 - tied)) ** 0.5
    return float((statistic - count * other / 2) / deviation) if deviation else 0.0
