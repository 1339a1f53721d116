"""The operations of a cell, as Python expressions: from maps to as many channels of maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

PARTS = '''\
def layer(taken, given, size=1, stride=1, groups=1, dilation=1):
    """A convolution and its batch norm; maps keep their size, or are halved."""
    padding = dilation * (size // 2)
    convolution = nn.Conv2d(taken, given, size, stride, padding, dilation, groups, bias=False)
    return [convolution, nn.BatchNorm2d(given)]


def convolution(width, size, stride):
    return nn.Sequential(*layer(width, width, size, stride), nn.ReLU())


def separable(width, size, stride, dilation=1):
    first = layer(width, width, size, stride, width, dilation)
    return nn.Sequential(*first, *layer(width, width), nn.ReLU())


def shuffled(width, size, stride, groups):
    return nn.Sequential(
        *layer(width, width, groups=groups),
        nn.ReLU(),
        nn.ChannelShuffle(groups),
        *layer(width, width, size, stride, width),
        *layer(width, width, groups=groups),
        nn.ReLU(),
    )


'''
"""What the expressions of operations call, once in the code of a network."""


class Operation(ABC):
    """An operation of a cell; frozen. Maps are N×width×H×W."""

    @abstractmethod
    def code(self, stride: int) -> str:
        """An expression that makes the module; `width` is a name in it. `stride`: 1, or 2."""


@final
@dataclass(frozen=True)
class Convolution(Operation):
    """A plain convolution of `size`×`size` pixels, batch norm and ReLU."""

    size: int = 3

    def code(self, stride: int) -> str:
        return f"convolution(width, {self.size}, {stride})"


@final
@dataclass(frozen=True)
class Separable(Operation):
    """A convolution in each channel and one across channels (Chollet 2017), ReLU at the end.

    `size`: of the first, in pixels, odd.
    `dilation`: pixels from one of its weights to the next (Yu & Koltun 2016).
    """

    size: int = 3
    dilation: int = 1

    def code(self, stride: int) -> str:
        dilated = f", {self.dilation}" if self.dilation > 1 else ""
        return f"separable(width, {self.size}, {stride}{dilated})"


@final
@dataclass(frozen=True)
class GroupedShuffled(Operation):
    """Convolutions within groups of channels, which are shuffled between (Zhang et al. 2018).

    `groups`: of channels; the width is a multiple of them.
    `size`: of the convolution in each channel, in pixels, odd.
    """

    groups: int = 4
    size: int = 3

    def code(self, stride: int) -> str:
        return f"shuffled(width, {self.size}, {stride}, {self.groups})"


@final
@dataclass(frozen=True)
class MaxPooled(Operation):
    """The largest of `size`×`size` pixels, in each channel."""

    size: int = 3

    def code(self, stride: int) -> str:
        return f"nn.MaxPool2d({self.size}, {stride}, {self.size // 2})"


@final
@dataclass(frozen=True)
class MeanPooled(Operation):
    """The mean of `size`×`size` pixels, in each channel."""

    size: int = 3

    def code(self, stride: int) -> str:
        return f"nn.AvgPool2d({self.size}, {stride}, {self.size // 2}, count_include_pad=False)"


@final
@dataclass(frozen=True)
class Unchanged(Operation):
    """Nothing, or each second pixel."""

    def code(self, stride: int) -> str:
        return "nn.Identity()" if stride == 1 else f"nn.MaxPool2d(1, {stride})"


OPERATIONS: tuple[Operation, ...] = (
    Unchanged(),
    MeanPooled(3),
    MaxPooled(3),
    Separable(3),
    Separable(5),
    Separable(3, dilation=2),
    GroupedShuffled(4),
    Convolution(3),
)
"""From the cheapest on."""
