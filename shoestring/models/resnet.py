"""ResNet-20, the small residual network of the CIFAR-10 papers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from shoestring.models.normalised import Normalised


class ResNet20(nn.Module):
    """ResNet-20 (He et al. 2016, section 4.2), 269,722 parameters at the published width of 16.

    Shortcuts have no parameters: where the size changes, they take every second pixel and add
    channels of zeros. Images N×3×32×32 in 0..1 to logits N×10; the normalization is inside.

    `width`: channels of the first stage, 1 or more.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.normalise = Normalised()
        self.first = _convolution(3, width, 1)
        widths = [width] * 3 + [2 * width] * 3 + [4 * width] * 3
        before = [width, *widths[:-1]]
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in zip(before, widths, strict=True)))
        self.last = nn.Linear(4 * width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×10."""
        features = self.blocks(functional.relu(self.first(self.normalise(images))))
        return self.last(features.mean((2, 3)))


class _Block(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.halves = width != channels
        self.first = _convolution(channels, width, 2 if self.halves else 1)
        self.second = _convolution(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features N×C×H×W."""
        shortcut = features
        changed = self.second(functional.relu(self.first(features)))
        if self.halves:
            # Count the channels here: pruning may have removed some.
            shortcut = functional.pad(
                features[:, :, ::2, ::2], (0, 0, 0, 0, 0, changed.shape[1] - features.shape[1])
            )
        return functional.relu(changed + shortcut)


def _convolution(channels: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
    )
