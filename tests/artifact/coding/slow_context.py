"""Whole numbers in context as docs/format.md states them.

Dictionaries and loops, nothing shared with the package.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from itertools import pairwise

STRENGTHS, RATES, SHARES = (2, 6, 20, 64), (13, 15, 17, 19), (26214, 45875)
HALF = (
    1,
    2,
    3,
    5,
    8,
    13,
    22,
    36,
    60,
    98,
    162,
    267,
    439,
    720,
    1179,
    1921,
    3108,
    4972,
    7812,
    11955,
    17625,
    24743,
    32768,
)
POINTS = [*HALF, *(65536 - one for one in reversed(HALF[:-1]))]

Coder = Callable[[int, "int | None"], int]
"""Given the chance of a 1 and, where it is known, the bit: the bit."""
Matrix = dict[tuple[int, int], int]


def squash(x: int) -> int:
    place, rest = divmod(x + 2816, 128)
    if place == 44:
        return POINTS[44]
    return POINTS[place] + (((POINTS[place + 1] - POINTS[place]) * rest + 64) >> 7)


@cache
def stretch(chance: int) -> int:
    low, high = -2816, 2816  # squash rises
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if squash(middle) >= chance else (middle + 1, high)
    return low


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


class Slow:
    """A model of R by C numbers; `known` are they, where they are to be written."""

    def __init__(
        self, order: int, width: int, strength: int, rate: int, share: int, digits: int
    ) -> None:
        self.order, self.width, self.digits = order, width, digits
        self.strength, self.rate = STRENGTHS[strength], RATES[rate]
        self.totals = [[16, 2], [8, 8], *([10, 6] for _ in range(digits))]
        self.weights = [[SHARES[share]] * 5 for _ in range(digits + 2)]
        self.counts: dict[tuple[int, int, int], list[int]] = defaultdict(
            lambda: [0, 0]
        )  # by plane, kind and context
        self.nodes: dict[tuple[int, int], list[int]] = defaultdict(
            lambda: [1, 1]
        )  # by length and v

    def run(
        self,
        rows: int,
        columns: int,
        coder: Coder,
        known: Matrix | None = None,
        largest: int = 1 << 18,
    ) -> Matrix:
        """The numbers by (row, column)."""
        self.columns, self.matrix = columns, {}
        for cells in tiles(self.order, rows, columns, self.width, largest):
            second = self.order > 0 and group_parity(cells[0], self.width) == 1
            self._tile(cells, second, coder, known)
        return self.matrix

    def _tile(
        self, cells: list[tuple[int, int]], second: bool, coder: Coder, known: Matrix | None
    ) -> None:
        truth = None if known is None else {cell: abs(known[cell]) for cell in cells}

        def ask(
            plane: int, among: list[tuple[int, int]], bit: Callable[[tuple[int, int]], bool]
        ) -> list[tuple[int, int]]:
            """Those whose bit is 1."""
            chances = [self._chance(plane, self._contexts(plane, cell, second)) for cell in among]
            bits = [
                coder(chance, None if known is None else int(bit(cell)))
                for cell, (chance, _) in zip(among, chances, strict=True)
            ]
            self._learn(
                plane, [self._contexts(plane, cell, second) for cell in among], chances, bits
            )
            return [cell for cell, one in zip(among, bits, strict=True) if one]

        full = ask(0, cells, lambda cell: truth[cell] > 0)
        positive = set(ask(1, full, lambda cell: known[cell] > 0))
        lengths = dict.fromkeys(full, 1)
        still = full
        for length in range(1, self.digits):
            still = ask(length + 1, still, lambda cell, length=length: truth[cell] >= 1 << length)
            lengths.update(dict.fromkeys(still, length + 1))
        found = dict.fromkeys(full, 1)
        for place in range(1, self.digits):
            asked = []
            for cell in [one for one in full if lengths[one] > place]:
                length, node = lengths[cell], (lengths[cell], found[cell])
                chance = 32768
                if place <= 3:
                    chance = 65536 * self.nodes[node][1] // sum(self.nodes[node])
                bit = coder(
                    chance, None if truth is None else truth[cell] >> (length - 1 - place) & 1
                )
                asked.append((node, bit))
                found[cell] = 2 * found[cell] + bit
            for node, bit in asked:
                self.nodes[node][bit] += 1
        for cell in cells:
            self.matrix[cell] = found.get(cell, 0) * (1 if cell in positive else -1)

    def _chance(self, plane: int, contexts: list[int | None]) -> tuple[int, list[int]]:
        zeros, ones = self.totals[plane]
        average = min(max(65536 * ones // (zeros + ones), 1), 65535)
        features = []
        for kind, context in enumerate(contexts):
            zeros, ones = (0, 0) if context is None else self.counts[plane, kind, context]
            if zeros + ones == 0:
                features.append(0)
                continue
            chance = min(
                (65536 * ones + self.strength * average) // (zeros + ones + self.strength), 65535
            )
            features.append(stretch(chance) - stretch(average))
        mixed = sum(
            weight * feature for weight, feature in zip(self.weights[plane], features, strict=True)
        )
        return squash(min(max((mixed >> 16) + stretch(average), -2816), 2816)), features

    def _learn(
        self,
        plane: int,
        contexts: list[list[int | None]],
        chances: list[tuple[int, list[int]]],
        bits: list[int],
    ) -> None:
        for kind in range(5):
            total = sum(
                (65536 * bit - chance) * features[kind]
                for (chance, features), bit in zip(chances, bits, strict=True)
            )
            weight = self.weights[plane][kind] + ((total + 2 ** (self.rate - 1)) >> self.rate)
            self.weights[plane][kind] = min(max(weight, -(2**19)), 2**19)
        for places, bit in zip(contexts, bits, strict=True):
            self.totals[plane][bit] += 16
            for kind, context in enumerate(places):
                if context is not None:
                    self.counts[plane, kind, context][bit] += 1

    def _contexts(self, plane: int, cell: tuple[int, int], second: bool) -> list[int | None]:
        """Row, column, group (None: there are no groups), near, far."""
        row, column = cell
        group = column // self.width if self.width else None
        near, far = (
            self._one_by_one(plane, cell)
            if self.order == 0
            else self._in_tiles(plane, cell, second)
        )
        return [row, column, group, near, far]

    def _at(self, row: int, column: int) -> int:
        """A number; 0 where nothing is decoded yet and outside the matrix."""
        return self.matrix.get((row, column), 0)

    def _one_by_one(self, plane: int, cell: tuple[int, int]) -> tuple[int, int]:
        row, column = cell
        width = self.width

        def q(up: int, back: int) -> int:
            return self._at(row - up, column - back)

        a, b, g = q(1, 0), q(0, 1), q(0, width) if width else 0
        others = [q(1, -1), q(0, 2)]
        if width:
            others += [q(1, -width), q(0, 2 * width), q(0, width + 1)]
            others += [q(0, width - 1)] if width > 1 else []
        if plane == 1:
            total = sum(map(sign, others))
            return 9 * sign(a) + 3 * sign(b) + sign(g) + 13, 3 * (
                min(max(total, -2), 2) + 2
            ) + sign(b) + 1
        two_a, two_b, two_g = (min(abs(one), 2) for one in (a, b, g))
        full = sum(1 for one in others if one)
        return 9 * two_a + 3 * two_b + two_g, 3 * full + min(two_b + two_g, 2)

    def _in_tiles(self, plane: int, cell: tuple[int, int], second: bool) -> tuple[int, int]:
        if not second:
            return (13, 6) if plane == 1 else (0, 0)
        row, column = cell
        pairs = [(9, (-1, 0), (1, 0)), (3, (0, -1), (0, 1))]
        pairs += [(1, (0, -self.width), (0, self.width))] if self.width else []
        near, total = 0, 0
        for factor, (up, left), (down, right) in pairs:
            one, other = self._at(row + up, column + left), self._at(row + down, column + right)
            if plane == 1:
                near += factor * sign(sign(one) + sign(other))
                total += sign(one) + sign(other)
            else:
                size = min(abs(one), 3) + min(abs(other), 3)
                near += factor * min(size, 2)
                total += size
        return (40 + near, 27 + total) if plane == 1 else (27 + near, 21 + min(total, 20))


def group_parity(cell: tuple[int, int], width: int) -> int:
    row, column = cell
    return (row + column + (column // width if width else 0)) % 2


def tiles(
    order: int, rows: int, columns: int, width: int, largest: int
) -> list[list[tuple[int, int]]]:
    """The cells of each tile, in order; those of none are left out."""
    every = [[(row, column) for column in range(columns)] for row in range(rows)]
    if order == 0:
        return [[cell] for row in every for cell in row]
    ends = sorted({-(-rows // 2**k) for k in range((1, 3, 5, 7)[order - 1])})
    most = max(1, largest // columns)
    found = []
    for first, last in pairwise([0, *ends]):
        for start in range(first, last, most):
            block = [cell for row in every[start : min(start + most, last)] for cell in row]
            found += [
                [cell for cell in block if group_parity(cell, width) == half] for half in (0, 1)
            ]
    return [one for one in found if one]


def first_frequency(chance: int) -> int:
    """Of a 0, where a 1 has the chance."""
    return 1 + (65536 - chance) * (2**24 - 2) // 65536
