"""Word vectors in few numbers: sizes by hand, one word as in the table, fits to a table."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from shoestring.core import seeded
from shoestring.kit.embeddings.fitting import by_hashes, low_rank, quotients, slim
from shoestring.kit.embeddings.vectors import (
    FullVectors,
    HashedVectors,
    LowRankVectors,
    QuotientRemainderVectors,
    SlimVectors,
    WordVectors,
    hashed,
)

KINDS: dict[str, tuple[Callable[[], WordVectors], int]] = {
    "full": (lambda: FullVectors(50, 8), 50 * 8),
    "low rank": (lambda: LowRankVectors(50, 8, 3), 50 * 3 + 3 * 8),
    "slim": (lambda: SlimVectors(50, 8, pool=5, parts=4), 5 * 8),
    "hashed": (lambda: HashedVectors(50, 8, buckets=6, hashes=2), 6 * 8 + 50 * 2),
    "quotient-remainder": (lambda: QuotientRemainderVectors(50, 8), (8 + 7) * 8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_has_the_numbers_that_it_says_and_a_vector_for_each_word(kind: str):
    make, numbers = KINDS[kind]
    with seeded(0):
        vectors = make()
    assert sum(p.numel() for p in vectors.parameters()) == numbers
    table = vectors.table()
    assert table.shape == (50, 8) and len(table.unique(dim=0)) > 40
    ids = torch.tensor([[3, 49], [0, 3]])
    torch.testing.assert_close(vectors(ids), table[ids])
    table.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in vectors.parameters())


def test_quotient_and_remainder_by_hand():
    vectors = QuotientRemainderVectors(12, 2, buckets=5)
    with torch.no_grad():
        vectors.quotients.copy_(torch.tensor([[1.0, 1], [2, 3], [5, 7]]))
        vectors.remainders.copy_(torch.arange(10.0).reshape(5, 2))
    assert vectors(torch.tensor(8)).tolist() == [2 * 6, 3 * 7]  # 8 = 1·5 + 3


def test_hashes_spread_evenly_and_differ():
    ids = torch.arange(40_000)
    first, second = hashed(ids, 0, 100), hashed(ids, 1, 100)
    for one in (first, second):
        counts = torch.bincount(one, minlength=100)
        assert len(counts) == 100 and counts.min() > 250 and counts.max() < 550
    assert abs(float((first == second).float().mean()) - 0.01) < 0.005


@pytest.mark.parametrize("kind", ["low rank", "slim", "hashed", "quotient-remainder"])
def test_a_table_of_its_own_kind_is_fitted(kind: str):
    """All but the hashes find the table again; these, fitted in turn, come near."""
    with seeded(1):
        table = KINDS[kind][0]().table().detach()
    fitted = {
        "low rank": lambda: low_rank(table, 3),
        "slim": lambda: slim(table, 5, 4),
        "hashed": lambda: by_hashes(table, 6, 2),
        "quotient-remainder": lambda: quotients(table),
    }[kind]()
    error = (fitted.table() - table).norm() / table.norm()
    assert error < {"hashed": 0.5, "quotient-remainder": 1e-2}.get(kind, 1e-5)


def test_more_numbers_fit_better():
    with seeded(0):
        table = torch.randn(300, 16)
    errors = [float((low_rank(table, rank).table() - table).detach().norm()) for rank in (2, 8, 16)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-4
    for fit in (lambda n: slim(table, n, 4), lambda n: by_hashes(table, n, 2)):
        few, many = (float((fit(n).table() - table).detach().norm()) for n in (10, 200))
        assert many < few < float(table.norm())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FullVectors(0, 8), "words=0: give an integer, 1 or more"),
        (lambda: LowRankVectors(9, 8, 9), "a rank of 9: it must be from 1 to the width, 8"),
        (lambda: SlimVectors(9, 8, 3, parts=3), "the parts must divide the width, 8"),
        (lambda: HashedVectors(9, 8, 0), "0 buckets, 2 hashes"),
        (lambda: QuotientRemainderVectors(9, 8, 0), "0 buckets"),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], WordVectors], said: str):
    with pytest.raises(ValueError, match=said):
        make()
