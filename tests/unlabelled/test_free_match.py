"""FreeMatch: thresholds that follow, by hand."""

from __future__ import annotations

import pytest
import torch

from shoestring.unlabelled import FreeMatch
from shoestring.unlabelled.free_match import Confidence


def test_the_thresholds_by_hand():
    seen = Confidence(2)
    belief = torch.tensor([[0.9, 0.1], [0.7, 0.3]])
    least = seen.follow(belief, memory=0.5)
    assert float(seen.overall) == pytest.approx(0.5 * 0.5 + 0.5 * 0.8)
    assert seen.shares.tolist() == pytest.approx([0.65, 0.35])
    assert least.tolist() == pytest.approx([0.65, 0.65 * 0.35 / 0.65])


def test_thresholds_rise_with_confidence_and_stay_low_for_a_class_that_is_behind():
    seen = Confidence(3)
    for _ in range(200):
        least = seen.follow(torch.tensor([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01]]), memory=0.95)
    assert least[0] > 0.95 and least[1] > 0.95 and least[2] < 0.1


def test_settings_out_of_range():
    with pytest.raises(ValueError, match="the memory of the thresholds is 2"):
        FreeMatch(memory=2)
