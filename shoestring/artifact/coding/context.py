"""The context model predicts the integers of a matrix from those before them.

`docs/format.md` specifies it. An integer is coded as bits: whether it is zero, its sign, the length
of its magnitude, and the digits of the magnitude. Earlier integers in its row, column, group of
columns and neighbourhood each give a probability for the bit. These are mixed in the logistic
domain by weights that learn as they go (Mahoney 2005). All arithmetic is in integers, so every
decoder agrees.

There are two orders. *One by one*, row by row, is the smallest (`context_loop.py`). *In tiles* is
fast without a compiler: a tile is modelled by what came before it and coded at once
(`context_tiles.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The logistic function × 65,536 at -11, -10.5, ... 0. The format's table interpolates linearly.
_KNOTS = (
    1, 2, 3, 5, 8, 13, 22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4972, 7812, 11955,
    17625, 24743, 32768,
)  # fmt: skip
REACH = 2816  # logits are clipped to ±11, in units of 1/256
STRENGTHS = (2, 6, 20, 64)
RATES = (13, 15, 17, 19)
SHARES = (26214, 45875)
MOST_DIGITS = 15
ADAPTIVE = 3  # how many digits of a magnitude, after its first, have adaptive probabilities
FIRST = ((16, 2), (8, 8), (10, 6))  # first counts, in sixteenths: is it zero, sign, length
NEARS, FARS = 27, 21
BLOCKS = (1, 3, 5, 7)


def _squash() -> np.ndarray:
    half = np.array(_KNOTS, np.int64)
    knots = np.concatenate([half, 65536 - half[-2::-1]])
    knot, rest = np.divmod(np.arange(2 * REACH + 1), 128)
    after = knots[np.minimum(knot + 1, len(knots) - 1)]
    return knots[knot] + (((after - knots[knot]) * rest + 64) >> 7)


SQUASH = _squash()
"""The probability × 65,536 of each logit from -REACH to REACH."""
STRETCH = np.searchsorted(SQUASH, np.arange(65536)).astype(np.int64) - REACH
"""The least logit with a probability of p / 65,536 or more, for each p from 0 on."""


@dataclass(frozen=True)
class Choice:
    """How a matrix is modelled; the writer tries several choices and takes the shortest.

    `tiles`: 0 for one by one; otherwise in tiles, with an index into BLOCKS plus one.
    `across`: whether the tensor's matrix is transposed first.
    `width`: columns c and c ± width are neighbours too, and each width columns are a group; 0 for
        neither.
    `strength`: index into STRENGTHS: the weight of the tensor's average against what one context
        has seen, in numbers.
    `rate`: index into RATES: how fast the mixing learns.
    `share`: index into SHARES: where the mixing starts.
    `digits`: binary digits of the largest magnitude, 1 to 15.
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
        """The kinds of bits: is it zero, sign, and for each length whether it is longer."""
        return 1 + self.digits
