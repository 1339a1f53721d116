"""The coder of `lanes.py` in plain loops, which numba compiles where it is installed."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from shoestring.artifact.coding.lane_sizes import LOWEST, PRECISION, SEGMENT, TOTAL

_compiling = Lock()


class Loops(NamedTuple):
    """The compiled loops. They release the interpreter's lock, so threads run them together.

    `histograms`, `encode`, `decode`: as those of `lanes.py` call them.
    """

    histograms: Any
    encode: Any
    decode: Any


def available() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


@cache
def compiled() -> Loops:
    """The loops as machine code; raises ModuleNotFoundError where numba is not installed."""
    with _compiling:  # or each thread of the first call would compile them
        return _compiled()


@cache
def _compiled() -> Loops:
    from numba import njit

    fast = njit(cache=True, nogil=True)
    decoding, encoding, counting = fast(_decode), fast(_encode), fast(_count)

    def histograms(symbols: np.ndarray, segments: int, segment: int) -> np.ndarray:
        counts = np.zeros((segments, 4, 256), np.uint32)
        counting(symbols, counts, segment)
        return counts.sum(1, dtype=np.int64)

    def encode(
        symbols: np.ndarray,
        frequencies: np.ndarray,
        starts: np.ndarray,
        choice: np.ndarray,
        states: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        shifts = 32 + np.ceil(np.log2(np.maximum(frequencies, 1))).astype(np.int64)
        divisors = np.maximum(frequencies, 1)
        factors = ((np.uint64(1) << shifts.astype(np.uint64)) + divisors.astype(np.uint64) - 1) // (
            divisors.astype(np.uint64)
        )
        words = np.empty(len(symbols) + 1, np.uint16)
        at = encoding(
            symbols,
            frequencies.astype(np.uint32),
            starts.astype(np.uint32),
            factors.astype(np.uint64),
            shifts.astype(np.uint64),
            choice,
            states,
            words,
        )
        return states, words[at:]

    def decode(
        words: np.ndarray,
        states: np.ndarray,
        symbols: np.ndarray,
        steps: np.ndarray,
        choice: np.ndarray,
        out: np.ndarray,
    ) -> int:
        padded = np.zeros(len(words) + len(states), np.uint16)
        padded[: len(words)] = words
        return decoding(padded, len(words), states, symbols, steps, choice, out)

    return Loops(histograms, encode, decode)


def _count(symbols: Any, counts: Any, segment: int) -> None:
    """Count the symbols of each segment, in four parts, so that equal ones do not wait."""
    for part in range(len(counts)):
        start, end = part * segment, min(len(symbols), (part + 1) * segment)
        four = start + ((end - start) & ~3)
        for i in range(start, four, 4):
            counts[part, 0, symbols[i]] += 1
            counts[part, 1, symbols[i + 1]] += 1
            counts[part, 2, symbols[i + 2]] += 1
            counts[part, 3, symbols[i + 3]] += 1
        for i in range(four, end):
            counts[part, 0, symbols[i]] += 1


def _encode(
    symbols: Any,
    frequencies: Any,
    starts: Any,
    factors: Any,
    shifts: Any,
    choice: Any,
    states: Any,
    words: Any,
) -> Any:
    """Encode from the last symbol to the first; returns where the words begin."""
    lanes, at = len(states), len(words)
    start = (len(symbols) - 1) // lanes * lanes
    while start >= 0:
        table = choice[start // SEGMENT]
        frequency, first = frequencies[table], starts[table]
        factor, shift = factors[table], shifts[table]
        for lane in range(min(lanes, len(symbols) - start) - 1, -1, -1):
            symbol = symbols[start + lane]
            state, divisor = states[lane], frequency[symbol]
            full = (state >> np.uint32(32 - PRECISION)) >= divisor
            words[at - 1] = np.uint16(state & np.uint32(65535))
            at -= np.int64(full)
            state = state >> np.uint32(16) if full else state
            quotient = np.uint32((np.uint64(state) * factor[symbol]) >> shift[symbol])
            states[lane] = (
                (quotient << np.uint32(PRECISION)) + (state - quotient * divisor) + first[symbol]
            )
        start -= lanes
    return at


def _decode(
    words: Any, count: int, states: Any, symbols: Any, steps: Any, choice: Any, out: Any
) -> Any:
    """Decode all symbols into `out`; returns how many words were used, -1 for more than `count`."""
    lanes, at = len(states), 0
    for start in range(0, len(out), lanes):
        table = choice[start // SEGMENT]
        symbol_of, step_of = symbols[table], steps[table]
        for lane in range(min(lanes, len(out) - start)):
            state = states[lane]
            slot = state & np.uint32(TOTAL - 1)
            step = step_of[slot]
            state = (step & np.uint32(65535)) * (state >> np.uint32(PRECISION)) + (
                step >> np.uint32(16)
            )
            short = state < np.uint32(LOWEST)
            word = np.uint32(words[at])
            states[lane] = (state << np.uint32(16)) | word if short else state
            at += np.int64(short)
            out[start + lane] = symbol_of[slot]
        if at > count:
            return -1
    return at
