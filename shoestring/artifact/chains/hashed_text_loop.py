"""The ids of `hashed_text.py` one character at a time, in loops that numba compiles.

The ids are the same to the bit. numba (the extra `fast`) takes a second to load, which a few lines
are not worth: `worth_it` counts the characters that this process has asked about so far.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

_WORTH = 1 << 22
"""So many characters take numpy about as long as the loops take to load."""
_compiling = Lock()
_asked = 0  # characters so far; threads that count at once may lose some, which does no harm


class Loops(NamedTuple):
    """The compiled loops; they release the interpreter's lock.

    `hashes`, `rows`: as `_hashes` and `_rows`.
    """

    hashes: Any
    rows: Any


def worth_it(characters: int) -> bool:
    """Whether so many characters more are for the loops: numba is here, and loading it pays."""
    global _asked
    _asked += characters
    return available() and (_asked >= _WORTH or bool(_compiled.cache_info().currsize))


@cache
def available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


def compiled() -> Loops:
    """The loops as machine code; raises ModuleNotFoundError where numba is not installed."""
    with _compiling:  # or each thread of the first call would compile them
        return _compiled()


@cache
def _compiled() -> Loops:
    from numba import njit, types

    def read(kind: Any, axes: int = 1) -> Any:
        return types.Array(kind, axes, "C", readonly=True)

    numbers = types.Array(types.int64, 1, "C")
    of_hashes = types.int64(
        read(types.uint32),
        read(types.uint8),
        read(types.uint16),
        read(types.boolean),
        types.int64,
        types.Array(types.uint32, 1, "C"),
        numbers,
        numbers,
        types.Array(types.int64, 2, "C"),
    )
    whole = read(types.int64)
    of_rows = types.void(whole, whole, whole, whole, types.Array(types.int64, 2, "C"))
    return Loops(
        njit(of_hashes, cache=True, nogil=True)(_hashes),
        njit(of_rows, cache=True, nogil=True)(_rows),
    )


def hashes(
    points: np.ndarray,
    kinds: np.ndarray,
    kind_of: np.ndarray,
    blocks: int,
    lengths: tuple[int, ...],
    buckets: int,
    texts: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ids of texts, how many each has (N), and its letters by the kind of their block (N×C).

    `points`: code points (uint32): a newline before each text and after the last.
    `kinds`: of each code point 1 (a letter) or another number, at least where `points` has it.
    `kind_of`: the kind of each block of 128 code points (uint16).
    `blocks`: how many kinds of blocks there are, C.
    `texts`: how many there are, N.
    """
    wanted = np.zeros(max(lengths) + 1, np.bool_)
    wanted[list(lengths)] = True
    # A letter comes with one space at most, and its text with one more.
    ids = np.empty((2 * len(points) + 2) * len(lengths), np.int64)
    room = np.empty(len(points) + 2, np.uint32)
    counts, letters = np.zeros(texts, np.int64), np.zeros((texts, blocks), np.int64)
    used = compiled().hashes(points, kinds, kind_of, wanted, buckets, room, ids, counts, letters)
    return ids[:used].copy(), counts, letters


def rows(
    ids: np.ndarray, first_N: np.ndarray, counts_N: np.ndarray, some: np.ndarray, width: int
) -> np.ndarray:
    """The ids of some texts in rows with padding, as `width` columns (int64).

    `first_N`, `counts_N`: of all texts, where their ids begin and how many there are.
    `some`: the numbers of the texts.
    """
    out = np.zeros((len(some), width), np.int64)
    compiled().rows(ids, first_N, counts_N, some, out)
    return out


def _hashes(
    points: Any,
    kinds: Any,
    kind_of: Any,
    wanted: Any,
    buckets: int,
    room: Any,
    ids: Any,
    counts: Any,
    letters: Any,
) -> int:
    """Fill in ids, counts and letters; returns how many ids there are.

    `room`: for the letters of one text, each run of other characters a space.
    """
    used, text, at, longest = 0, 0, 1, len(wanted) - 1
    while at < len(points):
        filled, between = 0, True
        while points[at] != np.uint32(10):
            point = points[at]
            at += 1
            if kinds[point] != 1:
                between = True
                continue
            if between:
                room[filled] = np.uint32(32)
                filled += 1
                between = False
            room[filled] = point
            filled += 1
            letters[text, kind_of[point >> np.uint32(7)]] += 1
        at += 1
        if filled:
            room[filled] = np.uint32(32)
            filled += 1
        before = used
        for start in range(filled):
            state = np.uint32(2166136261)
            for place in range(start, min(start + longest, filled)):
                point = room[place]
                state = np.uint32((state ^ point) * np.uint32(16777619))
                space = point == np.uint32(32)
                if wanted[place - start + 1] and not (space and place == start):
                    mixed = np.uint32(state + np.uint32(place - start))
                    mixed = np.uint32((mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x85EBCA6B))
                    mixed = np.uint32((mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35))
                    mixed = mixed ^ (mixed >> np.uint32(16))
                    ids[used] = np.int64(mixed) % buckets + 1
                    used += 1
                if space and place > start:
                    break
        counts[text] = used - before
        text += 1
    return used


def _rows(ids: Any, first: Any, counts: Any, some: Any, out: Any) -> None:
    """Fill in the rows of some texts."""
    for row in range(len(some)):
        begin = first[some[row]]
        for place in range(counts[some[row]]):
            out[row, place] = ids[begin + place]
