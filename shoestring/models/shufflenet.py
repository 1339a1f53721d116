"""ShuffleNet: pointwise convolutions in groups, and channels shuffled between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.models.normalised import Normalised
from shoestring.models.shuffle import shuffled, stem
from shoestring.models.sizes import check_count, check_divides, check_stages


class ShuffleNet(nn.Module):
    """ShuffleNet (Zhang et al. 2018, section 3), 914,338 parameters at the published 1×, g = 3.

    Units of a grouped 1×1 convolution, a shuffle of the channels, a depthwise 3×3 convolution and
    another grouped 1×1 convolution, added to their input; where the size halves, the input is
    averaged and put beside the output. Stages of 4, 8 and 4 units of `width`, 2 × `width` and
    4 × `width` channels. Images N×3×H×W in 0..1 to logits N×classes; the normalization is inside.

    Differs: the first convolution keeps the size and there is no pooling before the first stage, as
    images of 32×32 need; `halvings=2` is the published beginning, for images of 224×224. The first
    stage halves the size, as the two others do.

    `width`: channels of the first stage, above 24 and a multiple of 4 × `groups`. Published as 1×
        are 144, 200, 240, 272 and 384 for 1, 2, 3, 4 and 8 groups.
    `groups`: of the pointwise convolutions: a divisor of 24, which the first convolution makes.
    `classes`: 1 or more.
    `repeats`: units of each of the three stages, 1 or more.
    `halvings`: how often the size is halved before the first stage: 0, 1 (the first convolution has
        a stride) or 2 (and a max-pool follows).
    `normalise`: the mean and deviation of the images, and with them their channels; None for those
        of CIFAR-10.
    Raises ValueError for other sizes; where the groups do not divide the channels, with the nearest
    widths that they divide.
    """

    def __init__(
        self,
        width: int = 240,
        groups: int = 3,
        classes: int = 10,
        *,
        repeats: tuple[int, int, int] = (4, 8, 4),
        halvings: int = 0,
        normalise: Normalised | None = None,
    ) -> None:
        check_count("ShuffleNet", "groups", groups)
        check_count("ShuffleNet", "classes", classes)
        check_stages("ShuffleNet", repeats)
        if _FIRST % groups:
            raise ValueError(
                f"ShuffleNet(groups={groups}): the first convolution has {_FIRST} channels, which "
                f"{groups} groups do not divide: give groups=1, 2, 3, 4, 6, 8, 12 or 24"
            )
        why = f"a quarter of the channels is made in {groups} groups"
        check_divides("ShuffleNet", "width", width, 4 * groups, why)
        if width <= _FIRST:
            least = _FIRST // (4 * groups) * 4 * groups + 4 * groups
            raise ValueError(
                f"ShuffleNet(width={width}): the first stage adds channels to the {_FIRST} of the "
                f"first convolution: give width={least} or more"
            )
        super().__init__()
        self.normalise = normalise or Normalised()
        self.first = stem("ShuffleNet", self.normalise, _FIRST, halvings)
        units: list[nn.Module] = []
        channels = _FIRST
        for stage, count in enumerate(repeats):
            for _ in range(count):
                # The first layer of all has few channels: the paper does not group it.
                units.append(_Unit(channels, width << stage, groups, 1 if not units else groups))
                channels = width << stage
        self.units = nn.Sequential(*units)
        self.last = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×classes."""
        features = self.units(self.first(self.normalise(images)))
        return self.last(features.mean((2, 3)))


_FIRST = 24  # channels of the first convolution


class _Unit(nn.Module):
    """Features N×C×H×W to N×width×H×W; where the channels become more, H and W are halved."""

    def __init__(self, channels: int, width: int, groups: int, first_groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.halves = width != channels
        inner, made = width // 4, width - channels if self.halves else width
        self.narrower = _convolution(channels, inner, 1, groups=first_groups)
        self.spatial = _convolution(inner, inner, 3, 2 if self.halves else 1, groups=inner)
        self.wider = _convolution(inner, made, 1, groups=groups)

    def forward(self, features: Tensor) -> Tensor:
        inner = shuffled(functional.relu(self.narrower(features)), self.groups)
        changed = self.wider(self.spatial(inner))
        if self.halves:
            pooled = functional.avg_pool2d(features, 3, 2, 1)
            return functional.relu(torch.cat((pooled, changed), 1))
        return functional.relu(features + changed)


def _convolution(
    channels: int, width: int, side: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
    )
