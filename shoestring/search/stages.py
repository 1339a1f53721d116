"""Networks of stages: a chain of operations, each of them repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from shoestring.search.operations import (
    Convolution,
    GroupedShuffled,
    Inverted,
    Separable,
    Widening,
    check_groups,
    check_strides,
    parts,
)
from shoestring.search.space import Architecture, Decision, Role, Space


class Shortcut(Enum):
    """What is added to what a layer gives."""

    NONE = "nothing"
    IDENTITY = "what it was given, where that has the same shape"

    def __repr__(self) -> str:
        return f"Shortcut.{self.name}"


class Head(Enum):
    """How the last maps become logits."""

    MEAN = "the mean over each map, and a linear layer"
    LINEAR = "a linear layer on all pixels of all maps"

    def __repr__(self) -> str:
        return f"Head.{self.name}"


class NetworkStage(NamedTuple):
    """Layers of one kind, one after the other.

    `operation`: of each layer.
    `layers`: how many, 0 or more; a stage of 0 leaves pictures and width as they are.
    `width`: channels of each layer.
    `stride`: of the first layer: 1, or 2, which halves pictures.
    `shortcut`: around each layer.
    """

    operation: Widening
    layers: int
    width: int
    stride: int = 2
    shortcut: Shortcut = Shortcut.NONE


@dataclass(frozen=True, kw_only=True)
class StageNetwork(Architecture):
    """A first convolution of 3×3 pixels, the stages, and a head.

    Source: Tan et al. 2019 (MnasNet), section 4.1.

    `first`: channels of the first convolution.
    `stride`: of it: 1, or 2, which halves pictures.
    `stages`: in their order.
    `channels`, `classes`: of pictures, and of answers.
    `height`, `width`: of pictures, in pixels. With Head.MEAN a network takes others as well.
    """

    first: int
    stride: int
    stages: tuple[NetworkStage, ...]
    head: Head
    channels: int
    classes: int
    height: int
    width: int

    def code(self) -> str:
        """The network as a module of Python: its layers one below the other, in `Network`."""
        layers, last, halved = list[str](), self.first, self.stride
        for stage in self.stages:
            for number in range(stage.layers):
                stride = 1 if number else stage.stride
                made = stage.operation.between(last, stage.width, stride)
                fits = (stride, last) == (1, stage.width)
                fits = fits and stage.shortcut is Shortcut.IDENTITY
                layers.append(f"            {f'Added({made})' if fits else made},\n")
                last, halved = stage.width, halved * stride
        # Padded convolutions give each second pixel from the first on.
        pixels = -(-self.height // halved) * -(-self.width // halved)
        return (
            '"""A network of stages that a search found; it needs torch only."""\n\n'
            "from torch import nn\n\n\n"
            + parts(stage.operation for stage in self.stages if stage.layers)
            + (_ADDED if any("Added(" in one for one in layers) else "")
            + _NETWORK.format(
                channels=self.channels,
                classes=self.classes,
                first=self.first,
                stride=self.stride,
                layers="".join(layers),
                last=last if self.head is Head.MEAN else last * pixels,
                given="mean((2, 3))" if self.head is Head.MEAN else "flatten(1)",
            )
        )

    def roles(self) -> Mapping[str, Role]:
        """By stage, layer and operation, whatever the widths and the shortcuts."""
        roles, number, halved = {"first": Role("first")}, 0, self.stride
        for at, stage in enumerate(self.stages):
            for layer in range(stage.layers):
                role = Role(f"stage {at + 1}, layer {layer + 1}: {stage.operation!r}")
                roles[f"layers.{number}"] = roles[f"layers.{number}.operation"] = role
                number, halved = number + 1, halved * (1 if layer else stage.stride)
        pixels = f" of {self.height}×{self.width} halved to 1/{halved}"
        return roles | {"head": Role(f"head{pixels if self.head is Head.LINEAR else ''}")}


_ADDED = '''\
class Added(nn.Module):
    """What an operation gives, and what it is given."""

    def __init__(self, operation):
        super().__init__()
        self.operation = operation

    def forward(self, maps):
        return maps + self.operation(maps)


'''

_NETWORK = '''\
class Network(nn.Module):
    """From pictures N×{channels}×H×W to logits N×{classes}."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(*layer({channels}, {first}, 3, {stride}), nn.ReLU())
        self.layers = nn.Sequential(
{layers}        )
        self.head = nn.Linear({last}, {classes})

    def forward(self, pictures):
        return self.head(self.layers(self.first(pictures)).{given})
