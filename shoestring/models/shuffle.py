"""What the two ShuffleNets share: the shuffle of channels, and the first layers."""

from __future__ import annotations

from torch import Tensor, nn

from shoestring.models.normalised import Normalised


def shuffled(features: Tensor, groups: int) -> Tensor:
    """The channels of features N×C×H×W, one of each group in turn.

    With three groups, channels 0 1 2 3 4 5 become 0 2 4 1 3 5.
    Source: Zhang et al. 2018, section 3.1. `groups`: a divisor of C.
    """
    if groups == 1:
        return features
    return features.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2)


def stem(network: str, normalise: Normalised, width: int, halvings: int) -> nn.Sequential:
    """The first layers: a 3×3 convolution, and a max-pool where the size is halved twice.

    Raises ValueError for other `halvings` than 0, 1 and 2.
    """
    if halvings not in (0, 1, 2):
        raise ValueError(
            f"{network}(halvings={halvings!r}): give 0 for small images, 1, or 2 as published for "
            "images of 224×224"
        )
    layers = [
        nn.Conv2d(normalise.mean.shape[1], width, 3, 2 if halvings else 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    return nn.Sequential(*layers, *([nn.MaxPool2d(3, 2, 1)] if halvings == 2 else []))
