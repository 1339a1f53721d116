"""A small convolutional network in the order of XNOR-Net: norm, activation, convolution, pool."""

from __future__ import annotations

from torch import Tensor, nn


class NormFirst(nn.Module):
    """Three 3×3 convolutions and a linear layer, each after a norm, between two ordinary layers.

    The first layer is a 5×5 convolution and the last one linear; 421,322 parameters at the width of
    64. The activation is `nn.Hardtanh`, whose sign is that of the norm, so `quantize.Binary` needs
    no norms of its own. Images N×1×28×28 in 0..1 to logits N×10.

    `width`: channels of the first two 3×3 convolutions, 4 or more.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, width // 4, 5, padding=2)
        self.blocks = nn.Sequential(
            nn.MaxPool2d(2),
            _block(width // 4, width),
            nn.MaxPool2d(2),
            _block(width, width),
            _block(width, 2 * width),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.BatchNorm1d(18 * width),
            nn.Hardtanh(),
            nn.Linear(18 * width, 4 * width),
            nn.BatchNorm1d(4 * width),
            nn.Hardtanh(),
        )
        self.last = nn.Linear(4 * width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×10."""
        return self.last(self.blocks(self.first(images)))


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(channels), nn.Hardtanh(), nn.Conv2d(channels, width, 3, padding=1)
    )
