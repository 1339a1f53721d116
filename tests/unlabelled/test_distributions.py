"""The two-sample test: false alarms as often as it says, and power where it matters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoestring.unlabelled import two_samples


def test_of_one_distribution_p_is_uniform():
    draw = torch.Generator().manual_seed(0)
    ps = []
    for number in range(40):
        rows = torch.randn(90, 5, generator=draw)
        ps.append(two_samples((rows[:30],), (rows[30:],), seed=number).p)
    assert 0.3 < np.mean(ps) < 0.7 and np.mean(np.array(ps) < 0.1) < 0.3


@pytest.mark.parametrize("count", [20, 400])
def test_a_shift_is_found(count: int):
    draw = torch.Generator().manual_seed(1)
    here, there = torch.randn(count, 5, generator=draw), 1 + torch.randn(400, 5, generator=draw)
    found = two_samples((here,), (there,))
    assert found.p < 0.01 and found.distance > 0 and found.counts == (min(count, 300), 300)


def test_other_words_are_found():
    draw = torch.Generator().manual_seed(2)
    here = torch.randint(1, 30, (60, 8), generator=draw)
    there = torch.randint(1, 30, (200, 8), generator=draw)
    assert two_samples((here,), (there,)).p > 0.01
    assert two_samples((here,), (there + 20,)).p < 0.01


def test_the_same_seed_gives_the_same_answer():
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(3))
    assert two_samples((rows[:20],), (rows[20:],)) == two_samples((rows[:20],), (rows[20:],))


def test_one_example_is_too_few():
    with pytest.raises(ValueError, match="sets of 1 and 5 examples"):
        two_samples((torch.zeros(1, 2),), (torch.zeros(5, 2),))
