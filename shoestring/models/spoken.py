"""A small network for spoken words."""

from __future__ import annotations

from torch import Tensor, nn


class SpokenDigits(nn.Module):
    """A convolution and depthwise separable ones over frames and bands, then their mean.

    Log-mel features N×1×frames×bands to logits N×classes.

    Source: Zhang et al. 2017, "Hello Edge", section 3 (DS-CNN).
    Differs: three blocks instead of four or five, which halve frames and bands until the last.

    `classes`: how many words.
    `width`: channels of the last block; the first has a quarter of them.
    """

    def __init__(self, *, classes: int = 10, width: int = 64) -> None:
        super().__init__()
        first, second = width // 4, width // 2
        self.first = nn.Sequential(
            nn.Conv2d(1, first, 5, 2, 2, bias=False), nn.BatchNorm2d(first), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            _separable(first, second, 2), _separable(second, width, 1), _separable(width, width, 2)
        )
        self.dropout = nn.Dropout(0.1)
        self.last = nn.Linear(width, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Logits N×classes."""
        return self.last(self.dropout(self.blocks(self.first(features)).mean((2, 3))))


def _separable(channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )
