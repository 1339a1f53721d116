"""Places of many texts in rows of one length, so that no computation is lost on padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from shoestring.artifact.chains.text_steps import Run
from shoestring.artifact.wire import ShoeError

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

    Memory is bounded; the arguments are those of `outputs`.
    """
    best = np.zeros(whole, np.int64)
    for start, scores in _rows(whole, ids_of, reach, run):
        if np.isnan(scores).any():
            raise ShoeError("the network gives NaN: no label is the likeliest")
        best[start : start + len(scores)] = scores.argmax(-1)
    return best


def outputs(
    whole: int, ids_of: Callable[[int, int], np.ndarray], reach: int, run: Run
) -> np.ndarray:
    """What a network gives at each place of a stream, whole×numbers; 0 in its outermost padding.

    The stream is cut into rows that overlap. So each place gets what its text alone would get,
    however long it is.

    `ids_of`: the ids from a place to before another, T×K (int64); 0 for padding.
    `reach`: how many places on either side change what one gets.
    `run`: the network, ids R×T×K to R×T×numbers.
    """
    found = None
    for start, given in _rows(whole, ids_of, reach, run):
        if found is None:
            found = np.zeros((whole, given.shape[1]), given.dtype)
        found[start : start + len(given)] = given
    return np.zeros((whole, 0), np.float32) if found is None else found


def _rows(
    whole: int, ids_of: Callable[[int, int], np.ndarray], reach: int, run: Run
) -> Iterator[tuple[int, np.ndarray]]:
    """A place, and what the network gives there and at the places after it; from first to last."""
    step = max(1, min(_ROW, whole - 2 * reach))
    for start in range(reach, whole - reach, step * _ROWS):
        stop = min(start + step * _ROWS, whole - reach)
        rows = -(-(stop - start) // step)
        ids_TK = ids_of(start - reach, stop + reach)
        more = rows * step + 2 * reach - len(ids_TK)
        ids_TK = np.concatenate([ids_TK, np.zeros((more, ids_TK.shape[1]), np.int64)])
        at_RT = np.arange(rows)[:, None] * step + np.arange(step + 2 * reach)
        given = run(ids_TK[at_RT])[:, reach : reach + step]
        yield start, given.reshape(-1, given.shape[-1])[: stop - start]
