"""Gradients in 8 bits a number: levels in equal steps, or denser towards 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shoestring.parallel.exchange.protocols import GradientCoder, WorkerGroup
from shoestring.parallel.exchange.shapes import (
    Shapes,
    bytes_of,
    checked,
    mean_of_decoded,
    numbers,
)

_LEAST = torch.finfo(torch.float32).tiny
_CELLS = 1 << 16


@dataclass(frozen=True)
class LinearLevels:
    """255 levels in equal steps, from -1 to 1.

    A number that is smaller than the largest of its tensor by a factor of more than 254 is lost.

    Source: Dettmers 2016 (linear quantization).
    """

    def levels(self) -> Tensor:
        """The levels, from the lowest to the highest: 255."""
        return torch.arange(-127, 128) / 127


@dataclass(frozen=True)
class DynamicTree:
    """256 levels up to 1, of which each power of ten has its share, down to a millionth.

    A level is a sign, a run of zeros that says how often to divide by ten, a one that ends it, and
    with the bits that are left one of equal parts from 0.1 to 1. So large numbers have a precision
    of a hundredth, and small ones are not lost.

    Source: Dettmers 2016 (dynamic tree quantization).
    Differs: the levels are those that its author's bitsandbytes has for it: the middles of the
    parts, 0, and 1, so that the largest number comes out as it went in where it is positive.
    """

    def levels(self) -> Tensor:
        """The levels, from the lowest to the highest: 256."""
        powers = []
        for bits in range(7):  # so many are left after the sign, the zeros and the one
            edges = torch.linspace(0.1, 1, 2**bits + 1, dtype=torch.float64)
            powers.append((edges[1:] + edges[:-1]) / 2 * 10.0 ** (bits - 6))
        above = torch.cat(powers)
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        return torch.cat([-above, above, ends]).sort().values.float()


@dataclass(frozen=True)
class EightBits:
    """Each gradient becomes one of 256 levels, times the largest of its tensor: 1 byte a number.

    Levels are the nearest ones. Errors are not fed back, and workers send one another all bytes,
    which each of them decodes: sums of levels would not be levels.

    Source: Dettmers 2016, "8-bit approximations for parallelism in deep learning".

    `levels`: DynamicTree() or LinearLevels(), two of the four of the source.

    Raises TypeError for other levels.
    """

    levels: DynamicTree | LinearLevels = DynamicTree()

    def __post_init__(self) -> None:
        if not isinstance(self.levels, DynamicTree | LinearLevels):
            raise TypeError(f"levels {self.levels!r}: give DynamicTree() or LinearLevels()")

    def coder(self, gradients: Sequence[Tensor]) -> GradientCoder:
        """A coder for one worker."""
        return _EightBits(Shapes.of(gradients), self.levels.levels())


class _EightBits:
    """The largest number of each tensor, then a byte for each number."""

    def __init__(self, shapes: Shapes, levels: Tensor) -> None:
        self.shapes, self.levels = shapes, levels
        self.middles = torch.cat([(levels[1:] + levels[:-1]) / 2, levels.new_tensor([torch.inf])])
        self.first = _first_codes(self.middles)
        self.tensors: list[Tensor] = []

    def encode(self, gradients: Sequence[Tensor]) -> Tensor:
        """The scales and the levels' numbers."""
        vector = self.shapes.vector(gradients)
        parts = vector.split(self.shapes.lengths)
        scales = torch.stack([one.abs().max() if len(one) else torch.zeros(()) for one in parts])
        for part, scale in zip(parts, scales.clamp(min=_LEAST), strict=True):
            part.div_(scale)
        return bytes_of(scales, self._nearest(vector))

    def decode(self, sent: Tensor) -> list[Tensor]:
        """The levels, times the scales."""
        count = len(self.shapes.each)
        checked(sent, 4 * count + self.shapes.total)
        codes = sent[4 * count :].int()
        if len(codes) and int(codes.max()) >= len(self.levels):
            raise ValueError(
                f"a gradient came as level {int(codes.max())}, and the highest is "
                f"{len(self.levels) - 1}: do all workers have the same exchange?"
            )
        gradients = self.shapes.split(self.levels[codes])
        for one, scale in zip(gradients, numbers(sent[: 4 * count]), strict=True):
            one.mul_(scale)
        return gradients

    def mean(self, gradients: Sequence[Tensor], group: WorkerGroup) -> list[Tensor]:
        """The mean of what all workers sent."""
        return mean_of_decoded(self, gradients, group)

    def _nearest(self, values: Tensor) -> Tensor:
        """The number of the level next to each value, as torch.bucketize finds it, but faster."""
        codes = self.first[(values.view(torch.int32) >> 16) & (_CELLS - 1)]
        return codes.add_(values > self.middles[codes.int()])


def _first_codes(middles: Tensor) -> Tensor:
    """For the first 16 bits of a number, the level next to the smallest number that begins so.

    Numbers that begin alike differ by less than two middles do, so that the level of each is this
    one or the one above.
    """
    cells = torch.arange(_CELLS)
    smallest = (cells << 16) + torch.where(cells >= _CELLS // 2, _CELLS - 1, 0)
    each = (smallest - (cells >= _CELLS // 2) * 2**32).int().view(torch.float32)
    return torch.bucketize(each, middles[:-1]).to(torch.uint8)
