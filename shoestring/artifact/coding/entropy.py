"""Entropy coding with integer tables: every decoder gets the same symbols from the same bytes.

The coder is range asymmetric numeral systems (Duda 2013) with a state of 64 bits, words of 32 bits
and frequencies that sum to 2^24, as in `constriction`. Its float interface gets integers that are
small enough to be exact, so the frequencies are the ones computed here and do not depend on
rounding. `docs/format.md` specifies both.
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
    """The weights of code bytes.

    With exponent e (5 bits) and mantissa m (3 bits) a weight is m where e is 0, else
    (8 + m) << (e - 1).
    """
    exponent, mantissa = codes.astype(np.int64) >> 3, codes.astype(np.int64) & 7
    return np.where(exponent == 0, mantissa, (8 + mantissa) << np.maximum(exponent - 1, 0))


_WEIGHTS = expand(np.arange(256))


def shrink(counts: np.ndarray) -> np.ndarray:
    """The code bytes with the weights nearest to the counts; counts above 0 get weights above 0."""
    above = np.clip(np.searchsorted(_WEIGHTS, counts), 1, 255)
    below = above - 1
    nearer_below = counts - _WEIGHTS[below] < _WEIGHTS[above] - counts
    codes = np.where(nearer_below, below, above)
    return np.where(counts > 0, np.maximum(codes, 1), 0).astype(np.uint8)


def frequencies(codes: np.ndarray) -> np.ndarray:
    """Integer frequencies for two or more code bytes, each at least 1, with the sum 2^24."""
    weights = expand(codes)
    share = weights * (TOTAL - len(codes)) // max(int(weights.sum()), 1)
    table = 1 + share
    table[int(np.argmax(weights))] += TOTAL - int(table.sum())
    return table


def bits(table: np.ndarray, counts: np.ndarray) -> float:
    """The bits that symbols with these counts take under the table of frequencies."""
    return float(-(counts * np.log2(table / TOTAL)).sum())


def bit_frequencies(probabilities: np.ndarray) -> np.ndarray:
    """The frequency of a 0, where a 1 has these probabilities (× 65,536; 1 to 65,535).

    A 1 has the rest of 2^24.
    """
    return 1 + (((65536 - probabilities) * (TOTAL - 2)) >> 16)


def note_bits(notes: np.ndarray) -> float:
    """The bits that notes take; a note is the probability of a 1 (× 65,536) × 2, plus the bit."""
    zeros = bit_frequencies(notes >> 1)
    return float(-np.log2(np.where(notes & 1, TOTAL - zeros, zeros) / TOTAL).sum())


Part = tuple[np.ndarray, "np.ndarray | None"]
"""(symbols, the table of their frequencies), or (notes, None)."""


def encode(parts: Sequence[Part]) -> bytes:
    """One stream with all parts."""
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
    """Decodes the parts of a stream, one after the other.

    Raises ValueError for a stream that ends in a zero word.
    """

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

    def bits(self, probabilities: np.ndarray) -> np.ndarray:
        """A bit for each probability of a 1 (× 65,536), as int64."""
        return self._coder.decode(bit_model(), probabilities / 65536.0).astype(np.int64)

    def position(self) -> tuple[int, int]:
        """The number of words that are left, and the state."""
        left, state = self._coder.pos()
        return int(left), int(state)

    def depth(self) -> float:
        """The number of bits that are left."""
        left, state = self.position()
        return 32 * left + log2(max(state, 1))

    def go(self, left: int, state: int) -> None:
        """Continue where another decoder stopped."""
        if left or state:
            self._coder.seek(left, state)
        else:
            from constriction import stream  # pyright: ignore[reportAttributeAccessIssue, reportMissingImports]

            self._coder = stream.stack.AnsCoder()

    def finished(self) -> bool:
        """Whether all that was encoded has been decoded, and no more."""
        return self._coder.is_empty()


@cache
def bit_model() -> Any:
    """The coder's model of bits, each with a probability of its own."""
    from constriction import stream  # pyright: ignore[reportAttributeAccessIssue, reportMissingImports]

    # The frequency of a 0 of probability p0 is 1 + floor(p0 × (2^24 - 2)), 16 bits times 24 and
    # so exact in a double.
    return stream.model.Bernoulli(perfect=False)


def model(table: np.ndarray) -> Any:
    """The coder's model of a table of frequencies."""
    from constriction import stream  # pyright: ignore[reportAttributeAccessIssue, reportMissingImports]

    # Its table is floor(cumulative × scale) + index with scale = (2^24 - n) / sum. With frequencies
    # minus one the scale is exactly 1, and every product an integer below 2^24, exact in a double.
    return stream.model.Categorical((table - 1).astype(np.float64), perfect=False)
