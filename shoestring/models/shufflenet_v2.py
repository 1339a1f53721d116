"""ShuffleNet V2: half of the channels pass by each unit, and the halves are shuffled."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shoestring.models.normalised import Normalised
from shoestring.models.shuffle import shuffled, stem
from shoestring.models.sizes import check_count, check_divides, check_stages


class ShuffleNetV2(nn.Module):
    """ShuffleNet V2 (Ma et al. 2018, section 4), 1,263,854 parameters at the published 1×.

    A unit leaves half of its channels as they are and changes the other half by a 1×1 convolution,
    a depthwise 3×3 one and another 1×1; then the halves are shuffled. Stages of 4, 8 and 4 units of
    `width`, 2 × `width` and 4 × `width` channels, then a 1×1 convolution to `features`. Images
    N×3×H×W in 0..1 to logits N×classes; the normalization is inside.

    Differs: the first convolution keeps the size and there is no pooling before the first stage, as
    images of 32×32 need; `halvings=2` is the published beginning, for images of 224×224.

    `width`: channels of the first stage, an even number. Published are 48, 116, 176 and 244 (0.5×,
        1×, 1.5× and 2×).
    `classes`: 1 or more.
    `features`: channels that the classifier sees, 1 or more. Published are 1,024, and 2,048 for 2×.
    `repeats`: units of each of the three stages, 1 or more.
    `halvings`, `normalise`: as in `ShuffleNet`.
    Raises ValueError for other sizes.
    """

    def __init__(
        self,
        width: int = 116,
        classes: int = 10,
        *,
        features: int = 1024,
        repeats: tuple[int, int, int] = (4, 8, 4),
        halvings: int = 0,
        normalise: Normalised | None = None,
    ) -> None:
        check_divides("ShuffleNetV2", "width", width, 2, "a unit changes half of the channels")
        check_count("ShuffleNetV2", "classes", classes)
        check_stages("ShuffleNetV2", repeats)
        check_count("ShuffleNetV2", "features", features)
        super().__init__()
        self.normalise = normalise or Normalised()
        self.first = stem("ShuffleNetV2", self.normalise, _FIRST, halvings)
        units: list[nn.Module] = []
        channels = _FIRST
        for stage, count in enumerate(repeats):
            units.append(_Halving(channels, width << stage))
            channels = width << stage
            units += [_Unit(channels) for _ in range(count - 1)]
        self.units = nn.Sequential(*units)
        self.features = nn.Sequential(*_pointwise(channels, features))
        self.last = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×classes."""
        features = self.features(self.units(self.first(self.normalise(images))))
        return self.last(features.mean((2, 3)))


_FIRST = 24  # channels of the first convolution


class _Unit(nn.Module):
    """Features N×C×H×W to the same shape: the second half of the channels is changed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.changed = nn.Sequential(
            *_pointwise(half, half), *_depthwise(half, 1), *_pointwise(half, half)
        )

    def forward(self, features: Tensor) -> Tensor:
        kept, taken = features.chunk(2, 1)
        return shuffled(torch.cat((kept, self.changed(taken)), 1), 2)


class _Halving(nn.Module):
    """Features N×C×H×W to N×width×H/2×W/2: both halves are made from all channels."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half = width // 2
        self.kept = nn.Sequential(*_depthwise(channels, 2), *_pointwise(channels, half))
        self.changed = nn.Sequential(
            *_pointwise(channels, half), *_depthwise(half, 2), *_pointwise(half, half)
        )

    def forward(self, features: Tensor) -> Tensor:
        return shuffled(torch.cat((self.kept(features), self.changed(features)), 1), 2)


def _pointwise(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
    ]
