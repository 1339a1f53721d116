"""The doubt of a picture against a slow count of its peaks."""

from __future__ import annotations

import torch
from pytest import approx

from shoestring.label import peak_doubts


def slow(heat_CHW: torch.Tensor) -> float:
    total = 0.0
    classes, height, width = heat_CHW.shape
    for kind in range(classes):
        for row in range(height):
            for column in range(width):
                near = heat_CHW[kind, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                value = float(heat_CHW[kind, row, column])
                if value > 0.05 and value == float(near.max()):
                    total += 1 - abs(value - (1 - value))
    return total


def test_as_the_slow_count():
    logits = 3 * torch.randn(5, 2, 9, 7, generator=torch.Generator().manual_seed(0)) - 1
    assert peak_doubts(logits).tolist() == approx([slow(one.sigmoid()) for one in logits], rel=1e-5)


def test_sure_pictures_have_none_and_two_peaks_count_twice():
    sure = torch.full((3, 1, 8, 8), -12.0)
    sure[0, 0, 2, 2] = 12.0
    sure[1, 0, 2, 2] = sure[2, 0, 2, 2] = sure[2, 0, 6, 6] = 0.0
    assert peak_doubts(sure).tolist() == approx([0, 1, 2], abs=1e-4)
