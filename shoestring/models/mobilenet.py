"""A small MobileNetV2 for images of 32×32."""

from __future__ import annotations

from torch import Tensor, nn

from shoestring.models.normalised import Normalised
from shoestring.models.sizes import check_count

_WIDTH = 24  # of the first stage, at which the others have the widths that follow
_STAGES = ((24, 3, 2), (48, 3, 2), (64, 3, 1), (96, 3, 2))  # width, blocks, stride of the first


class MobileNet(nn.Module):
    """MobileNetV2 (Sandler et al. 2018, section 4) cut to CIFAR-10, 545,674 parameters.

    Inverted residuals with depthwise convolutions and ReLU6. Images N×3×32×32 in 0..1 to logits
    N×10; the normalization is inside.

    Differs: twelve blocks instead of seventeen, an expansion of four instead of six, and 256 pooled
    features instead of 1,280. A block that halves the size has one full convolution instead of the
    expansion and the depthwise one (Tan & Le 2021, "fused"): in bfloat16, depthwise convolutions
    with a stride take torch many times as long as those without.

    `width`: channels of the first stage, 1 or more; all other widths in proportion, rounded.
    `classes`: 1 or more.
    `normalise`: the mean and deviation of the images, and with them their channels; None for those
        of CIFAR-10.
    Raises ValueError for sizes below 1.
    """

    def __init__(
        self, width: int = _WIDTH, classes: int = 10, *, normalise: Normalised | None = None
    ) -> None:
        check_count("MobileNet", "width", width)
        check_count("MobileNet", "classes", classes)
        super().__init__()
        self.normalise = normalise or Normalised()
        channels = _in_proportion(16, width)
        self.first = _convolution(self.normalise.mean.shape[1], channels, 3)
        blocks: list[nn.Module] = []
        for published, repeats, stride in _STAGES:
            for repeat in range(repeats):
                made = _in_proportion(published, width)
                blocks.append(_Inverted(channels, made, 1 if repeat else stride))
                channels = made
        self.blocks = nn.Sequential(*blocks)
        features = _in_proportion(256, width)
        self.features = _convolution(channels, features, 1)
        self.last = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×classes."""
        features = self.features(self.blocks(self.first(self.normalise(images))))
        return self.last(features.mean((2, 3)))


def _in_proportion(channels: int, width: int) -> int:
    """A width of the network whose first stage is 24 wide, where that stage is `width` wide."""
    return max(1, round(channels * width / _WIDTH))


class _Inverted(nn.Module):
    """An inverted residual: expand by four (1×1), depthwise 3×3, project (1×1, no activation).

    The input is added to the output where the two have the same shape. Where the size halves, one
    full 3×3 convolution replaces the first two.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        hidden = 4 * channels
        self.adds = stride == 1 and channels == width
        self.wider = _convolution(channels, hidden, 1) if stride == 1 else nn.Identity()
        self.spatial = (
            _convolution(hidden, hidden, 3, 1, hidden)
            if stride == 1
            else _convolution(channels, hidden, 3, stride)
        )
        self.narrower = nn.Sequential(
            nn.Conv2d(hidden, width, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features N×C×H×W."""
        changed = self.narrower(self.spatial(self.wider(features)))
        return features + changed if self.adds else changed


def _convolution(
    channels: int, width: int, side: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, side, stride, side // 2, groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU6(),
    )
