"""How many numbers share a step of a grid."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PerTensor:
    """One step for the tensor: the fewest bytes, right for all but large layers."""

    def __call__(self, value: Tensor) -> tuple[int, ...]:
        """One number."""
        return ()


@dataclass(frozen=True)
class PerChannel:
    """A step for each slice along axis 0 of a tensor with two axes or more.

    Two bytes each, right where ranges differ much.
    """

    def __call__(self, value: Tensor) -> tuple[int, ...]:
        """(channels, 1, 1, ...)."""
        return (len(value), *[1] * (value.ndim - 1)) if value.ndim > 1 else ()


@dataclass(frozen=True)
class PerGroup:
    """A step for each `size` columns of each row of a matrix (16 or more, a power of two)."""

    size: int = 32

    def __post_init__(self) -> None:
        if self.size < 16 or self.size & (self.size - 1):
            raise ValueError(
                f"groups are of {self.size} columns: give a power of two of 16 or more"
            )

    def __call__(self, value: Tensor) -> tuple[int, ...]:
        """(rows, groups); raises ValueError where the columns do not divide into groups."""
        if value.ndim != 2 or value.shape[1] % self.size:
            raise ValueError(
                f"a tensor {list(value.shape)} does not divide into groups of {self.size} columns"
            )
        return (len(value), value.shape[1] // self.size)
