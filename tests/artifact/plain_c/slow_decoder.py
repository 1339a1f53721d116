"""A slow, obvious decoder of coded weights, by the rules and not by the C code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np


class Probabilities:
    """The decoder of decisions: a number in an interval that is cut at each decision."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.range, self.code = 1 << 24, 0
        for _ in range(3):
            self.code = 256 * self.code + self._byte()
        self.begin()

    def begin(self) -> None:
        """All probabilities begin anew."""
        self.probability: dict[object, int] = defaultdict(lambda: 32768)
        self.met: dict[object, int] = defaultdict(int)

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def decide(self, context: object) -> int:
        """The next decision, in a context."""
        while self.range < 1 << 24:
            self.range, self.code = 256 * self.range, 256 * self.code + self._byte()
        zero = self.range // 65536 * self.probability[context]
        bit = int(self.code >= zero)
        # It learns by 1/2 once, by 1/4 twice, by 1/8 four times, ... and at last by 1/128.
        share = min(2 ** (self.met[context] + 1).bit_length(), 128)
        self.met[context] += 1
        if bit:
            self.code, self.range = self.code - zero, self.range - zero
            self.probability[context] -= self.probability[context] // share
        else:
            self.range = zero
            self.probability[context] += (65536 - self.probability[context]) // share
        return bit


def decoded(
    data: bytes, shapes: Sequence[tuple[int, ...]], periods: tuple[int, ...], digits: int
) -> list[np.ndarray]:
    """The matrices of a stream."""
    probabilities = Probabilities(data)
    return [
        _matrix(probabilities, shape, period, digits)
        for shape, period in zip(shapes, periods, strict=True)
    ]


def _matrix(
    probabilities: Probabilities, shape: tuple[int, ...], period: int, digits: int
) -> np.ndarray:
    probabilities.begin()
    matrix = np.zeros(shape, int)
    live: list[int] = []
    for column in range(shape[1]):
        before = live[column - 1] if column else 0
        live.append(
            probabilities.decide(("live", before, live[column - period] if column >= period else 0))
        )
    for row in matrix:
        if probabilities.decide("is the row empty"):
            continue
        for column in np.flatnonzero(live):
            first, second, above = (
                int(row[column - by]) if column >= by else 0 for by in (1, 2, period)
            )
            near = min(2 * min(abs(first), 2) + min(abs(second), 2), 5)
            if probabilities.decide(("not zero", near, min(abs(above), 2))):
                negative = probabilities.decide(("negative", np.sign(first), np.sign(above)))
                row[column] = _magnitude(probabilities, digits) * (-1 if negative else 1)
    return matrix


def _magnitude(probabilities: Probabilities, most: int) -> int:
    count = 0
    while count < most and probabilities.decide(("longer", count)):
        count += 1
    text = "1"
    for digit in range(count):
        text += str(probabilities.decide("low" if digit else ("digit", count)))
    return int(text, 2)
