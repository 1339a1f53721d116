"""A small VGG for images of 32×32."""

from __future__ import annotations

from torch import Tensor, nn

from shoestring.models.normalised import Normalised


class SmallVGG(nn.Module):
    """Eight 3×3 convolutions with batch norm in the manner of VGG, 1,175,786 parameters.

    Source: Simonyan & Zisserman 2015, at a quarter to half of its widths. The widths are 32, 32,
    64, 64, 128, 128, 256, 256, with pooling after each second convolution, then a linear layer.
    Images N×3×32×32 in 0..1 to logits N×10; the normalization is inside.

    `width`: channels of the first two convolutions, 1 or more; each pair has twice as many as the
        one before.
    `pairs`: of convolutions, 1 or more; each halves the image, which must have 2 to this power
        pixels a side.

    Raises ValueError for numbers out of range.
    """

    def __init__(self, width: int = 32, pairs: int = 4) -> None:
        super().__init__()
        if width < 1 or pairs < 1:
            raise ValueError(
                f"a width of {width} channels and {pairs} pairs of convolutions: give 1 or more"
            )
        parts: list[nn.Module] = [Normalised()]
        channels = 3
        for pair in range(pairs):
            for last in (False, True):
                wide = width * 2**pair
                parts += [
                    nn.Conv2d(channels, wide, 3, padding=1, bias=False),
                    nn.BatchNorm2d(wide),
                    nn.ReLU(),
                ]
                parts += [nn.MaxPool2d(2)] if last else []
                channels = wide
        self.layers = nn.Sequential(
            *parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×10."""
        return self.layers(images)
