"""What the lessons of both directions have in common: pools that run out, and rewards."""

from __future__ import annotations

import pytest
import torch

from shoestring.dual.lessons import RewardError, checked_reward, endless


def test_a_pool_that_can_be_read_once_is_an_error_and_no_endless_loop():
    found = endless(batch for batch in (torch.zeros(1), torch.ones(1)))
    assert [float(next(found)) for _ in range(2)] == [0.0, 1.0]
    with pytest.raises(ValueError, match="not a generator"):
        next(found)
    again = endless([torch.zeros(1)])
    assert [float(next(again)) for _ in range(3)] == [0.0] * 3


def test_a_reward_is_a_number_for_each_example():
    with pytest.raises(RewardError, match=r"the fluency has the shape \[3, 1\]"):
        checked_reward(torch.zeros(3, 1), "the fluency")
    assert checked_reward(torch.zeros(3), "the fluency").shape == (3,)
