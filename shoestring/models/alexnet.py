"""AlexNet's layout for small images: what ShuffleNet was compared with."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from shoestring.models.normalised import Normalised
from shoestring.models.sizes import check_count


class AlexNet(nn.Module):
    """Krizhevsky, Sutskever & Hinton 2012 cut to CIFAR-10, 23,471,946 parameters.

    Five convolutions, a max-pool of 3×3 after the first, second and fifth, two wide dense layers
    with dropout before each, and the classifier. Images N×3×`side`×`side` in 0..1 to logits
    N×classes; the normalization is inside.

    Differs: the first convolution is 5×5 with a stride of 2 and not 11×11 with a stride of 4, as
    images of 32×32 need; widths are those of Krizhevsky 2014 (one tower); there is no local
    response normalization.

    `width`: channels of the first convolution; the others have 3, 6, 4 and 4 times as many.
    `dense`: units of each of the two dense layers.
    `classes`: 1 or more.
    `side`: pixels of a side of the images, 8 × `stride` or more.
    `stride`: of the first convolution, 1 or more.
    `dropout`: the share of the inputs of the dense layers that training drops, 0 to below 1.
    `normalise`: the mean and deviation of the images, and with them their channels; None for those
        of CIFAR-10.
    Raises ValueError for other sizes, for images too small for the stride and the pools, and where
    `forward` gets images of another side.
    """

    def __init__(
        self,
        width: int = 64,
        dense: int = 4096,
        classes: int = 10,
        *,
        side: int = 32,
        stride: int = 2,
        dropout: float = 0.5,
        normalise: Normalised | None = None,
    ) -> None:
        for name, value in (
            ("width", width), ("dense", dense), ("classes", classes), ("side", side),
            ("stride", stride),
        ):  # fmt: skip
            check_count("AlexNet", name, value)
        if not 0 <= dropout < 1:
            raise ValueError(f"AlexNet(dropout={dropout!r}): give a share of 0 or more, below 1")
        if side < 8 * stride:
            raise ValueError(
                f"AlexNet(side={side}, stride={stride}): the images are too small for the stride "
                f"and three pools that halve: give side={8 * stride} or more"
                + (f", or stride={side // 8}" if side >= 8 else "")
            )
        super().__init__()
        normalise = normalise or Normalised()
        widths = [normalise.mean.shape[1], *(factor * width for factor in (1, 3, 6, 4, 4))]
        sides, pooled = (5, 5, 3, 3, 3), (True, True, False, False, True)
        layers: list[nn.Module] = [normalise]
        for index, (channels, made) in enumerate(pairwise(widths)):
            step = 1 if index else stride
            layers += [
                nn.Conv2d(channels, made, sides[index], step, sides[index] // 2),
                nn.ReLU(),
                *([nn.MaxPool2d(3, 2, 1)] if pooled[index] else []),
            ]
        self.side, self.stride = side, stride
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(widths[-1] * _pooled(side, stride) ** 2, dense),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(dense, dense),
            nn.ReLU(),
            nn.Linear(dense, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×classes."""
        if not torch.compiler.is_exporting():
            _check_sides(images, self.side, self.stride)
        return self.dense(self.convolutions(images))


def _check_sides(images: Tensor, side: int, stride: int) -> None:
    sides = images.shape[-2:]
    if any(_pooled(one, stride) != _pooled(side, stride) for one in sides):
        fits = sides[0] == sides[1] and sides[0] >= 8 * stride
        raise ValueError(
            f"images of {sides[0]}×{sides[1]} pixels: this AlexNet is made for {side}×{side}; make "
            + (
                f"AlexNet(side={sides[0]}, stride={stride})"
                if fits
                else f"the images so large, or AlexNet(side=...) of square ones of {8 * stride} "
                "pixels or more"
            )
        )


def _pooled(side: int, stride: int) -> int:
    """Pixels of a side after the first convolution and the three pools, which round up."""
    for step in (stride, 2, 2, 2):
        side = -(-side // step)
    return side