'''


@dataclass(frozen=True, kw_only=True)
class Stages(Space):
    """Chains of stages for pictures and spectrograms, N×channels×H×W to logits, from tiny ones on.

    With the defaults and pictures of 3×32×32, nine networks of ten that are drawn cost 0.5 to 31
    million operations (half of them below 3.6) and have 5,000 to 118,000 parameters.
    At 4 bits a weight, a file of 11,400 bytes has about 13,000. For one of 2,000 bytes give each
    stage widths of 4 to 12.

    Source: Tan et al. 2019 (MnasNet), section 4.1 (a factorised hierarchical search space).
    Differs: later stages may be left out; the shortcut is an identity or nothing; grouped and
    shuffled convolutions instead of squeeze and excitation; the first convolution, strides and the
    head are searched as well.

    `channels`, `classes`: of pictures, and of answers.
    `height`, `width`: of pictures, in pixels.
    `firsts`: channels of the first convolution, 1 or more.
    `first_strides`: of it, 1 or 2.
    `widths`: of each stage, from the first to the last: the channels to choose from, multiples of
        the groups of all operations. There are as many stages.
    `strides`: of each stage in the same order, to choose from: 1 or 2.
    `layers`: of a stage, 1 or more. All but the first stage may have 0 as well.
    `operations`: of a stage. Their sizes are replaced by one of `sizes`.
    `sizes`: of an operation, in pixels, odd.
    `shortcuts`, `heads`: what to choose from.

    Raises ValueError for numbers out of range.
    """

    channels: int = 3
    classes: int = 10
    height: int = 32
    width: int = 32
    firsts: tuple[int, ...] = (4, 8, 12, 16)
    first_strides: tuple[int, ...] = (1, 2)
    widths: tuple[tuple[int, ...], ...] = (
        (4, 8, 12, 16, 24),
        (8, 12, 16, 24, 32),
        (8, 16, 24, 32, 48),
        (16, 24, 32, 48, 64),
    )
    strides: tuple[tuple[int, ...], ...] = ((1, 2), (1, 2), (2,), (2,))
    layers: tuple[int, ...] = (1, 2, 3)
    operations: tuple[Widening, ...] = (
        GroupedShuffled(2),
        Separable(),
        Inverted(2),
        Inverted(3),
        Inverted(4),
        Inverted(6),
        Convolution(),
    )
    sizes: tuple[int, ...] = (3, 5)
    shortcuts: tuple[Shortcut, ...] = (Shortcut.NONE, Shortcut.IDENTITY)
    heads: tuple[Head, ...] = (Head.MEAN, Head.LINEAR)

    def __post_init__(self) -> None:
        widths = (*self.firsts, *(width for stage in self.widths for width in stage))
        shape = (self.channels, self.classes, self.height, self.width)
        if min((*shape, *widths, *self.layers)) < 1 or not self.widths:
            raise ValueError(
                f"{self!r}: channels, classes, height, width, layers and widths must be 1 or more, "
                "and there must be a stage"
            )
        if wrong := [size for size in self.sizes if size < 1 or not size % 2]:
            raise ValueError(f"an operation of {wrong[0]} pixels: give odd sizes, such as 3")
        if len(self.strides) != len(self.widths):
            raise ValueError(
                f"strides of {len(self.strides)} stages and widths of {len(self.widths)}: give as "
                "many"
            )
        check_groups(self.operations, widths)
        check_strides((*self.first_strides, *(one for stage in self.strides for one in stage)))

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Those of the first convolution, then of each stage, then the head."""
        return (
            Decision("first width", self.firsts),
            Decision("first stride", self.first_strides),
            *self._of_stages(),
            Decision("head", self.heads),
        )

    def _of_stages(self) -> Iterator[Decision]:
        for number, (widths, strides) in enumerate(zip(self.widths, self.strides, strict=True)):
            where = f"stage {number + 1}"
            yield Decision(f"{where}, operation", self.operations)
            yield Decision(f"{where}, size", self.sizes)
            yield Decision(f"{where}, layers", (0, *self.layers) if number else self.layers)
            yield Decision(f"{where}, width", widths)
            yield Decision(f"{where}, stride", strides)
            yield Decision(f"{where}, shortcut", self.shortcuts)

    def made(self, picks: Sequence[int]) -> StageNetwork:
        """The network of these picks."""
        first, stride, *chosen, head = self.options(picks)
        stages = [
            NetworkStage(replace(operation, size=size), layers, width, stride, shortcut)
            for operation, size, layers, width, stride, shortcut in (
                chosen[at : at + 6] for at in range(0, len(chosen), 6)
            )
        ]
        return StageNetwork(
            first=first,
            stride=stride,
            stages=tuple(stages),
            head=head,
            channels=self.channels,
            classes=self.classes,
            height=self.height,
            width=self.width,
        )
