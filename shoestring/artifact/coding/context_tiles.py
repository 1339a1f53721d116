"""The context model one tile at a time, in numpy; the model learns from a tile at its end."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from shoestring.artifact.coding import work
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
"""Returns bits for probabilities of a 1 (× 65,536).

An encoder notes the bits that it is given; a decoder, given None, decodes them.
"""


class Tiles:
    """Rows in blocks, each coded in two halves like the squares of a chessboard.

    The numbers of the second half know all their neighbours. What a matrix asks for beyond what is
    known beforehand is counted in `account`, before it is done.
    """

    def __init__(
        self, choice: Choice, rows: int, columns: int, account: work.Work | None = None
    ) -> None:
        self.account, self.block_rows = account, 0
        self.choice, self.rows, self.columns = choice, rows, columns
        width, planes = choice.width, choice.planes
        self.strength, self.rate = STRENGTHS[choice.strength], RATES[choice.rate]
        self.margin = max(width, 1)
        self.stride = columns + 2 * self.margin
        self.numbers = np.zeros((rows + 2) * self.stride, np.int16)  # with margins of zeros
        self.totals = [list(FIRST[min(plane, 2)]) for plane in range(planes)]
        sizes = [columns, 2 * NEARS, 2 * FARS]  # near and far contexts are separate for each half
        if width:
            sizes.append((columns - 1) // width + 1)
        self.ends = work.bounds(rows, columns, BLOCKS[choice.tiles - 1])
        # Where the counts of each context begin; the last are those of a block's rows.
        self.starts = np.cumsum([0, *sizes])
        self.weights = np.full((planes, len(self.starts)), SHARES[choice.share], np.int64)
        self.seen = np.zeros(
            (planes, 2, self.starts[-1] + max(map(int.__sub__, self.ends[1:], self.ends))), np.int64
        )
        self.nodes = np.ones((choice.digits + 1, 1 << ADAPTIVE, 2), np.int64)

    def run(self, source: Source, known: np.ndarray | None = None) -> np.ndarray:
        """Decode the matrix from the source, or note a known matrix; returns the matrix."""
        columns = np.arange(self.columns)
        groups = columns // self.choice.width if self.choice.width else None
        odd = columns if groups is None else columns + groups
        for first, last in pairwise(self.ends):
            board = (np.arange(first, last)[:, None] + odd) & 1
            self.block_rows = last - first
            self.seen[:, :, self.starts[-1] :] = 0
            for half in (0, 1):
                rows, tile_columns = np.nonzero(board == half)
                if len(rows):
                    truth = None if known is None else known[first:last][rows, tile_columns]
                    self._tile(
                        first,
                        rows,
                        tile_columns,
                        None if groups is None else groups[tile_columns],
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
        """Code one half of the block that begins at row `first`; `rows` count from there."""
        cells = (rows + first + 1) * self.stride + columns + self.margin
        contexts = np.empty((len(self.starts), len(cells)), np.int64)
        contexts[0], contexts[-1] = columns, rows + self.starts[-1]
        if groups is not None:
            contexts[3] = groups + self.starts[3]
        contexts[1:3] = self._magnitude_contexts(cells, half)
        contexts[1:3] += self.starts[1:3, None]
        magnitudes = None if truth is None else np.abs(truth)
        bits = self._plane(0, contexts, source, None if magnitudes is None else magnitudes > 0)
        nonzero = np.flatnonzero(bits)
        if not len(nonzero):
            return
        cells, contexts = cells[nonzero], contexts[:, nonzero]
        magnitudes = None if magnitudes is None else magnitudes[nonzero]
        signs = contexts.copy()
        signs[1:3] = self._sign_contexts(cells, half)
        signs[1:3] += self.starts[1:3, None]
        positive = self._plane(1, signs, source, None if truth is None else truth[nonzero] > 0)
        lengths = self._lengths(contexts, source, magnitudes)
        decoded = self._digits(lengths, source, magnitudes)
        self.numbers[cells] = np.where(positive, decoded, -decoded)

    def _lengths(
        self, contexts: np.ndarray, source: Source, truth: np.ndarray | None
    ) -> np.ndarray:
        lengths = np.ones(contexts.shape[1], np.int64)
        known = None if truth is None else np.frexp(truth.astype(np.float64))[1]
        for length in range(1, self.choice.digits):
            candidates = np.flatnonzero(lengths == length)
            if not len(candidates):
                break
            longer = None if known is None else known[candidates] > length
            lengths[candidates] += self._plane(1 + length, contexts[:, candidates], source, longer)
        return lengths

    def _digits(self, lengths: np.ndarray, source: Source, truth: np.ndarray | None) -> np.ndarray:
        magnitudes = np.ones(len(lengths), np.int64)
        for digit in range(1, self.choice.digits):
            longer = np.flatnonzero(lengths > digit)
            if not len(longer):
                break
            if self.account is not None:
                self.account.spend(work.tiled_digits(len(longer)))
            length, node = lengths[longer], magnitudes[longer]
            probabilities = np.full(len(longer), 32768)
            if digit <= ADAPTIVE:
                counts = self.nodes[length, node]
                probabilities = (counts[:, 1] << 16) // counts.sum(1)
            bits = source(
                probabilities, None if truth is None else truth[longer] >> (length - 1 - digit) & 1
            )
            if digit <= ADAPTIVE:
                np.add.at(self.nodes, (length, node, bits), 1)
            magnitudes[longer] = 2 * node + bits
        return magnitudes

    def _plane(
        self, plane: int, contexts: np.ndarray, source: Source, truth: np.ndarray | None
    ) -> np.ndarray:
        """Code the bits of a plane in these contexts, and learn from them."""
        if plane and self.account is not None:
            size = contexts.shape[1]
            self.account.spend(work.tiled_pass(self.choice, self.block_rows, self.columns, size))
        zeros, ones = self.totals[plane]
        average = min(max((ones << 16) // (zeros + ones), 1), 65535)
        # Counts of rows are needed up to the last row of this tile.
        weights, seen = self.weights[plane], self.seen[plane, :, : contexts[-1, -1] + 1]
        centre = int(STRETCH[average])
        probabilities = ((seen[1] << 16) + self.strength * average) // (
            seen[0] + seen[1] + self.strength
        )
        features = (STRETCH[np.minimum(probabilities, 65535)] - centre)[contexts]
        mixed = ((weights @ features) >> 16) + (centre + REACH)
        probabilities = SQUASH[np.minimum(np.maximum(mixed, 0), 2 * REACH)]
        bits = source(probabilities, truth)
        half = 1 << (self.rate - 1)
        weights += (features @ ((bits << 16) - probabilities) + half) >> self.rate
        np.minimum(np.maximum(weights, -(1 << 19)), 1 << 19, out=weights)
        seen += np.bincount(
            (contexts + seen.shape[1] * bits).reshape(-1), minlength=seen.size
        ).reshape(seen.shape)
        count = int(bits.sum())
        self.totals[plane] = [zeros + 16 * (len(bits) - count), ones + 16 * count]
        return bits

    def _magnitude_contexts(self, cells: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
        """The (near, far) contexts for the bits "is it zero" and for lengths.

        Near contexts have the magnitudes of each pair up to 2, far ones the sum of all up to 3.
        """
        near, total = np.zeros_like(cells), np.zeros_like(cells)
        if half:
            for factor, before, after in self._neighbours(cells):
                pair = np.minimum(np.abs(before), 3) + np.minimum(np.abs(after), 3)
                near += factor * np.minimum(pair, 2)
                total += pair
        return near + half * NEARS, np.minimum(total, FARS - 1) + half * FARS

    def _sign_contexts(self, cells: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
        """The (near, far) contexts for signs: the sign of each pair, and the sum of all."""
        near, total = np.full_like(cells, 13), np.full_like(cells, 6)
        if half:
            for factor, before, after in self._neighbours(cells):
                pair = np.sign(before) + np.sign(after)
                near += factor * np.sign(pair)
                total += pair
        return near + half * NEARS, total + half * FARS

    def _neighbours(self, cells: np.ndarray) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """(factor, numbers before, numbers after) for each pair of neighbours.

        The pairs are above and below, left and right, and a width before and after.
        """
        pairs = ((9, self.stride), (3, 1), (1, self.choice.width))
        return [
            (factor, self.numbers[cells - offset], self.numbers[cells + offset])
            for factor, offset in pairs
            if offset
        ]
