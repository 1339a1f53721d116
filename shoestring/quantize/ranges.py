"""Where a grid begins and ends: the range of a value, from the numbers seen in calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

BINS = 2048
_NEARLY_ALL = 0.999
_FEW = 16
"""If at most this many bins hold nearly all numbers, their part of the range is counted anew."""
_DIVISIONS = 6
"""How often a part is counted anew, each time about a hundred times as finely."""
_ALIKE = 1e-5
"""Values that differ by less are equal: the same sum in another order.

A share of the number that is farthest from zero.
"""


class NotFiniteError(ValueError):
    """NaN or infinity in the numbers of a range."""


@dataclass
class Histogram:
    """The numbers seen of one value: their limits, and then how many fell into each of BINS bins.

    `low`, `high`: the least and the greatest number.
    `counts`: (bins), how many numbers each bin holds; None before they are counted.
    `edges`: (bins + 1), the edges of the bins; None where the bins are equally wide.
    `parts`: (low, high) of the parts that were divided into bins again, from the outermost to the
        innermost, since nearly all numbers were in a few bins.
    `varies`: whether any two examples (slices along axis 0) differed.
    `examples`: how many examples were compared before two differed.
    """

    low: float = float("inf")
    high: float = float("-inf")
    counts: np.ndarray | None = None
    edges: np.ndarray | None = None
    parts: tuple[tuple[float, float], ...] = ()
    varies: bool = False
    examples: int = 0
    is_empty: bool = False
    """Whether it was computed, and never with any number in it (an expert that got no row)."""
    _first: Tensor | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether too few examples were seen to tell whether they vary."""
        return self.examples < 2 and not self.is_empty

    @property
    def has_any(self) -> bool:
        """Whether some number was counted, or none had to be: not so of an expert without rows."""
        return self.counts is None or bool(self.counts.any())

    def limits(self, value: Tensor) -> None:
        """Widen the limits to include these numbers.

        Raises NotFiniteError, a ValueError, for NaN and infinity.
        """
        if not value.numel():
            self.is_empty = not self.examples
            return
        self.is_empty = False
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
        """Count these numbers between the limits."""
        if not value.numel():
            return
        counts = (
            torch.histc(value.float(), BINS, self.low, max(self.high, self.low + 1e-12))
            .cpu()
            .numpy()
        )
        self.counts = counts.astype(np.float64) if self.counts is None else self.counts + counts

    def bulk(self) -> tuple[float, float, int]:
        """(low, high, bins) of the part that holds all but a thousandth of the numbers."""
        first, last = self.inside(1 - _NEARLY_ALL)
        edges = self.bounds()
        return float(edges[first]), float(edges[last + 1]), last + 1 - first

    def refined(self, inner: Histogram) -> Histogram:
        """The same, with the bins of `inner` in place of those that it covers."""
        assert self.counts is not None and inner.counts is not None
        edges, counts = self.bounds(), self.counts
        first, last = (int(np.argmin(np.abs(edges - end))) for end in (inner.low, inner.high))
        return Histogram(
            self.low,
            self.high,
            np.concatenate([counts[:first], inner.counts, counts[last:]]),
            np.concatenate([edges[:first], inner.bounds(), edges[last + 1 :]]),
            (*self.parts, (inner.low, inner.high)),
        )

    def bounds(self) -> np.ndarray:
        """The edges of the bins (bins + 1)."""
        return np.linspace(self.low, self.high, BINS + 1) if self.edges is None else self.edges

    def centres(self) -> np.ndarray:
        """The middle of each bin (bins)."""
        edges = self.bounds()
        return (edges[1:] + edges[:-1]) / 2

    def inside(self, outside: float) -> tuple[int, int]:
        """The first and the last bin that remain if a share of the numbers is left out.

        `outside`: the share, 0 to 1; half of it is left out at either end.
        """
        assert self.counts is not None
        below = np.cumsum(self.counts) / max(self.counts.sum(), 1)
        first, last = (
            int(np.searchsorted(below, outside / 2, "right")),
            int(np.searchsorted(below, 1 - outside / 2)),
        )
        return min(first, len(below) - 1), min(last, len(below) - 1)


def refined(count: Callable[[float, float], Histogram], low: float, high: float) -> Histogram:
    """The histogram between two limits, finer where nearly all numbers are in a few bins.

    `count`: makes a histogram between two limits. It is called again for such a part.

    Where many numbers are equal, such as zeros after a ReLU, no part tells more than the whole, and
    the first histogram is returned.
    """
    outer = inner = first = count(low, high)
    for _ in range(_DIVISIONS):
        low, high, bins = inner.bulk()
        if bins > _FEW:
            return outer if outer is first else replace(outer, parts=(*outer.parts, (low, high)))
        inner = count(low, high)
        outer = outer.refined(inner)
    return first


