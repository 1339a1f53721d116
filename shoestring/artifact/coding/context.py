"""The context model: what whole numbers in a matrix say about those that follow.

`docs/format.md` is its specification.
A number is coded as bits: whether it is zero, its sign, the length of its magnitude, the digits of
that. What came before in its row, its column, its group of columns and its neighbourhood each give
a chance for the bit; these are mixed in the logistic domain by weights that learn as they go
(Mahoney 2005). Everything is integer arithmetic, so that every decoder agrees.

There are two orders. *One by one*, row by row, is the smallest (`context_loop.py`). *In tiles*,
each of which is modelled by what came before it and coded at once, is fast without a compiler
(`context_tiles.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The logistic function × 65,536 at -11, -10.5, ... 0: the table of the format is made of these by
# straight lines.
_KNOTS = (
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
REACH = 2816  # logits are clipped to ±11, in units of 1/256
STRENGTHS = (2, 6, 20, 64)
RATES = (13, 15, 17, 19)
SHARES = (26214, 45875)
MOST_DIGITS = 15
ADAPTIVE = 3  # the digits of a magnitude, after its first, that have chances of their own
FIRST = ((16, 2), (8, 8), (10, 6))  # counts to start with, in sixteenths, of zero?, sign, length
NEARS, FARS = 27, 21
BLOCKS = (1, 3, 5, 7)


def _squash() -> np.ndarray:
    half = np.array(_KNOTS, np.int64)
    knots = np.concatenate([half, 65536 - half[-2::-1]])
    place, rest = np.divmod(np.arange(2 * REACH + 1), 128)
    after = knots[np.minimum(place + 1, len(knots) - 1)]
    return knots[place] + (((after - knots[place]) * rest + 64) >> 7)


SQUASH = _squash()
"""The chance × 65,536 of a logit, from -REACH to REACH."""
STRETCH = np.searchsorted(SQUASH, np.arange(65536)).astype(np.int64) - REACH
"""The least logit whose chance is at least p; of p = 0 that of the smallest."""


@dataclass(frozen=True)
class Choice:
    """How a matrix is modelled; the writer tries several and takes the one that is shortest.

    `tiles`: 0, one by one; otherwise in tiles, a place in BLOCKS plus one.
    `across`: the tensor's matrix is transposed first.
    `width`: columns c and c ± width are neighbours too, and width columns make a group (0:
        neither).
    `strength`, `rate`, `share`: places in STRENGTHS, RATES and SHARES: how many numbers the
        tensor's average weighs against what one context has seen, how fast the mixing learns, and
        where it starts.
    `digits`: of the largest magnitude, in binary.
    """

    tiles: int
    across: bool = False
    width: int = 0
    strength: int = 1
    rate: int = 1
    share: int = 0
    digits: int = 1

    @property
    def planes(self) -> int:
        """Zero?, sign, and for each length whether it is longer."""
        return 1 + self.digits
