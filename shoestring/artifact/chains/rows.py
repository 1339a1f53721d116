"""Places of many texts in rows of one length, so that no computation is lost on padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shoestring.artifact.chains.text_steps import Run

_ROW, _ROWS = 512, 16  # places of a row, and rows of a run of the network


def positions(lengths: np.ndarray, reach: int) -> tuple[np.ndarray, int]:
    """Where the places of texts are in one stream, and how long it is.

    `reach` places of padding stand before, between and after the texts.

    `lengths`: the places of each text, N; their sum is P.
    """
    text_P = np.repeat(np.arange(len(lengths)), lengths)
    total = int(lengths.sum())
    return np.arange(total) + reach * (text_P + 1), total + reach * (len(lengths) + 1)


def scored(
    whole: int, ids_of: Callable[[int, int], np.ndarray], reach: int, run: Run
) -> np.ndarray:
    """The label with the highest score at each place of a stream, `whole` (int64).

    The stream is cut into rows that overlap. So each place gets the scores that its text alone
    would get, however long it is, and memory is bounded.

    `ids_of`: the ids from a place to before another, T×K (int64); 0 for padding.
    `reach`: how many places on either side change the scores of one.
    `run`: the network, ids R×T×K to scores R×T×labels.
    """
    best = np.zeros(whole, np.int64)
    step = max(1, min(_ROW, whole - 2 * reach))
    for start in range(reach, whole - reach, step * _ROWS):
        stop = min(start + step * _ROWS, whole - reach)
        rows = -(-(stop - start) // step)
        ids_TK = ids_of(start - reach, stop + reach)
        more = rows * step + 2 * reach - len(ids_TK)
        ids_TK = np.concatenate([ids_TK, np.zeros((more, ids_TK.shape[1]), np.int64)])
        at_RT = np.arange(rows)[:, None] * step + np.arange(step + 2 * reach)
        scores = run(ids_TK[at_RT])
        best[start:stop] = scores[:, reach : reach + step].argmax(-1).reshape(-1)[: stop - start]
    return best
