"""Places of many texts in rows of one length, so that no computation is lost on padding."""

from __future__ import annotations

import numpy as np

from shoestring.artifact.chains.text_steps import Run

_ROW, _ROWS = 512, 16  # places of a row, and rows of a run of the network


def scored(lengths: np.ndarray, index_P: np.ndarray, ids_UK: np.ndarray, reach: int, run: Run):
    """The label with the highest score at each place of all texts, P (int64).

    Texts stand one after the other with `reach` places of padding between them, and this is cut
    into rows that overlap by as much. So each place gets the scores that its text alone would get,
    and a text may be of any length.

    `lengths`: the places of each text; their sum is P.
    `index_P`: for each place, the row of `ids_UK` that has its ids.
    `reach`: how many places on either side change the scores of one.
    `run`: the network, ids R×T×K to scores R×T×labels.
    """
    total = int(lengths.sum())
    if not total:
        return np.zeros(0, np.int64)
    text_P = np.repeat(np.arange(len(lengths)), lengths)
    place_P = np.arange(total) + reach * (text_P + 1)
    whole = total + reach * (len(lengths) + 1)
    step = min(_ROW, whole - 2 * reach)
    rows = -(-(whole - 2 * reach) // step)
    padding = len(ids_UK)
    stream = np.full(rows * step + 2 * reach, padding, np.int64)
    stream[place_P] = index_P
    table = np.concatenate([ids_UK, np.zeros_like(ids_UK[:1])])
    best = np.empty((rows, step), np.int64)
    at_RT = np.arange(rows)[:, None] * step + np.arange(step + 2 * reach)
    for first in range(0, rows, _ROWS):
        part = slice(first, first + _ROWS)
        scores = run(table[stream[at_RT[part]]])
        best[part] = scores[:, reach : reach + step].argmax(-1)
    return best.reshape(-1)[place_P - reach]
