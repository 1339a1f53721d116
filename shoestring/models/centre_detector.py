"""A small detector that answers with dense maps of the centres of boxes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.kit.boxes.maps import HEAT, OFFSETS, SIDES
from shoestring.models.normalised import Normalised
from shoestring.models.sizes import check_count

_RARE = 0.02  # the heat of an untrained network, about the share of places that have a centre
_PER_SIDE = 16  # sides of the picture are whole multiples of this


class CentreDetector(nn.Module):
    """Finds boxes: an hourglass of residual blocks with a map of centres for each class.

    Pictures N×channels×H×W in 0..1, of sides that are multiples of 16, to a mapping: `heat`
    (logits N×classes×H/4×W/4), `sides` (logarithms of width and height in cells, N×2×H/4×W/4) and
    `offsets` (of the centre in its cell, N×2×H/4×W/4). `shoestring.kit.boxes.decode` makes boxes of
    them. 292,495 parameters for three classes and a width of 24.

    Source: Zhou, Wang & Krähenbühl 2019, "Objects as Points", for the heads; He et al. 2016 for the
    blocks. Differs: a far smaller network, and logarithms of sides.

    `classes`: 1 or more.
    `width`: channels of the finest maps, 1 or more.
    `channels`: of the pictures.
    Raises ValueError for sizes below 1.
    """

    def __init__(self, classes: int, width: int = 24, *, channels: int = 3) -> None:
        for name, value in (("classes", classes), ("width", width), ("channels", channels)):
            check_count("CentreDetector", name, value)
        super().__init__()
        self.normalise = Normalised((0.5,) * channels, (0.25,) * channels)
        self.first = _convolution(channels, width, 2)
        self.fine = nn.Sequential(_Block(width, width, 2), _Block(width, width, 1))
        self.middle = nn.Sequential(_Block(width, 2 * width, 2), _Block(2 * width, 2 * width, 1))
        self.coarse = nn.Sequential(
            _Block(2 * width, 3 * width, 2), _Block(3 * width, 3 * width, 1)
        )
        self.to_middle = _convolution(3 * width, 2 * width, 1, 1)
        self.to_fine = _convolution(2 * width, width, 1, 1)
        self.joined = _convolution(width, width, 1)
        self.head = _convolution(width, 2 * width, 1)
        self.heat = nn.Conv2d(2 * width, classes, 1)
        self.sides = nn.Conv2d(2 * width, 2, 1)
        self.offsets = nn.Conv2d(2 * width, 2, 1)
        nn.init.constant_(self.heat.bias, math.log(_RARE / (1 - _RARE)))  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The maps; raises ValueError for sides that are not multiples of 16."""
        if not torch.compiler.is_exporting() and any(side % _PER_SIDE for side in images.shape[2:]):
            raise ValueError(
                f"pictures of {images.shape[3]}×{images.shape[2]} pixels: the sides must be "
                f"multiples of {_PER_SIDE}, so resize or pad them"
            )
        fine = self.fine(functional.relu(self.first(self.normalise(images))))
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = functional.relu(middle + _twice(self.to_middle(coarse)))
        fine = functional.relu(fine + _twice(self.to_fine(middle)))
        features = functional.relu(self.head(functional.relu(self.joined(fine))))
        return {
            HEAT: self.heat(features),
            SIDES: self.sides(features),
            OFFSETS: torch.sigmoid(self.offsets(features)),
        }


class _Block(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(channels, width, stride)
        self.second = _convolution(width, width, 1)
        self.beside = nn.Identity() if stride == 1 else _convolution(channels, width, stride, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features N×C×H×W."""
        changed = self.second(functional.relu(self.first(features)))
        return functional.relu(changed + self.beside(features))


def _convolution(channels: int, width: int, stride: int, side: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, side, stride, side // 2, bias=False), nn.BatchNorm2d(width)
    )


def _twice(features: Tensor) -> Tensor:
    """Maps of twice the height and width, each value four times."""
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")
