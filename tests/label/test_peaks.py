"""The doubt of a picture against a slow count of its peaks."""

from __future__ import annotations

import torch
from pytest import approx

from shoestring.label import peak_doubts


def slow(heat_HW: torch.Tensor) -> float:
    total = 0.0
    height, width = heat_HW.shape
    for row in range(height):
        for column in range(width):
            near = heat_HW[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            value = float(heat_HW[row, column])
            if value > 0.05 and value == float(near.max()):
                total += 1 - abs(value - (1 - value))
    return total


def test_as_the_slow_count():
    logits = 3 * torch.randn(5, 2, 9, 7, generator=torch.Generator().manual_seed(0)) - 1
    counts = torch.tensor([[slow(kind.sigmoid()) for kind in one] for one in logits])
    wanted = (counts / counts.mean(0)).sum(1)
    assert peak_doubts(logits).tolist() == approx(wanted.tolist(), rel=1e-5)


def test_sure_pictures_have_none_and_two_peaks_count_twice():
    sure = torch.full((3, 1, 8, 8), -12.0)
    sure[0, 0, 2, 2] = 12.0
    sure[1, 0, 2, 2] = sure[2, 0, 2, 2] = sure[2, 0, 6, 6] = 0.0
    assert peak_doubts(sure).tolist() == approx([0, 1, 2], abs=1e-4)


def test_a_rare_class_counts_as_much_as_a_frequent_one():
    logits = torch.full((4, 3, 8, 8), -12.0)
    logits[:, 0, ::3, ::3] = 0.0  # nine in each picture
    logits[3, 1, 4, 4] = 0.0  # one in all
    assert peak_doubts(logits).tolist() == approx([1, 1, 1, 5], abs=1e-4)
    assert peak_doubts(torch.full((2, 2, 4, 4), -12.0)).tolist() == [0, 0]
