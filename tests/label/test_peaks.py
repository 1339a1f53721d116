"""The doubt of a picture against a slow count of its peaks."""

from __future__ import annotations

import pytest
import torch
from pytest import approx
from torch import nn

from shoestring.kit import Training
from shoestring.kit.boxes import box_rows, boxes_task
from shoestring.label import PeakDoubts, peak_doubts


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


class Doubts(nn.Module):
    """Doubts as much as a picture is bright."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        heat = torch.full((len(images), 1, 4, 4), -12.0)
        heat[:, 0, 1, 1] = images.mean((1, 2, 3)) - 3
        zeros = torch.zeros(len(images), 2, 4, 4)
        return {"heat": heat, "sides": zeros, "offsets": zeros}


def pool_of(brightness: list[float]):
    images = torch.tensor(brightness).view(-1, 1, 1, 1).expand(-1, 1, 16, 16).contiguous()
    one = images[:1], box_rows([[(0, 2, 2, 5, 5)]])
    return boxes_task(
        {"train": one, "validation": one}, names=("a",), name="pool", unlabelled=images
    )


def test_the_technique_asks_for_the_most_doubtful_first():
    task = pool_of([1.0, 3.0, 0.5, 2.0])
    chosen = PeakDoubts(labels=2, training=Training(1)).choose(Doubts(), task, 3)
    assert chosen.tolist() == [1, 3, 0]


@pytest.mark.parametrize(("count", "why"), [(0, "0 examples"), (5, "5 examples")])
def test_counts_that_the_pool_has_not_are_refused(count: int, why: str):
    with pytest.raises(ValueError, match=why):
        PeakDoubts().choose(Doubts(), pool_of([1.0, 2.0]), count)


def test_nan_is_refused():
    class Broken(nn.Module):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {name: one / 0 * 0 for name, one in Doubts()(images).items()}

    with pytest.raises(ValueError, match="answers NaN for example"):
        PeakDoubts().choose(Broken(), pool_of([1.0, 2.0]), 1)
