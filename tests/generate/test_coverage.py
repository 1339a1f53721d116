"""Precision and recall of points on a line, by hand, and against a slow reference."""

from __future__ import annotations

import pytest
import torch

from shoestring.core import seeded
from shoestring.generate import coverage


def line(*points: float) -> torch.Tensor:
    return torch.tensor(points)[:, None]


def test_by_hand():
    real, made = line(0, 1, 2, 10), line(0.5, 1.5, 30)
    found = coverage(real, made, neighbours=1)
    # real points reach 1, 1, 1 and 8: up to 18; 30 is beyond. Made ones reach 1, 1 and 28.5.
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == 1  # 10 is within 28.5 of 30
    found = coverage(line(0, 1, 2, 100), line(0.5, 1.5, 1.0), neighbours=1)
    assert found.precision == 1 and found.recall == pytest.approx(3 / 4)


def test_one_mode_has_precision_and_no_recall():
    with seeded(0):
        real = torch.cat([torch.randn(300, 3), torch.randn(300, 3) + 20])
        found = coverage(real, 0.5 * torch.randn(200, 3))
    assert found.precision > 0.95 and found.recall < 0.5


def test_it_is_the_slow_one():
    with seeded(0):
        real, made = torch.randn(40, 2).double(), (torch.randn(30, 2) + 1).double()

    def among(points: torch.Tensor, others: torch.Tensor) -> float:
        inside = 0
        for point in points:
            for one in others:
                reach = sorted(float((one - other).norm()) for other in others)[3]
                if float((point - one).norm()) <= reach:
                    inside += 1
                    break
        return inside / len(points)

    found = coverage(real, made)
    assert found.precision == pytest.approx(among(made, real))
    assert found.recall == pytest.approx(among(real, made))


def test_too_few():
    with pytest.raises(ValueError, match="3 real and 9 made pictures with 3 neighbours"):
        coverage(torch.rand(3, 2), torch.rand(9, 2))
