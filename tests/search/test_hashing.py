"""Hashes of ids: integers that every runtime computes alike, spread over all rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shoestring.search import HashedRows, RowEach
from shoestring.search.hashing import FACTORS, HASHED, PRIME, same_hash

MADE: dict = {}
exec(HASHED, MADE)


@given(
    st.integers(0, PRIME - 1),
    st.sampled_from(FACTORS),
    st.integers(1, PRIME),
)
def test_int64_is_enough(key: int, factor: int, rows: int):
    """The same as Python's integers, which have no limit."""
    found = MADE["hashed"](torch.tensor([key]), factor, rows)
    assert found.dtype == torch.int64 and int(found) == same_hash(key, factor, rows) < rows


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("rows", [64, 500, 1000, 2000, 5000])
def test_small_ids_are_spread_as_chance_would(factor: int, rows: int):
    """So many ids as rows: chance leaves 1/e of the rows empty, and none has a crowd."""
    counts = torch.bincount(MADE["hashed"](torch.arange(rows), factor, rows), minlength=rows)
    assert (counts > 0).float().mean() > 0.55 and counts.max() <= 12


def test_rows_are_counted():
    assert RowEach().count(7) == 7 and HashedRows(16).count(7) == 16
    with pytest.raises(ValueError, match="hashed to 0 rows: give 1 to"):
        HashedRows(0)
