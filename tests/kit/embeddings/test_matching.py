"""Words matched to cells: exactly, step by step, and what is refused."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from shoestring.kit.embeddings.matching import EXACT, cost, exact, improved, matched


def costs(words: int, rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Losses as a language model has them: above 0, and more for frequent words."""
    draw = np.random.default_rng(seed)
    count = np.maximum(1, words / np.arange(1, words + 1))[:, None]
    parts = draw.normal(size=(words, 8))
    row_losses = np.abs(np.log(rows) + parts @ draw.normal(size=(8, rows)) * 0.5)
    column_losses = np.abs(np.log(columns) + draw.normal(size=(words, columns)) * 0.5)
    return (count * row_losses).astype(np.float32), (count * column_losses).astype(np.float32)


def test_a_cost_by_hand():
    row_costs, column_costs = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0, 20], [30, 40]])
    assert cost(row_costs, column_costs, np.array([1, 2])) == 1 + 20 + 4 + 30


def test_exact_is_the_least_of_all_permutations():
    row_costs, column_costs = costs(6, 2, 3)
    every = [cost(row_costs, column_costs, np.array(cells)) for cells in permutations(range(6))]
    cells = exact(row_costs, column_costs)
    assert sorted(cells) == list(range(6))
    assert cost(row_costs, column_costs, cells) == pytest.approx(min(every))


def test_exact_leaves_the_dearest_cells_empty():
    row_costs, column_costs = np.array([[1.0, 9.0]] * 2), np.array([[1.0, 1.0, 5.0]] * 2)
    assert sorted(exact(row_costs, column_costs)) == [0, 1]


@pytest.mark.parametrize(("words", "rows", "columns"), [(900, 30, 30), (850, 30, 30)])
def test_improved_comes_within_two_percent_of_exact_and_never_gets_worse(
    words: int, rows: int, columns: int
):
    row_costs, column_costs = costs(words, rows, columns)
    start = np.random.default_rng(1).permutation(rows * columns)[:words]
    least = cost(row_costs, column_costs, exact(row_costs, column_costs))
    before = cost(row_costs, column_costs, start)
    for cells in improved(row_costs, column_costs, start, group=100):
        now = cost(row_costs, column_costs, cells)
        assert now <= before + 1e-3 and len(np.unique(cells)) == words
        before = now
    assert least - 1e-3 <= before <= 1.02 * least
    assert cost(row_costs, column_costs, start) > 1.2 * least  # there was something to gain


def test_words_stay_within_the_cells_that_there_are():
    row_costs, column_costs = costs(500, 30, 30)
    draw = np.random.default_rng(2)
    start = draw.permutation(900)[:500]
    others = np.setdiff1d(np.arange(900), start)
    least = cost(row_costs, column_costs, exact(row_costs, column_costs, start))
    *_, none_free = improved(row_costs, column_costs, start, free=others[:0], group=100)
    assert sorted(none_free) == sorted(start)
    assert least - 1e-3 <= cost(row_costs, column_costs, none_free) <= 1.02 * least
    *_, some_free = improved(row_costs, column_costs, start, free=others[:50], group=100)
    assert set(some_free) <= {*start, *others[:50]} and set(some_free) != set(start)
    with pytest.raises(ValueError, match="500 words do not fit into 400 cells"):
        exact(row_costs, column_costs, start[:400])


def test_a_small_vocabulary_is_matched_exactly():
    row_costs, column_costs = costs(60, 8, 8)
    assert EXACT >= 60
    cells = matched(row_costs, column_costs, np.arange(60))
    assert (cells == exact(row_costs, column_costs)).all()


def test_one_word_in_one_cell():
    one = np.ones((1, 1))
    assert exact(one, one).tolist() == [0]
    assert [cells.tolist() for cells in improved(one, one, np.array([0]))] == [[0]]


def test_what_is_refused():
    row_costs, column_costs = costs(6, 2, 3)
    with pytest.raises(ValueError, match="7 words do not fit into 2 × 3 cells"):
        exact(np.ones((7, 2)), np.ones((7, 3)))
    with pytest.raises(ValueError, match="column costs hold NaN or infinity"):
        exact(row_costs, np.full((6, 3), np.nan))
    with pytest.raises(ValueError, match="words × rows and words × columns"):
        exact(row_costs, column_costs[:4])
    for cells, said in (
        (np.array([0, 1, 2, 3, 4, 4]), "6 different numbers"),
        (np.array([0, 1, 2, 3, 4, 6]), "in cell 6: the table has 2 times 3"),
    ):
        with pytest.raises(ValueError, match=said):
            next(improved(row_costs, column_costs, cells))
