"""Layers of signs (binary layers): eight to a byte between layers, and multiplied as bits.

Signs of a position lie one after the other, channel by channel, from a whole byte on; a bit is 1
where the sign is -1. The bits that fill up the last byte are 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoestring.artifact.plain_c.windows import Pool, Window


@dataclass(frozen=True, kw_only=True)
class PackedSigns:
    """A value that a buffer holds as packed signs.

    `channels`, `height`, `width`: what is packed, without pads.
    `pads`: (y, x) before it, of `fill`.
    """

    buffer: int
    channels: int
    height: int
    width: int
    pads: tuple[int, int] = (0, 0)
    fill: int = 0


@dataclass(frozen=True, kw_only=True)
class SignProduct:
    """A convolution or product of signs with signs, with what follows it.

    A sum of `columns` products of which `d` are -1 is columns - 2d, exactly. The largest sum of a
    window is times a factor plus an offset, within limits, or it is compared with a threshold.

    `source`: packed signs. `target`: floats, or packed signs where there are thresholds.
    `bits`: the weights, bool, (rows, kernel height, kernel width, channels); True is -1.
    `fill`: what is beyond the border: 1, -1, or 0.
    `factors`, `after`: float32, one or one for each row; None: 1 and 0.
    `low`, `high`: the limits of an element.
    `thresholds`: int32, one for each row, or one for each row and position. The sign of a sum S is
        -1 where it is below threshold / 2, if the threshold is even; above it, if it is odd.
    """

    name: str
    source: int
    target: int
    bits: np.ndarray
    window: Window
    fill: int
    pool: Pool | None = None
    factors: np.ndarray | None = None
    after: np.ndarray | None = None
    low: float = -np.inf
    high: float = np.inf
    thresholds: np.ndarray | None = None

    @property
    def multiplications(self) -> int:
        """How many products of signs a run takes, with those of pads."""
        return self.bits.size * self.window.sums[0] * self.window.sums[1]

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        return (self.source,)

    @property
    def over(self) -> tuple[int, ...]:
        """None: windows overlap."""
        return ()


@dataclass(frozen=True, kw_only=True)
class PackSigns:
    """The signs of an array of floats, packed. The sign of 0 and of NaN is 1.

    `channels`, `positions`: how many there are.
    `channel_step`, `position_step`: how far apart they are in the source.
    """

    name: str
    source: int
    target: int
    channels: int
    positions: int
    channel_step: int
    position_step: int

    @property
    def reads(self) -> tuple[int, ...]:
        """The buffers that it reads."""
        return (self.source,)

    @property
    def over(self) -> tuple[int, ...]:
        """None: a byte of signs is written before all channels of another position are read."""
        return ()
