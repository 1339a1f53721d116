"""Precision and recall of made pictures: how many look real, and how many real ones are covered."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Coverage:
    """How two sets of features cover each other.

    `precision`: the share of made pictures that lie among real ones, 0 to 1.
    `recall`: the share of real pictures that lie among made ones, 0 to 1; low where modes collapse.
    """

    precision: float
    recall: float


def coverage(real_ND: Tensor, made_MD: Tensor, *, neighbours: int = 3) -> Coverage:
    """The improved precision and recall of made pictures, by their features.

    A point lies among others where it is no further from one of them than that one's k-th
    neighbour is.

    Source: Kynkäänniemi et al. 2019, section 2.

    `neighbours`: k, 1 or more, and below N and M.

    Raises ValueError for fewer rows than neighbours and one more, and for NaN or infinity.
    """
    if min(len(real_ND), len(made_MD)) <= neighbours or neighbours < 1:
        raise ValueError(
            f"{len(real_ND)} real and {len(made_MD)} made pictures with {neighbours} neighbours: "
            "give more pictures than neighbours, and 1 neighbour or more"
        )
    real, made = real_ND.double(), made_MD.double()
    if not torch.isfinite(real).all() or not torch.isfinite(made).all():
        raise ValueError("the features hold NaN or infinity: leave these pictures out")
    return Coverage(_among(made, real, neighbours), _among(real, made, neighbours))


def _among(points: Tensor, others: Tensor, neighbours: int, part: int = 500) -> float:
    """The share of points within the reach of one of the others."""
    reach = torch.cat(
        [torch.cdist(one, others).kthvalue(neighbours + 1).values for one in others.split(part)]
    )
    inside = [(torch.cdist(one, others) <= reach).any(1) for one in points.split(part)]
    return float(torch.cat(inside).double().mean())
