"""Copies are found; new pictures are none; ranks are those of scipy."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import mannwhitneyu

from shoestring.core import seeded
from shoestring.generate import memorised


def cloud(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 4, 4)


def test_new_pictures_are_no_copies():
    with seeded(0):
        found = memorised(cloud(200), cloud(500), cloud(200))
    assert abs(found.z) < 3 and found.near < 0.05


def test_copies_are_found_and_named():
    with seeded(0):
        training = cloud(500)
        made = torch.cat([training[[3, 77, 140]] + 0.01, cloud(200)])
        some = memorised(made, training, cloud(200))
        all_of_them = memorised(training[:100], training, cloud(200))
    assert some.nearest[:3].tolist() == [3, 77, 140] and 0.01 < some.near < 0.05
    assert all_of_them.near == 1 and all_of_them.z < -10
    assert all_of_them.nearest.tolist() == list(range(100))


def test_ranks_are_those_of_scipy():
    with seeded(0):
        made, training, held = 0.9 * cloud(60), cloud(300), cloud(50)
        made[:5] = training[:5]  # ties at a distance of 0
    found = memorised(made, training, held)
    ours, theirs = (
        torch.cdist(
            one.flatten(1), training.flatten(1), compute_mode="donot_use_mm_for_euclid_dist"
        )
        .min(1)
        .values.numpy()
        for one in (made, held)
    )
    slow = mannwhitneyu(ours, theirs, use_continuity=False, method="asymptotic")
    middle = len(ours) * len(theirs) / 2
    assert (found.z < 0) == (slow.statistic < middle)
    from scipy.stats import norm

    assert 2 * norm.cdf(-abs(found.z)) == pytest.approx(slow.pvalue, rel=0.02)


def test_empty_sets():
    with pytest.raises(ValueError, match="give one of each at least"):
        memorised(cloud(0), cloud(3), cloud(3))


def test_copies_are_seen_where_some_held_out_pictures_are_copies_too():
    draw = torch.Generator().manual_seed(0)
    training = torch.rand(400, 16, generator=draw)
    held_out = torch.cat([torch.rand(190, 16, generator=draw), training[:10]])
    found = memorised(training[100:300], training, held_out)
    assert found.near == 1.0 and found.z < -10


def test_numbers_that_are_none_are_an_error():
    pictures = torch.rand(9, 4)
    with pytest.raises(ValueError, match="the made pictures hold NaN"):
        memorised(pictures * float("nan"), pictures, pictures)
