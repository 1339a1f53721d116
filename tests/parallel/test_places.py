"""Which of many places are taken, in few bits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shoestring.parallel.exchange.places import packed, packed_bytes, unpacked


def test_places_by_hand():
    """2 and 9 of 16: 3 low bits each, 010 and 001; high bits 0 and 1, so marks 1, 0, 1."""
    data = packed(np.array([2, 9]), 16)
    assert np.unpackbits(data).tolist() == [0, 1, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]
    assert unpacked(data, 2, 16).tolist() == [2, 9]


@pytest.mark.parametrize(("count", "total"), [(1, 1), (7, 7), (1, 1000), (37, 1000), (999, 1000)])
def test_places_come_back_in_few_bits(count: int, total: int):
    for seed in range(20):
        drawn = np.random.default_rng(seed)
        places = np.sort(drawn.choice(total, count, replace=False))
        data = packed(places, total)
        assert len(data) == packed_bytes(count, total)
        assert np.array_equal(unpacked(data, count, total), places)
    assert 8 * len(data) <= count * (math.log2(total / count) + 2) + 16


def test_what_is_no_place_is_an_error():
    with pytest.raises(ValueError, match="3 places came where 2 were due"):
        unpacked(np.packbits([0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 0]), 2, 16)
    with pytest.raises(ValueError, match="not in order, or not below 15"):
        unpacked(np.packbits([1, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0]), 2, 15)  # 15 and 15
