"""Granularity: how many weights share one scale."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PerTensor:
    """One scale for the tensor: the fewest bytes, good enough for all but large layers."""

    def __call__(self, value: Tensor) -> tuple[int, ...]:
        """The shape of the scales of a tensor: ()."""
        return ()


@dataclass(frozen=True)
class PerChannel:
    """A scale for each slice along axis 0 of a tensor with two axes or more.

    A scale takes two bytes; worth it where the ranges of channels differ much.
    """

    def __call__(self, value: Tensor) -> tuple[int, ...]:
        """The shape of the scales of a tensor: (channels, 1, 1, ...)."""
        return (len(value), *[1] * (value.ndim - 1)) if value.ndim > 1 else ()


@dataclass(frozen=True)
class PerGroup:
    """A scale for each group of columns of each row of a matrix.

    `size`: columns in a group, a power of two of 16 or more.
    """

    size: int = 32

    def __post_init__(self) -> None:
        if self.size < 16 or self.size & (self.size - 1):
            raise ValueError(
                f"groups are of {self.size} columns: give a power of two of 16 or more"
            )

    def __call__(self, value: Tensor) -> tuple[int, ...]:
        """The shape of the scales of a matrix: (rows, groups).

        Raises ValueError where the columns do not divide into groups.
        """
        if value.ndim != 2 or value.shape[1] % self.size:
            raise ValueError(
                f"a tensor {list(value.shape)} does not divide into groups of {self.size} columns"
            )
        return (len(value), value.shape[1] // self.size)
