"""What a sum of a convolution or a matrix product has: its window, its weights, its rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The largest of each window of sums is kept: the lengths and steps of the windows."""

    height: int
    width: int
    step_y: int
    step_x: int


@dataclass(frozen=True, kw_only=True)
class Window:
    """Which elements of its input a sum of a convolution or matrix product has.

    `channels`, `height`, `width`: of the part of the input that a group of rows reads.
    `kernel`, `steps`, `dilations`: (y, x).
    `pads`: zeros above and to the left; there are as many below and to the right as outputs need.
    `sums`: (y, x), how many sums a row of weights gives, before they are pooled.
    `groups`: how many groups the rows are in.
    `channel_step`, `position_step`: how far apart channels and positions are in the output.
    `row_gap`: how many elements follow a row of positions there, before the next.
    `start`: where the first one is.
    """

    channels: int
    height: int
    width: int
    kernel: tuple[int, int]
    steps: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int] = (0, 0)
    sums: tuple[int, int] = (1, 1)
    groups: int = 1
    channel_step: int = 1
    position_step: int = 1
    row_gap: int = 0
    start: int = 0

    @property
    def columns(self) -> int:
        """The weights of a row."""
        return self.channels * self.kernel[0] * self.kernel[1]

    @property
    def spans(self) -> tuple[int, int]:
        """(y, x), how far a kernel reaches, with its first element."""
        return (
            (self.kernel[0] - 1) * self.dilations[0] + 1,
            (self.kernel[1] - 1) * self.dilations[1] + 1,
        )

    @property
    def padded(self) -> bool:
        """Whether a sum reaches beyond the input."""
        lengths = (self.height, self.width)
        return any(
            pad > 0 or (count - 1) * step - pad + span > length
            for pad, count, step, span, length in zip(
                self.pads, self.sums, self.steps, self.spans, lengths, strict=True
            )
        )


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights of a layer, (rows, columns).

    `floats`: their values; None where they are integers.
    `integers`: multiples or numbers of levels, with 0 for the weight 0; None: there are none.
    `scale`: what the integers are multiplied by, where they are multiples.
    `levels`: the value of each integer from the lowest to the highest, where they are numbers.
    """

    floats: np.ndarray | None = None
    integers: np.ndarray | None = None
    scale: float | None = None
    levels: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        array = self.floats if self.integers is None else self.integers
        assert array is not None
        return array.shape[0], array.shape[1]

    @property
    def units(self) -> bool:
        """Whether they are -1, 0 and 1, times a scale."""
        if self.integers is None or self.levels is not None:
            return False
        return bool(np.abs(self.integers).max(initial=0) <= 1)

    @property
    def used(self) -> np.ndarray:
        """Whether each is not zero."""
        array = self.floats if self.integers is None else self.integers
        assert array is not None
        return array != 0


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """How a sum of integers becomes an element of the output: as ONNX Runtime does it.

    `factors`: float32, one or one for each row, that the sum is multiplied by, rounding to the
        nearest float and then to the nearest integer, halves to even.
    `zero`: is added.
    """

    factors: np.ndarray
    zero: int
