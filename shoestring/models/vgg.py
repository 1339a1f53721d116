"""A small VGG for small images."""

from __future__ import annotations

from torch import Tensor, nn

from shoestring.models.normalised import Normalised
from shoestring.models.sizes import check_count


class SmallVGG(nn.Module):
    """Eight 3×3 convolutions with batch norm in the manner of VGG, 1,175,786 parameters.

    Source: Simonyan & Zisserman 2015, at a quarter to half of its widths. The widths are 32, 32,
    64, 64, 128, 128, 256, 256, with pooling after each second convolution, then a linear layer.
    Images N×3×H×W in 0..1, by default 32×32, to logits N×classes; the normalization is inside.

    `width`: channels of the first two convolutions; each pair has twice as many as the one before.
    `pairs`: of convolutions; each halves the image, which needs 2 to the power of `pairs` and
        `halvings` pixels a side.
    `classes`: 1 or more.
    `halvings`: how often the stride of the first convolution halves the image besides, 0 or more.
    `normalise`: the mean and deviation of the images, and with them their channels; None for those
        of CIFAR-10.

    Raises ValueError for numbers out of range.
    """

    def __init__(
        self,
        width: int = 32,
        pairs: int = 4,
        classes: int = 10,
        *,
        halvings: int = 0,
        normalise: Normalised | None = None,
    ) -> None:
        for name, value in (("width", width), ("pairs", pairs), ("classes", classes)):
            check_count("SmallVGG", name, value)
        check_count("SmallVGG", "halvings", halvings, 0)
        super().__init__()
        normalise = normalise or Normalised()
        parts: list[nn.Module] = [normalise]
        channels, stride = normalise.mean.shape[1], 2**halvings
        for pair in range(pairs):
            wide = width * 2**pair
            for last in (False, True):
                side = max(2 * stride - 1, 3)
                parts += [
                    nn.Conv2d(channels, wide, side, stride, side // 2, bias=False),
                    nn.BatchNorm2d(wide),
                    nn.ReLU(),
                ]
                parts += [nn.MaxPool2d(2)] if last else []
                channels, stride = wide, 1
        self.layers = nn.Sequential(
            *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×classes."""
        return self.layers(images)