def filled(
    limits: Sequence[tuple[float, float]], empty: Sequence[bool]
) -> list[tuple[float, float]]:
    """The limits of values; those of experts that got no row are the widest of all, to be safe.

    `empty`: of each value, whether it was computed without any number in it.
    """
    seen = [ends for ends in limits if ends[0] <= ends[1]]
    if not seen:
        return list(limits)
    widest = min(low for low, _ in seen), max(high for _, high in seen)
    return [
        widest if is_empty and ends[0] > ends[1] else ends
        for ends, is_empty in zip(limits, empty, strict=True)
    ]


@dataclass(frozen=True)
class MinMax:
    """From the least to the greatest number seen.

    Nothing is clipped; one outlier makes the grid coarse for all numbers.
    """

    needs_counts = False

    def __call__(self, histogram: Histogram, levels: int) -> tuple[float, float]:
        """(lowest, highest) number of the grid."""
        return histogram.low, histogram.high


@dataclass(frozen=True)
class Percentile:
    """The range that holds a share of the numbers, with as many left out at either end.

    Outliers are clipped.

    `share`: of the numbers that is kept, above 0.5 and at most 1.
    """

    share: float = 0.9999
    needs_counts = True

    def __post_init__(self) -> None:
        if not 0.5 < self.share <= 1:
            raise ValueError(
                f"the share within the range is {self.share}: it must be above 0.5 and at most 1"
            )

    def __call__(self, histogram: Histogram, levels: int) -> tuple[float, float]:
        """(lowest, highest) number of the grid."""
        first, last = histogram.inside(1 - self.share)
        edges = histogram.bounds()
        return float(edges[first]), float(edges[last + 1])


@dataclass(frozen=True)
class MeanSquare:
    """The range whose grid has the least mean square error on the numbers seen.

    It weighs clipping against rounding.
    """

    needs_counts = True

    def __call__(self, histogram: Histogram, levels: int) -> tuple[float, float]:
        """(lowest, highest) number of the grid."""
        assert histogram.counts is not None
        centres, counts = histogram.centres(), histogram.counts
        return min(
            _candidates(histogram),
            key=lambda limits: float(counts @ (centres - _rounded(centres, *limits, levels)) ** 2),
        )


@dataclass(frozen=True)
class Entropy:
    """The range whose grid keeps most of the information in the distribution of the numbers.

    It has the least Kullback-Leibler divergence.
    Source: Migacz 2017 (8-bit inference with TensorRT). Differs: the grid need not be symmetric.
    """

    needs_counts = True

    def __call__(self, histogram: Histogram, levels: int) -> tuple[float, float]:
        """(lowest, highest) number of the grid."""
        assert histogram.counts is not None
        centres, counts = histogram.centres(), histogram.counts
        return min(
            _candidates(histogram), key=lambda limits: _divergence(centres, counts, *limits, levels)
        )


Ranges = MinMax | Percentile | MeanSquare | Entropy


def _candidates(histogram: Histogram) -> list[tuple[float, float]]:
    """The whole range and smaller and smaller parts of it, all of which include 0.0.

    The same for each part that holds nearly all numbers.
    """
    ends = [
        (min(low, 0.0), max(high, 0.0))
        for low, high in ((histogram.low, histogram.high), *histogram.parts)
    ]
    return [
        (low * share, high * share)
        for low, high in ends
        for share in np.linspace(1.0, 0.2, 81).tolist()
    ]


def _rounded(values: np.ndarray, low: float, high: float, levels: int) -> np.ndarray:
    """The values on a grid of this range, clipped to it."""
    scale = max(high - low, 1e-12) / levels
    return np.clip(np.rint(values / scale), round(low / scale), round(high / scale)) * scale


def _divergence(
    centres: np.ndarray, counts: np.ndarray, low: float, high: float, levels: int
) -> float:
    """The Kullback-Leibler divergence between the numbers and the same numbers after rounding.

    Numbers outside the range are moved to its ends. The mass of each level is spread evenly over
    the bins that round to it.
    """
    scale = max(high - low, 1e-12) / levels
    inside = (centres >= low) & (centres <= high)
    if not inside.any():
        return float("inf")
    bins = np.flatnonzero(inside)
    real = counts[bins].copy()
    real[0] += counts[: bins[0]].sum()
    real[-1] += counts[bins[-1] + 1 :].sum()
    level = np.rint(centres[bins] / scale).astype(np.int64)
    level -= level.min()
    occupied = counts[bins] > 0
    mass = np.bincount(level, counts[bins])
    width = np.bincount(level, occupied.astype(np.float64))
    approximation = np.where(occupied, mass[level] / np.maximum(width[level], 1), 0)
    p, q = real / max(real.sum(), 1e-12), approximation / max(approximation.sum(), 1e-12)
    positive = p > 0
    return float((p[positive] * np.log(p[positive] / np.maximum(q[positive], 1e-12))).sum())
