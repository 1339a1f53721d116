"""Families: networks of one kind and any width, for the inputs and answers of another network."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import nn

from shoestring.models.ngram_classifier import NgramClassifier
from shoestring.models.normalised import Normalised
from shoestring.models.shufflenet_v2 import ShuffleNetV2
from shoestring.models.sizes import check_count
from shoestring.models.vgg import SmallVGG

SMALL = 40
"""Pixels of the shorter side beyond which the first layers halve images."""


class Ending(Enum):
    """What a network answers for its classes, N×classes."""

    LOGITS = "logits"
    LOG_PROBABILITIES = "the logarithms of probabilities that sum to 1"
    PROBABILITIES = "probabilities that sum to 1"
    SIGMOIDS = "a probability for each class by itself"

    def __repr__(self) -> str:
        return f"Ending.{self.name}"

    def added_to(self, network: nn.Module) -> nn.Module:
        """A network with logits, followed by what makes these answers of them."""
        layers: dict[Ending, nn.Module] = {
            Ending.LOG_PROBABILITIES: nn.LogSoftmax(1),
            Ending.PROBABILITIES: nn.Softmax(1),
            Ending.SIGMOIDS: nn.Sigmoid(),
        }
        return nn.Sequential(network, layers[self]) if self in layers else network


@dataclass(frozen=True, kw_only=True)
class Images:
    """What is known of images N×C×H×W and of the answers to them.

    `mean`, `deviation`: of each channel, C numbers; the deviations are above 0.
    `side`: pixels of the shorter side, 1 or more.
    `classes`: of the answers, 1 or more.
    `ending`: what is answered.

    Raises ValueError where mean and deviation are not of the same channels or not finite, and for
    numbers out of range.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    side: int
    classes: int
    ending: Ending = Ending.LOGITS

    def __post_init__(self) -> None:
        finite = all(map(math.isfinite, (*self.mean, *self.deviation)))
        paired = len(self.mean) == len(self.deviation) > 0
        if not finite or not paired or min(self.deviation) <= 0:
            raise ValueError(
                f"means {self.mean} and deviations {self.deviation}: give one of each for every "
                "channel, all finite, and deviations above 0"
            )
        check_count("Images", "side", self.side)
        check_count("Images", "classes", self.classes)

    def normalised(self) -> Normalised:
        """The layer that gives these images a mean of 0 and a deviation of 1."""
        return Normalised(self.mean, self.deviation)

    @property
    def halvings(self) -> int:
        """How often images are halved until at most `SMALL` pixels are left.

        `VGGFamily` does so before its first layers; `ShuffleNetFamily` twice at most, as published.
        """
        side, count = self.side, 0
        while side > SMALL:
            side, count = -(-side // 2), count + 1
        return count

    @property
    def pairs(self) -> int:
        """How many pairs of convolutions `VGGFamily` makes: as often as what is left is halved."""
        return min(4, max(self.side >> self.halvings, 2).bit_length() - 1)


@dataclass(frozen=True, kw_only=True)
class Texts:
    """What is known of texts N×T ids and of the answers to them.

    `ids`: how many ids there are, 1 or more; 0 is padding.
    `classes`: of the answers, 1 or more.
    `ending`: what is answered.

    Raises ValueError for numbers out of range.
    """

    ids: int
    classes: int
    ending: Ending = Ending.LOGITS

    def __post_init__(self) -> None:
        check_count("Texts", "ids", self.ids)
        check_count("Texts", "classes", self.classes)


@dataclass(frozen=True, kw_only=True)
class VGGFamily:
    """`SmallVGG` of any width: few layers of plain convolutions, fast one image at a time.

    Called with a width above 0, where 1 is the published 32 channels, it makes an untrained
    network. Channels come in fours, since runtimes compute several at a time. Images get as many
    pairs of convolutions as they can be halved, four at most.
    """

    images: Images

    def check(self, inputs: torch.Tensor) -> None:
        """Raise ValueError for images N×C×H×W for which a network of other layers is made."""
        _check_side("VGGFamily", self.images, inputs)

    def __call__(self, width: float) -> nn.Module:
        """An untrained network."""
        network = SmallVGG(
            channels_at("VGGFamily", 32, width, 4),
            self.images.pairs,
            self.images.classes,
            halvings=self.images.halvings,
            normalise=self.images.normalised(),
        )
        return self.images.ending.added_to(network)


@dataclass(frozen=True, kw_only=True)
class ShuffleNetFamily:
    """`ShuffleNetV2` of any width with half of the units: few operations, many small layers.

    Called with a width above 0, where 1 is 48 channels in the first stage (the published 0.5×), it
    makes an untrained network.
    """

    images: Images

    def check(self, inputs: torch.Tensor) -> None:
        """Raise ValueError for images N×C×H×W for which a network of other layers is made."""
        _check_side("ShuffleNetFamily", self.images, inputs)

    def __call__(self, width: float) -> nn.Module:
        """An untrained network."""
        channels = channels_at("ShuffleNetFamily", 48, width, 4)
        network = ShuffleNetV2(
            channels,
            self.images.classes,
            features=max(64, 8 * channels),
            repeats=(2, 4, 2),
            halvings=min(self.images.halvings, 2),
            normalise=self.images.normalised(),
        )
        return self.images.ending.added_to(network)


@dataclass(frozen=True, kw_only=True)
class NgramFamily:
    """`NgramClassifier` of any width: the sum of a text's embeddings, which forgets their order.

    Called with a width above 0, where 1 is 32 numbers for an id, it makes an untrained network.
    """

    texts: Texts

    def __call__(self, width: float) -> nn.Module:
        """An untrained network."""
        network = NgramClassifier(
            self.texts.ids,
            self.texts.classes,
            width=channels_at("NgramFamily", 32, width, 2),
            hidden=0,
        )
        return self.texts.ending.added_to(network)


def _check_side(family: str, images: Images, inputs: torch.Tensor) -> None:
    """Raise ValueError where images of their side would get a network of other layers."""
    if inputs.ndim != 4:
        return
    side = min(inputs.shape[2:])
    seen = replace(images, side=side)
    if (seen.halvings, seen.pairs) != (images.halvings, images.pairs):
        raise ValueError(
            f"{family} is made for images of side {images.side}, and the task's example has "
            f"{list(inputs.shape)}: give Images(side={side}), whose layers halve them as often as "
            "they can be"
        )


def channels_at(family: str, whole: int, width: float, multiple: int) -> int:
    """`width` times `whole` channels, rounded to a multiple and to one multiple at least.

    Raises ValueError for a width that is not above 0.
    """
    if not 0 < width < torch.inf:
        raise ValueError(f"{family}: a width of {width!r}: give a number above 0, such as 0.5")
    return max(round(width * whole / multiple), 1) * multiple
