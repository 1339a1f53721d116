"""Normalisation: numbers minus a mean, over a standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoestring.artifact.chains.checks import numbers, whole

_MOST_CHANNELS = 4096
_LARGEST = 1e30


@dataclass(frozen=True, kw_only=True)
class Normalise:
    """(x - mean) / std, for the whole array or for each channel.

    `mean`, `std`: one number each, or one for each channel; `std` is above 0.
    `axis`: of the channels, 0 or more, in the array with its batch; ignored for one number.

    Raises ValueError for other fields.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    axis: int = 1

    def __post_init__(self) -> None:
        numbers("mean", self.mean, -_LARGEST, _LARGEST, _MOST_CHANNELS)
        numbers("std", self.std, 1 / _LARGEST, _LARGEST, _MOST_CHANNELS)
        whole("axis", self.axis, 0, 15)
        if len(self.mean) != len(self.std):
            raise ValueError(f"there are {len(self.mean)} means and {len(self.std)} deviations")

    def __call__(self, raw: Any) -> np.ndarray:
        """Float32 of the same shape, computed in double precision.

        Raises ValueError for an array that is none of numbers or has another number of channels.
        """
        array = np.asarray(raw)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"numbers are normalised, and this is an array of {array.dtype.name}")
        shape = self.shape_of(array.shape)
        broadcast = [1] * len(shape)
        if len(self.mean) > 1:
            broadcast[self.axis] = len(self.mean)
        mean, std = (np.array(one, float).reshape(broadcast) for one in (self.mean, self.std))
        return ((array - mean) / std).astype(np.float32)

    def shape_of(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what it makes of an array of this shape.

        Raises ValueError where the channels are not as many as the means.
        """
        if len(self.mean) > 1 and (self.axis >= len(shape) or shape[self.axis] != len(self.mean)):
            raise ValueError(
                f"an array of the shape {list(shape)} has no {len(self.mean)} channels on axis "
                f"{self.axis}, as Normalise has means"
            )
        return tuple(shape)
