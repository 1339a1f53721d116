"""The operations of a cell, as Python expressions: from maps to as many channels of maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

LAYER = '''\
def layer(taken, given, size=1, stride=1, groups=1, dilation=1):
    """A convolution and its batch norm; maps keep their size, or are halved."""
    padding = dilation * (size // 2)
    convolution = nn.Conv2d(taken, given, size, stride, padding, dilation, groups, bias=False)
    return [convolution, nn.BatchNorm2d(given)]


'''
"""What all the others call, once in the code of a network."""
_CONVOLUTION = """\
def convolution(taken, given, size, stride):
    return nn.Sequential(*layer(taken, given, size, stride), nn.ReLU())


"""
_SEPARABLE = """\
def separable(taken, given, size, stride, dilation=1):
    first = layer(taken, taken, size, stride, taken, dilation)
    return nn.Sequential(*first, *layer(taken, given), nn.ReLU())


"""
_INVERTED = """\
def inverted(taken, given, size, stride, expansion):
    wide = taken * expansion
    return nn.Sequential(
        *layer(taken, wide),
        nn.ReLU(),
        *layer(wide, wide, size, stride, wide),
        nn.ReLU(),
        *layer(wide, given),
    )


"""
_SHUFFLED = """\
def shuffled(taken, given, size, stride, groups):
    return nn.Sequential(
        *layer(taken, given, groups=groups),
        nn.ReLU(),
        nn.ChannelShuffle(groups),
        *layer(given, given, size, stride, given),
        *layer(given, given, groups=groups),
        nn.ReLU(),
    )


"""


def parts(operations: Iterable[Operation]) -> str:
    """The functions that the expressions of these operations call, once in a network's code."""
    used = {type(one) for one in operations}
    return LAYER + "".join(part for kind, part in _PARTS.items() if kind in used)


def check_groups(operations: Iterable[Operation], widths: Iterable[int]) -> None:
    """Raise ValueError for a width that an operation cannot cut into its groups."""
    for groups in (one.groups for one in operations if isinstance(one, GroupedShuffled)):
        if wrong := [width for width in widths if width % groups]:
            raise ValueError(
                f"a width of {wrong[0]}: GroupedShuffled({groups}) has {groups} groups, "
                f"so give widths that are multiples of {groups}, or leave it out"
            )


def check_strides(strides: Iterable[int]) -> None:
    """Raise ValueError for strides that are not 1 or 2."""
    if wrong := [one for one in strides if one not in (1, 2)]:
        raise ValueError(f"a stride of {wrong[0]}: give strides of 1 or 2")


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
        return self.between("width", "width", stride)

    def between(self, taken: str | int, given: str | int, stride: int) -> str:
        """The same expression from `taken` to `given` channels."""
        return f"convolution({taken}, {given}, {self.size}, {stride})"


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
        return self.between("width", "width", stride)

    def between(self, taken: str | int, given: str | int, stride: int) -> str:
        """The same expression from `taken` to `given` channels."""
        dilated = f", {self.dilation}" if self.dilation > 1 else ""
        return f"separable({taken}, {given}, {self.size}, {stride}{dilated})"


@final
@dataclass(frozen=True)
class Inverted(Operation):
    """Each channel becomes several, is convolved on its own, and a few are mixed of them.

    There is no ReLU at the end.

    Source: Sandler et al. 2018, section 3.3 (inverted bottleneck). Differs: ReLU, not ReLU6.

    `expansion`: how many each channel becomes, 1 or more.
    `size`: of the convolution in each channel, in pixels, odd.
    """

    expansion: int = 3
    size: int = 3

    def code(self, stride: int) -> str:
        return self.between("width", "width", stride)

    def between(self, taken: str | int, given: str | int, stride: int) -> str:
        """The same expression from `taken` to `given` channels."""
        return f"inverted({taken}, {given}, {self.size}, {stride}, {self.expansion})"


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
        return self.between("width", "width", stride)

    def between(self, taken: str | int, given: str | int, stride: int) -> str:
        """The same expression from `taken` to `given` channels."""
        return f"shuffled({taken}, {given}, {self.size}, {stride}, {self.groups})"


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


Widening = Convolution | Separable | Inverted | GroupedShuffled
"""Operations that can change how many channels there are."""

_PARTS: dict[type[Operation], str] = {
    Convolution: _CONVOLUTION,
    Separable: _SEPARABLE,
    Inverted: _INVERTED,
    GroupedShuffled: _SHUFFLED,
}

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
