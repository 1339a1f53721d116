"""Where a grid begins and ends: ranges of what a layer takes, from what it was seen to take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

BINS = 2048
_NEARLY_ALL = 0.999
_FEW = 16
"""Bins that hold nearly all numbers.

So few tell nothing of them, and what holds them is counted anew.
"""
_DIVISIONS = 6
"""Times that a part is counted anew, each some hundred times as fine as the one before."""

_ALIKE = (
    1e-5  # of the number that is farthest from zero: the same values summed up in another order
)


class NotFiniteError(ValueError):
    """NaN or infinity, where ranges are looked for."""


@dataclass
class Seen:
    """What was seen of one value.

    Its least and greatest number, and then how many were in each of BINS between these.
    `varies`: whether any two examples (slices along axis 0) differed.
    `parts`: from the outer to the inner, those that were divided as finely again, since nearly all
        numbers were in a few bins; `edges` of the bins are then not as far from each other.
    """

    low: float = float("inf")
    high: float = float("-inf")
    counts: np.ndarray | None = None
    edges: np.ndarray | None = None
    parts: tuple[tuple[float, float], ...] = ()
    varies: bool = False
    examples: int = 0
    _first: Tensor | None = None

    def limits(self, value: Tensor) -> None:
        """Widen the limits by these numbers.

        Raises NotFiniteError, a ValueError, for NaN and infinity.
        """
        low, high = torch.aminmax(value.float())
        if not torch.isfinite(low) or not torch.isfinite(high):
            raise NotFiniteError("calibration met NaN or infinite values")
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))
        if self.varies:
            return
        first = value[:1] if value.ndim else value
        self._first = first.clone() if self._first is None else self._first
        self.varies = self._first.shape != first.shape or bool(
            ((value - self._first).abs() > _ALIKE * max(-self.low, self.high)).any()
        )
        self.examples += len(value) if value.ndim else 1

    def count(self, value: Tensor) -> None:
        """Count these numbers, between the limits."""
        found = (
            torch.histc(value.float(), BINS, self.low, max(self.high, self.low + 1e-12))
            .cpu()
            .numpy()
        )
        self.counts = found.astype(np.float64) if self.counts is None else self.counts + found

    def nearly_all(self) -> tuple[float, float, int]:
        """Where all but a thousandth of the numbers are, and in how many bins."""
        first, last = self.places(1 - _NEARLY_ALL)
        edges = self.bounds()
        return float(edges[first]), float(edges[last + 1]), last + 1 - first

    def divided(self, inner: Seen) -> Seen:
        """The same, with the bins of `inner` in place of those that it covers."""
        assert self.counts is not None and inner.counts is not None
        edges, counts = self.bounds(), self.counts
        first, last = (int(np.argmin(np.abs(edges - end))) for end in (inner.low, inner.high))
        return Seen(
            self.low,
            self.high,
            np.concatenate([counts[:first], inner.counts, counts[last:]]),
            np.concatenate([edges[:first], inner.bounds(), edges[last + 1 :]]),
            (*self.parts, (inner.low, inner.high)),
        )

    def bounds(self) -> np.ndarray:
        """Where bins begin and end, one more than there are bins."""
        return np.linspace(self.low, self.high, BINS + 1) if self.edges is None else self.edges

    def centres(self) -> np.ndarray:
        """The middle of each bin."""
        edges = self.bounds()
        return (edges[1:] + edges[:-1]) / 2

    def places(self, out: float) -> tuple[int, int]:
        """The first and the last bin, where this share of the numbers is left out, as much at
        either end.
        """
        assert self.counts is not None
        below = np.cumsum(self.counts) / max(self.counts.sum(), 1)
        first, last = (
            int(np.searchsorted(below, out / 2, "right")),
            int(np.searchsorted(below, 1 - out / 2)),
        )
        return min(first, len(below) - 1), min(last, len(below) - 1)


def divided(count: Callable[[float, float], Seen], low: float, high: float) -> Seen:
    """What `count` sees between two limits, finer where nearly all numbers are in a few bins.

    It is asked again for these.
    As it is where so many numbers are equal, as zeros after a ReLU, that no part tells more than
    the whole.
    """
    whole = inner = first = count(low, high)
    for _ in range(_DIVISIONS):
        low, high, bins = inner.nearly_all()
        if bins > _FEW:
            return whole if whole is first else replace(whole, parts=(*whole.parts, (low, high)))
        inner = count(low, high)
        whole = whole.divided(inner)
    return first


@dataclass(frozen=True)
class MinMax:
    """From the least to the greatest number seen.

    Nothing is clipped, and one outlier makes the grid coarse for all.
    """

    counts = False

    def __call__(self, seen: Seen, levels: int) -> tuple[float, float]:
        """(lowest, highest)."""
        return seen.low, seen.high


@dataclass(frozen=True)
class Percentile:
    """The range that holds this share of the numbers (above 0.5, at most 1), as much left out at
    either end. Outliers are clipped.
    """

    share: float = 0.9999
    counts = True

    def __post_init__(self) -> None:
        if not 0.5 < self.share <= 1:
            raise ValueError(
                f"the share within the range is {self.share}: it must be above 0.5 and at most 1"
            )

    def __call__(self, seen: Seen, levels: int) -> tuple[float, float]:
        """(lowest, highest)."""
        first, last = seen.places(1 - self.share)
        edges = seen.bounds()
        return float(edges[first]), float(edges[last + 1])


@dataclass(frozen=True)
class MeanSquare:
    """The range whose grid is nearest to the numbers seen, in the mean of squares.

    Clipping and rounding weighed against each other.
    """

    counts = True

    def __call__(self, seen: Seen, levels: int) -> tuple[float, float]:
        """(lowest, highest)."""
        assert seen.counts is not None
        centres, counts = seen.centres(), seen.counts
        return min(
            _candidates(seen),
            key=lambda one: float(counts @ (centres - _rounded(centres, *one, levels)) ** 2),
        )


@dataclass(frozen=True)
class Entropy:
    """The range whose grid keeps most of what the numbers' distribution tells.

    The least divergence of Kullback and Leibler.
    Source: Migacz 2017 (8-bit inference with TensorRT). Differs: the grid need not be symmetric.
    """

    counts = True

    def __call__(self, seen: Seen, levels: int) -> tuple[float, float]:
        """(lowest, highest)."""
        assert seen.counts is not None
        centres, counts = seen.centres(), seen.counts
        return min(_candidates(seen), key=lambda one: _divergence(centres, counts, *one, levels))


Ranges = MinMax | Percentile | MeanSquare | Entropy


def _candidates(seen: Seen) -> list[tuple[float, float]]:
    """The whole range and ever smaller parts of it, all of which have 0.0 in them.

    And those of what holds nearly all numbers.
    """
    ends = [(min(low, 0.0), max(high, 0.0)) for low, high in ((seen.low, seen.high), *seen.parts)]
    return [
        (low * part, high * part)
        for low, high in ends
        for part in np.linspace(1.0, 0.2, 81).tolist()
    ]


def _rounded(values: np.ndarray, low: float, high: float, levels: int) -> np.ndarray:
    scale = max(high - low, 1e-12) / levels
    return np.clip(np.rint(values / scale), round(low / scale), round(high / scale)) * scale


def _divergence(
    centres: np.ndarray, counts: np.ndarray, low: float, high: float, levels: int
) -> float:
    """Between the numbers, those outside moved to the border, and the same after rounding.

    Each level's spread evenly over its bins.
    """
    scale = max(high - low, 1e-12) / levels
    inside = (centres >= low) & (centres <= high)
    if not inside.any():
        return float("inf")
    places = np.flatnonzero(inside)
    real = counts[places].copy()
    real[0] += counts[: places[0]].sum()
    real[-1] += counts[places[-1] + 1 :].sum()
    level = np.rint(centres[places] / scale).astype(np.int64)
    level -= level.min()
    held = counts[places] > 0
    total = np.bincount(level, counts[places])
    spread = np.bincount(level, held.astype(np.float64))
    guess = np.where(held, total[level] / np.maximum(spread[level], 1), 0)
    p, q = real / max(real.sum(), 1e-12), guess / max(guess.sum(), 1e-12)
    both = p > 0
    return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-12))).sum())
