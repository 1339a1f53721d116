"""Typical: a label in each cluster, the middle of it first."""

from __future__ import annotations

import torch
from label_pools import Echo, pool_of

from shoestring.core import seeded
from shoestring.label import Typical


def _blobs(*sizes: int) -> torch.Tensor:
    with seeded(0):
        centres = torch.eye(len(sizes)) * 20
        return torch.cat(
            [centre + torch.randn(size, len(sizes)) for centre, size in zip(centres, sizes)]  # noqa: B905
        )


def test_each_cluster_gets_a_label_and_the_largest_first():
    points = _blobs(30, 50, 20)
    with seeded(0):
        chosen = Typical().choose(Echo(3), pool_of(points), 3)
    group = [0 if one < 30 else 1 if one < 80 else 2 for one in chosen]
    assert group == [1, 0, 2]
    # The most typical lies nearer to the middle than most.
    for one, (begin, end) in zip(chosen, ((30, 80), (0, 30), (80, 100)), strict=True):
        from_middle = (points[begin:end] - points[begin:end].mean(0)).norm(dim=1)
        assert from_middle[one - begin] < from_middle.quantile(0.35)


def test_a_cluster_with_a_label_waits():
    points = _blobs(30, 50, 20)
    with seeded(0):
        task = pool_of(points).buy([40])  # of the largest
        chosen = Typical().choose(Echo(3), task, 2)
    assert [0 if one < 30 else 1 if one < 80 else 2 for one in chosen] == [0, 2]


def test_more_than_there_are_clusters():
    with seeded(0):
        chosen = Typical().choose(Echo(3), pool_of(torch.ones(20, 3)), 20)
    assert sorted(chosen.tolist()) == list(range(20))
