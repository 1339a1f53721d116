"""U-Net: classes of pixels from features at several scales."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.models.normalised import Normalised
from shoestring.models.sizes import check_count


class UNet(nn.Module):
    """Gives each pixel of a picture a class: a way down, a way up, and bridges between them.

    Pictures N×channels×H×W in 0..1, of sides that are multiples of 2**depth, to logits
    N×classes×H×W. 122,330 parameters for two classes, a width of 8 and a depth of 3.

    Source: Ronneberger, Fischer & Brox 2015, "U-Net", figure 1. Differs: far narrower, halved three
    times in place of four, batch norm, and padded convolutions; maps are enlarged by repeating
    values, all channels of them, in place of a learned up-convolution that halves the channels.

    `classes`: 2 or more.
    `width`: channels of the finest maps, 1 or more; each scale has twice as many.
    `depth`: how often the maps are halved, 1 or more.
    `channels`: of the pictures.
    Raises ValueError for sizes below these.
    """

    def __init__(self, classes: int, width: int = 8, *, depth: int = 3, channels: int = 1) -> None:
        sizes = {"classes": classes, "width": width, "depth": depth, "channels": channels}
        for name, value in sizes.items():
            check_count("UNet", name, value)
        if classes < 2:
            raise ValueError(f"UNet has classes={classes}: give 2 or more, with the background")
        super().__init__()
        self.per_side = 2**depth
        self.normalise = Normalised((0.5,) * channels, (0.25,) * channels)
        widths = [width * 2**scale for scale in range(depth + 1)]
        self.down = nn.ModuleList(
            _two_convolutions(before, after)
            for before, after in zip([channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            _two_convolutions(fine + coarse, fine) for fine, coarse in pairwise(widths)
        )
        self.last = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits; raises ValueError for sides that are not multiples of 2**depth."""
        sides = images.shape[2:]
        if not torch.compiler.is_exporting() and any(side % self.per_side for side in sides):
            raise ValueError(
                f"pictures of {sides[1]}×{sides[0]} pixels: the sides must be multiples of "
                f"{self.per_side}, so resize or pad them"
            )
        features = self.normalise(images)
        bridges: list[Tensor] = []
        for scale, block in enumerate(self.down):
            features = block(functional.max_pool2d(features, 2) if scale else features)
            bridges.append(features)
        for block, bridge in zip(reversed(self.up), reversed(bridges[:-1]), strict=True):
            larger = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(torch.cat([bridge, larger], 1))
        return self.last(features)


def _two_convolutions(channels: int, width: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before in (channels, width):
        parts += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        parts.append(nn.ReLU())
    return nn.Sequential(*parts)
