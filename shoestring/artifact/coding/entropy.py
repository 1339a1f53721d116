"""Entropy coding with integer tables: the same symbols from the same bytes, in every decoder.

The coder is range asymmetric numeral systems (Duda 2013) with a state of 64 bits, words of 32 and
frequencies that add up to 2^24, as `constriction` has it. Its float interface is handed integers
small enough to be exact, so that the frequencies are the ones computed here and nothing depends on
rounding; `docs/format.md` gives both procedures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import log2
from typing import Any

import numpy as np

PRECISION = 24
TOTAL = 1 << PRECISION
MOST_SYMBOLS = 1 << 16


def expand(codes: np.ndarray) -> np.ndarray:
    """The weights that code bytes stand for.

    With exponent e (5 bits) and mantissa m (3 bits), m or (8 + m) << (e - 1).
    """
    exponent, mantissa = codes.astype(np.int64) >> 3, codes.astype(np.int64) & 7
    return np.where(exponent == 0, mantissa, (8 + mantissa) << np.maximum(exponent - 1, 0))


_WEIGHTS = expand(np.arange(256))


def shrink(counts: np.ndarray) -> np.ndarray:
    """The code bytes whose weights are nearest to the counts.

    A count above 0 gets a weight above 0.
    """
    above = np.clip(np.searchsorted(_WEIGHTS, counts), 1, 255)
    below = above - 1
    nearer_below = counts - _WEIGHTS[below] < _WEIGHTS[above] - counts
    codes = np.where(nearer_below, below, above)
    return np.where(counts > 0, np.maximum(codes, 1), 0).astype(np.uint8)


def frequencies(codes: np.ndarray) -> np.ndarray:
    """Integer frequencies for two or more code bytes: each at least 1, together 2^24."""
    weights = expand(codes)
    share = weights * (TOTAL - len(codes)) // max(int(weights.sum()), 1)
    table = 1 + share
    table[int(np.argmax(weights))] += TOTAL - int(table.sum())
    return table


def bits(table: np.ndarray, counts: np.ndarray) -> float:
    """How many bits symbols with these counts take under the table."""
    return float(-(counts * np.log2(table / TOTAL)).sum())


def bit_frequencies(chances: np.ndarray) -> np.ndarray:
    """The frequency of a 0 where a 1 has these chances (× 65,536, 1 to 65,535).

    A 1 has the rest of 2^24.
    """
    return 1 + (((65536 - chances) * (TOTAL - 2)) >> 16)


def note_bits(notes: np.ndarray) -> float:
    """How many bits notes take; a note is the chance of a 1 × 2, plus the bit."""
    zeros = bit_frequencies(notes >> 1)
    return float(-np.log2(np.where(notes & 1, TOTAL - zeros, zeros) / TOTAL).sum())


Part = tuple[np.ndarray, "np.ndarray | None"]
"""(symbols, the table of their frequencies), or (notes, None)."""


def encode(parts: Sequence[Part]) -> bytes:
    """One stream of all parts."""
    from constriction import stream  # pyright: ignore[reportAttributeAccessIssue, reportMissingImports]

    coder = stream.stack.AnsCoder()
    for symbols, table in reversed(parts):
        if table is None:
            coder.encode_reverse(
                (symbols & 1).astype(np.int32), bit_model(), (symbols >> 1) / 65536.0
            )
        else:
            coder.encode_reverse(np.ascontiguousarray(symbols, np.int32), model(table))
    return coder.get_compressed().astype("<u4").tobytes()


class Decoder:
    """Gives back the parts of a stream, one after the other."""

    def __init__(self, data: bytes | memoryview) -> None:
        from constriction import stream  # pyright: ignore[reportAttributeAccessIssue, reportMissingImports]

        words = np.frombuffer(data, "<u4").astype(np.uint32)
        if len(words) and not words[-1]:
            raise ValueError("the stream ends in a zero word")
        self.words = words
        self._coder = stream.stack.AnsCoder(words)

    def decode(self, model: Any, count: int) -> np.ndarray:
        """The next `count` symbols under the `model` of a table, as int32."""
        return self._coder.decode(model, count)

    def bits(self, chances: np.ndarray) -> np.ndarray:
        """A bit for each chance of a 1 (× 65,536), as int64."""
        return self._coder.decode(bit_model(), chances / 65536.0).astype(np.int64)

    def place(self) -> tuple[int, int]:
        """(how many words are left, the state)."""
        left, state = self._coder.pos()
        return int(left), int(state)

    def depth(self) -> float:
        """How many bits are left."""
        left, state = self.place()
        return 32 * left + log2(max(state, 1))

    def go(self, left: int, state: int) -> None:
        """Go on from a place further on, where another decoder stopped."""
        if left or state:
            self._coder.seek(left, state)
        else:
            from constriction import stream  # pyright: ignore[reportAttributeAccessIssue, reportMissingImports]

            self._coder = stream.stack.AnsCoder()

    def finished(self) -> bool:
        """Whether exactly what was encoded has been decoded."""
        return self._coder.is_empty()


@cache
def bit_model() -> Any:
    """The coder's form of bits with a chance each."""
    from constriction import stream  # pyright: ignore[reportAttributeAccessIssue, reportMissingImports]

    # With frequencies 1 + floor(p0 × (2^24 - 2)) for a chance of 0 of p0: 16 bits times 24, exact
    # in a double.
    return stream.model.Bernoulli(perfect=False)


def model(table: np.ndarray) -> Any:
    """The coder's form of a table of frequencies."""
    from constriction import stream  # pyright: ignore[reportAttributeAccessIssue, reportMissingImports]

    # Its table is floor(cumulative × scale) + index with scale = (2^24 - n) / sum: frequencies less
    # one make the scale exactly 1 and every product an integer below 2^24, which a double holds
    # exactly.
    return stream.model.Categorical((table - 1).astype(np.float64), perfect=False)
