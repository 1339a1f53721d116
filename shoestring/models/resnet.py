"""The small residual networks of the CIFAR-10 papers: ResNet-20, and those of any depth 6n + 2."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from shoestring.models.normalised import Normalised
from shoestring.models.sizes import check_count


class _Residual(nn.Module):
    """What the networks have in common: a convolution, three stages of blocks, a linear layer."""

    def __init__(self, blocks: int, width: int, classes: int, normalise: Normalised | None) -> None:
        super().__init__()
        self.normalise = normalise or Normalised()
        self.first = _convolution(self.normalise.mean.shape[1], width, 1)
        widths = [width] * blocks + [2 * width] * blocks + [4 * width] * blocks
        before = [width, *widths[:-1]]
        self.blocks = nn.Sequential(*(_Block(a, b) for a, b in zip(before, widths, strict=True)))
        self.last = nn.Linear(4 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×classes."""
        features = self.blocks(functional.relu(self.first(self.normalise(images))))
        return self.last(features.mean((2, 3)))


class ResNet20(_Residual):
    """ResNet-20 (He et al. 2016, section 4.2), 269,722 parameters at the published width of 16.

    Shortcuts have no parameters: where the size changes, they take every second pixel and add
    channels of zeros. Images N×3×32×32 in 0..1 to logits N×10; the normalization is inside.

    `width`: channels of the first stage, 1 or more.
    `normalise`: the mean and deviation of the images, and with them their channels; None for those
        of CIFAR-10.
    Raises ValueError for a width below 1.
    """

    def __init__(self, width: int = 16, *, normalise: Normalised | None = None) -> None:
        check_count("ResNet20", "width", width)
        super().__init__(3, width, 10, normalise)


class ResNet(_Residual):
    """The residual networks of He et al. 2016, section 4.2, at any depth of 6n + 2.

    `ResNet(20)` is `ResNet20`; `ResNet(56)` has 853,018 parameters and `ResNet(110)` 1,727,962 at
    the published width. The blocks are those of the first paper, which end in a ReLU after the
    addition. Images N×3×H×W in 0..1, published at 32×32, to logits N×classes; the normalization is
    inside.

    `depth`: layers with weights, of which the longest path has this many: 8, 14, 20, ...
    `width`: channels of the first stage, 1 or more.
    `classes`: 1 or more.
    `normalise`: the mean and deviation of the images, and with them their channels; None for those
        of CIFAR-10.
    Raises ValueError for another depth, with the nearest that there are, and for sizes below 1.
    """

    def __init__(
        self,
        depth: int = 56,
        width: int = 16,
        classes: int = 10,
        *,
        normalise: Normalised | None = None,
    ) -> None:
        check_count("ResNet", "depth", depth, 8)
        check_count("ResNet", "width", width)
        check_count("ResNet", "classes", classes)
        if depth % 6 != 2:
            below = (depth - 2) // 6 * 6 + 2
            raise ValueError(
                f"ResNet(depth={depth}): three stages of n blocks of two layers, a first and a "
                f"last layer are 6n + 2 layers: give depth={below} or depth={below + 6}"
            )
        super().__init__((depth - 2) // 6, width, classes, normalise)


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
