"""The context model a tile at a time, in numpy: what a tile teaches counts from its end."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from shoestring.artifact.coding.context import (
    ADAPTIVE,
    BLOCKS,
    FARS,
    FIRST,
    NEARS,
    RATES,
    REACH,
    SHARES,
    SQUASH,
    STRENGTHS,
    STRETCH,
    Choice,
)

Source = Callable[[np.ndarray, "np.ndarray | None"], np.ndarray]
"""Bits for chances (of a 1, × 65,536).

Those given, noted by an encoder, or those that a decoder finds (given None).
"""


LARGEST_BLOCK = 1 << 18
"""Numbers in a block of more than one row, at most: so much is in memory several times."""


def bounds(rows: int, columns: int, blocks: int) -> list[int]:
    """Where the blocks of rows begin and end.

    Each as large as all before it, up to a size, and the first the smallest.
    """
    found = [0]
    most = max(1, LARGEST_BLOCK // columns)
    for end in sorted({-(-rows >> k) for k in range(blocks)}):
        found += [*range(found[-1] + most, end, most), end]
    return found


class Tiles:
    """Rows in blocks; of each block first every second number, as on a chessboard, then the others,
    which know all around them.
    """

    def __init__(self, choice: Choice, rows: int, columns: int) -> None:
        self.choice, self.rows, self.columns = choice, rows, columns
        width, planes = choice.width, choice.planes
        self.strength, self.rate = STRENGTHS[choice.strength], RATES[choice.rate]
        self.margin = max(width, 1)
        self.stride = columns + 2 * self.margin
        self.numbers = np.zeros((rows + 2) * self.stride, np.int16)  # with margins of zeros
        self.totals = [list(FIRST[min(plane, 2)]) for plane in range(planes)]
        sizes = [columns, 2 * NEARS, 2 * FARS]  # near and far: apart for the first half of a block
        if width:
            sizes.append((columns - 1) // width + 1)
        self.ends = bounds(rows, columns, BLOCKS[choice.tiles - 1])
        self.starts = np.cumsum(
            [0, *sizes]
        )  # of the counts of each context; the last are those of a block's rows
        self.weights = np.full((planes, len(self.starts)), SHARES[choice.share], np.int64)
        self.seen = np.zeros(
            (planes, 2, self.starts[-1] + max(map(int.__sub__, self.ends[1:], self.ends))), np.int64
        )
        self.nodes = np.ones((choice.digits + 1, 1 << ADAPTIVE, 2), np.int64)

    def run(self, source: Source, known: np.ndarray | None = None) -> np.ndarray:
        """The matrix that the source gives; given a matrix, the source's notes of it."""
        columns = np.arange(self.columns)
        groups = columns // self.choice.width if self.choice.width else None
        odd = columns if groups is None else columns + groups
        for first, last in pairwise(self.ends):
            board = (np.arange(first, last)[:, None] + odd) & 1
            self.seen[:, :, self.starts[-1] :] = 0
            for half in (0, 1):
                rows, places = np.nonzero(board == half)
                if len(rows):
                    truth = None if known is None else known[first:last][rows, places]
                    self._tile(
                        first,
                        rows,
                        places,
                        None if groups is None else groups[places],
                        half,
                        source,
                        truth,
                    )
        inner = self.numbers.reshape(self.rows + 2, self.stride)
        return inner[1:-1, self.margin : self.margin + self.columns].copy()

    def _tile(
        self,
        first: int,
        rows: np.ndarray,
        columns: np.ndarray,
        groups: np.ndarray | None,
        half: int,
        source: Source,
        truth: np.ndarray | None,
    ) -> None:
        """One half of the block that begins at row `first`; `rows` count from there."""
        where = (rows + first + 1) * self.stride + columns + self.margin
        places = np.empty((len(self.starts), len(where)), np.int64)
        places[0], places[-1] = columns, rows + self.starts[-1]
        if groups is not None:
            places[3] = groups + self.starts[3]
        places[1:3] = self._fullness(where, half)
        places[1:3] += self.starts[1:3, None]
        magnitudes = None if truth is None else np.abs(truth)
        bits = self._plane(0, places, source, None if magnitudes is None else magnitudes > 0)
        full = np.flatnonzero(bits)
        if not len(full):
            return
        where, places = where[full], places[:, full]
        magnitudes = None if magnitudes is None else magnitudes[full]
        signs = places.copy()
        signs[1:3] = self._signs(where, half)
        signs[1:3] += self.starts[1:3, None]
        positive = self._plane(1, signs, source, None if truth is None else truth[full] > 0)
        lengths = self._lengths(places, source, magnitudes)
        found = self._digits(lengths, source, magnitudes)
        self.numbers[where] = np.where(positive, found, -found)

    def _lengths(self, places: np.ndarray, source: Source, truth: np.ndarray | None) -> np.ndarray:
        lengths = np.ones(places.shape[1], np.int64)
        known = None if truth is None else np.frexp(truth.astype(np.float64))[1]
        for length in range(1, self.choice.digits):
            still = np.flatnonzero(lengths == length)
            if not len(still):
                break
            longer = None if known is None else known[still] > length
            lengths[still] += self._plane(1 + length, places[:, still], source, longer)
        return lengths

    def _digits(self, lengths: np.ndarray, source: Source, truth: np.ndarray | None) -> np.ndarray:
        found = np.ones(len(lengths), np.int64)
        for place in range(1, self.choice.digits):
            still = np.flatnonzero(lengths > place)
            if not len(still):
                break
            length, node = lengths[still], found[still]
            chances = np.full(len(still), 32768)
            if place <= ADAPTIVE:
                counts = self.nodes[length, node]
                chances = (counts[:, 1] << 16) // counts.sum(1)
            bits = source(
                chances, None if truth is None else truth[still] >> (length - 1 - place) & 1
            )
            if place <= ADAPTIVE:
                np.add.at(self.nodes, (length, node, bits), 1)
            found[still] = 2 * node + bits
        return found

    def _plane(
        self, plane: int, places: np.ndarray, source: Source, truth: np.ndarray | None
    ) -> np.ndarray:
        """The bits of a plane in these contexts, and what they teach."""
        zeros, ones = self.totals[plane]
        average = min(max((ones << 16) // (zeros + ones), 1), 65535)
        weights, seen = (
            self.weights[plane],
            self.seen[plane, :, : places[-1, -1] + 1],
        )  # of the rows, those up to the last here
        centre = int(STRETCH[average])
        chances = ((seen[1] << 16) + self.strength * average) // (seen[0] + seen[1] + self.strength)
        features = (STRETCH[np.minimum(chances, 65535)] - centre)[places]
        mixed = ((weights @ features) >> 16) + (centre + REACH)
        chances = SQUASH[np.minimum(np.maximum(mixed, 0), 2 * REACH)]
        bits = source(chances, truth)
        half = 1 << (self.rate - 1)
        weights += (features @ ((bits << 16) - chances) + half) >> self.rate
        np.minimum(np.maximum(weights, -(1 << 19)), 1 << 19, out=weights)
        seen += np.bincount(
            (places + seen.shape[1] * bits).reshape(-1), minlength=seen.size
        ).reshape(seen.shape)
        count = int(bits.sum())
        self.totals[plane] = [zeros + 16 * (len(bits) - count), ones + 16 * count]
        return bits

    def _fullness(self, where: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
        """(near, far) contexts of zero? and of lengths.

        Magnitudes up to 3, of each pair up to 2 or of all together.
        """
        near, total = np.zeros_like(where), np.zeros_like(where)
        if half:
            for factor, before, after in self._around(where):
                pair = np.minimum(np.abs(before), 3) + np.minimum(np.abs(after), 3)
                near += factor * np.minimum(pair, 2)
                total += pair
        return near + half * NEARS, np.minimum(total, FARS - 1) + half * FARS

    def _signs(self, where: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
        """(near, far) contexts of signs: that of each pair, and the sum of all."""
        near, total = np.full_like(where, 13), np.full_like(where, 6)
        if half:
            for factor, before, after in self._around(where):
                pair = np.sign(before) + np.sign(after)
                near += factor * np.sign(pair)
                total += pair
        return near + half * NEARS, total + half * FARS

    def _around(self, where: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """(factor, what stands before, what stands after).

        Above and below, left and right, a width before and after.
        """
        pairs = ((9, self.stride), (3, 1), (1, self.choice.width))
        return [
            (factor, self.numbers[where - by], self.numbers[where + by])
            for factor, by in pairs
            if by
        ]
