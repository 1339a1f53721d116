"""Words matched to the cells of a table of rows and columns, at the least sum of costs.

The cost of a word in a cell is its cost in that row plus its cost in that column. Each cell takes
one word. The matching is exact (`exact`) up to some thousands of words; beyond that there is
`improved`, which never makes a matching worse.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Cells = NDArray[np.int64]
"""The cell of each word, V: its row times the number of columns, plus its column."""
GROUP = 300
"""Words in a group that `improved` matches exactly; a larger group takes cubically longer."""
EXACT = 2000
"""Words up to which `matched` is exact: it then takes some seconds of a core."""


def cost(row_costs: Floats, column_costs: Floats, cells: Cells) -> float:
    """The sum of the costs of words in their cells.

    `row_costs`, `column_costs`: V×R and V×C.
    """
    words = np.arange(len(cells))
    rows, columns = np.divmod(cells, column_costs.shape[1])
    return float(
        row_costs[words, rows].sum(dtype=np.float64)
        + column_costs[words, columns].sum(dtype=np.float64)
    )


def matched(row_costs: Floats, column_costs: Floats, cells: Cells, *, seed: int = 0) -> Cells:
    """Cells at the least cost for up to 2,000 words (`exact`), and else `improved` ones."""
    if len(cells) <= EXACT:
        return exact(row_costs, column_costs)
    *_, last = improved(row_costs, column_costs, cells, seed=seed)
    return last


def exact(row_costs: Floats, column_costs: Floats, places: Cells | None = None) -> Cells:
    """Cells at the least sum of costs.

    The time grows with the cube of the words, and the memory with their square (8 bytes a pair).
    Source: Crouse 2016, as in scipy.optimize.linear_sum_assignment.

    `row_costs`, `column_costs`: V×R and V×C, finite, with V at most R·C.
    `places`: the cells that words may have, V different ones or more; None: all.
    Raises ValueError for other shapes and values.
    """
    words, rows, columns = _checked(row_costs, column_costs)
    places = np.arange(rows * columns) if places is None else np.unique(places)
    if len(places) < words:
        raise ValueError(f"{words} words do not fit into {len(places)} cells: give more")
    across, down = np.divmod(places, columns)
    costs = row_costs[:, across].astype(np.float64) + column_costs[:, down]
    return places[_assignment(costs)].astype(np.int64)


def improved(
    row_costs: Floats,
    column_costs: Floats,
    cells: Cells,
    *,
    free: Cells | None = None,
    sweeps: int = 20,
    gain: float = 1e-3,
    group: int = GROUP,
    seed: int = 0,
) -> Iterator[Cells]:
    """Cells that cost less, after each sweep; the last are the result.

    A sweep matches, each exactly and with all other words where they are: the words of each row to
    its columns; the words of each column to its rows; and the words of random groups to the cells
    that they have. No step raises the cost. The memory is that of the costs.

    `cells`: where the words are, V different ones.
    `free`: the cells without a word that words may move to; None: all others of the table.
    `sweeps`: the most, 1 or more.
    `gain`: a sweep that lowers the cost by a smaller share than this is the last, 0 or more.
    `group`: words in a random group, 2 or more.
    Raises ValueError for costs and cells of other shapes and values.
    """
    words, rows, columns = _checked(row_costs, column_costs)
    if cells.shape != (words,) or len(np.unique(cells)) != words or cells.min() < 0:
        raise ValueError(f"cells must be {words} different numbers from 0, one for each word")
    if cells.max() >= rows * columns:
        raise ValueError(f"a word is in cell {cells.max()}: the table has {rows} times {columns}")
    draw = np.random.default_rng(seed)
    # A cell without a word holds one that costs nothing anywhere, so that words can move there.
    free = np.setdiff1d(np.arange(rows * columns) if free is None else free, cells)
    row_costs = np.concatenate([row_costs, np.zeros((len(free), rows), row_costs.dtype)])
    column_costs = np.concatenate([column_costs, np.zeros((len(free), columns), row_costs.dtype)])
    cells = np.concatenate([cells, free])
    before = cost(row_costs, column_costs, cells)
    for _ in range(sweeps):
        for groups in (
            _alike(cells // columns, cells % columns),
            _alike(cells % columns, cells // columns),
            np.array_split(draw.permutation(len(cells)), ceil(len(cells) / group)),
        ):
            for members in groups:
                own = cells[members]
                across, down = np.divmod(own, columns)
                costs = row_costs[members][:, across] + column_costs[members][:, down]
                cells[members] = own[_assignment(costs.astype(np.float64))]
        yield cells[:words].copy()
        after = cost(row_costs, column_costs, cells)
        if before - after <= gain * abs(before):
            return
        before = after


def _alike(keys: Cells, order: Cells) -> list[NDArray[np.intp]]:
    """The indices of each key, in an order."""
    sorted_ = np.lexsort((order, keys))
    return np.split(sorted_, np.flatnonzero(np.diff(keys[sorted_])) + 1)


def _assignment(costs: Floats) -> NDArray[np.intp]:
    """The column of each row, at the least sum."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(costs)[1]


def _checked(row_costs: Floats, column_costs: Floats) -> tuple[int, int, int]:
    """The number of words, of rows and of columns."""
    if row_costs.ndim != 2 or column_costs.ndim != 2 or len(row_costs) != len(column_costs):
        raise ValueError(
            f"costs of shapes {row_costs.shape} and {column_costs.shape}: give words × rows and "
            "words × columns"
        )
    (words, rows), columns = row_costs.shape, column_costs.shape[1]
    if words > rows * columns:
        raise ValueError(
            f"{words} words do not fit into {rows} × {columns} cells: give more rows or columns"
        )
    for name, costs in (("row", row_costs), ("column", column_costs)):
        if not np.isfinite(costs).all():
            raise ValueError(f"the {name} costs hold NaN or infinity: every cost must be finite")
    return words, rows, columns
