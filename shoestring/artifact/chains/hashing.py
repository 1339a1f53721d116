"""Hashes of pieces of texts as ids, for many texts at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_OFFSET, _PRIME = np.uint32(2166136261), np.uint32(16777619)


def code_points(texts: Sequence[str], longest: int) -> tuple[np.ndarray, np.ndarray]:
    """The code points of texts (uint32, N×L, 0 after their ends) and their lengths (N).

    `longest`: of a text that is longer, its first and its last `longest` / 2 code points count.
    """
    half = longest // 2
    kept = [text if len(text) <= longest else text[:half] + text[-half:] for text in texts]
    length_N = np.fromiter(map(len, kept), np.int64, len(kept))
    width = int(length_N.max(initial=1))
    flat = np.frombuffer("".join(kept).encode("utf-32-le", "surrogatepass"), np.uint32)
    points_NL = np.zeros((len(kept), width), np.uint32)
    points_NL[np.arange(width) < length_N[:, None]] = flat
    return points_NL, length_N


def hashed(columns: Sequence[np.ndarray], counts: Sequence[np.ndarray]) -> np.ndarray:
    """FNV-1a (32 bits) over whole code points, then mixed: uint32.

    `columns`: the first numbers of all texts, the second, and so on, one or more: uint32, of one
        shape.
    `counts`: whether each number counts: booleans, as `columns`.
    """
    state = np.full(columns[0].shape, _OFFSET, np.uint32)
    for column, count in zip(columns, counts, strict=True):
        state = np.where(count, (state ^ column) * _PRIME, state)
    return mixed(state)


def mixed(state: np.ndarray) -> np.ndarray:
    """A hash whose low and high bits depend on all bits (MurmurHash3's last step)."""
    state = (state ^ (state >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    state = (state ^ (state >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return state ^ (state >> np.uint32(16))
