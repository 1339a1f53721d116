"""Residual networks of any depth in pre-activation order, and the same depth without shortcuts."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from shoestring.models.normalised import Normalised

_STAGES = 3


class PreActivation(nn.Module):
    """A residual network whose shortcuts nothing interrupts: PreActivation(164), (1001).

    Each block is norm, ReLU, 1×1, norm, ReLU, 3×3, norm, ReLU, 1×1, and its result is added to what
    came in. Three stages of (depth - 2) / 9 blocks; the first convolution of the second and third
    has stride 2, and where the channels grow, the first block projects its normalised input.
    10,327,706 parameters at a depth of 1,001 for 3 channels and 10 classes.
    Images N×C×H×W in 0..1, H and W of 4 or more, to logits N×classes.

    Source: He et al. 2016, "Identity mappings in deep residual networks", figure 4e and appendix.
    Differs: the last norm of the network is followed by a mean over whatever size is left, so that
    images of any size fit.

    `depth`: 9n + 2: 11, 20, 29, ..., 164, ..., 1001.
    `width`: channels of the first stage between its 1×1 convolutions; blocks have four times as
        many outside, and each next stage has twice as many. 1 or more.
    `classes`, `channels`: of the logits and of the images, 1 or more. Images of three channels are
        normalised as CIFAR-10 is, others to a mean of 0 and a deviation of 1 for values in 0..1
        that are spread evenly.

    Raises ValueError for a depth that is no 9n + 2, with the nearest that are, for sizes below 1,
    and for images of fewer than 4 rows or columns.
    """

    def __init__(
        self, depth: int, width: int = 16, *, classes: int = 10, channels: int = 3
    ) -> None:
        super().__init__()
        blocks = _per_stage(depth, 9, "PreActivation")
        _check_sizes(width=width, classes=classes, channels=channels)
        self.normalise = _normaliser(channels)
        self.first = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        widths = [width * 2**stage for stage in range(_STAGES)]
        entering = [width, 4 * widths[0], 4 * widths[1]]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    _Bottleneck(before, inside, 1 if stage == 0 else 2),
                    *(_Bottleneck(4 * inside, inside, 1) for _ in range(blocks - 1)),
                )
                for stage, (before, inside) in enumerate(zip(entering, widths, strict=True))
            )
        )
        self.norm = nn.BatchNorm2d(4 * widths[-1])
        self.last = nn.Linear(4 * widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×classes."""
        _check_images(images)
        features = self.stages(self.first(self.normalise(images)))
        return self.last(functional.relu(self.norm(features)).mean((2, 3)))


class PlainNetwork(nn.Module):
    """The convolutions of a residual network without its shortcuts: PlainNetwork(56).

    A 3×3 convolution, three stages of (depth - 2) / 3 more, and a linear layer; after each
    convolution a norm and a ReLU. It is there to show what depth costs where nothing is done about
    it. Images N×C×H×W in 0..1, H and W of 4 or more, to logits N×classes.

    Source: He et al. 2016, "Deep residual learning", section 4.2, the plain networks.

    `depth`: 6n + 2: 8, 14, 20, ..., 56, ..., 110.
    `width`: channels of the first stage; each next stage has twice as many. 1 or more.
    `classes`, `channels`: as in PreActivation.
    `norm`: makes the norm for a number of channels: nn.BatchNorm2d, or nn.Identity for none.

    Raises ValueError as PreActivation does.
    """

    def __init__(
        self,
        depth: int,
        width: int = 16,
        *,
        classes: int = 10,
        channels: int = 3,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        each = 2 * _per_stage(depth, 6, "PlainNetwork")
        _check_sizes(width=width, classes=classes, channels=channels)
        self.normalise = _normaliser(channels)
        widths = [width, *(width * 2**stage for stage in range(_STAGES) for _ in range(each))]
        before = [channels, *widths[:-1]]
        strides = [1, *(2 if at and not at % each else 1 for at in range(_STAGES * each))]
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, stride, 1, bias=isinstance(normed := norm(b), nn.Identity)),
                    normed,
                    nn.ReLU(),
                )
                for a, b, stride in zip(before, widths, strides, strict=True)
            )
        )
        self.last = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×classes."""
        _check_images(images)
        return self.last(self.layers(self.normalise(images)).mean((2, 3)))


class _Bottleneck(nn.Module):
    def __init__(self, channels: int, inside: int, stride: int) -> None:
        super().__init__()
        self.first_norm = nn.BatchNorm2d(channels)
        self.first = nn.Conv2d(channels, inside, 1, stride, bias=False)
        self.second_norm = nn.BatchNorm2d(inside)
        self.second = nn.Conv2d(inside, inside, 3, padding=1, bias=False)
        self.third_norm = nn.BatchNorm2d(inside)
        self.third = nn.Conv2d(inside, 4 * inside, 1, bias=False)
        self.projection = (
            nn.Conv2d(channels, 4 * inside, 1, stride, bias=False)
            if channels != 4 * inside or stride > 1
            else None
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features N×C×H×W."""
        normed = functional.relu(self.first_norm(features))
        shortcut = features if self.projection is None else self.projection(normed)
        changed = self.second(functional.relu(self.second_norm(self.first(normed))))
        return shortcut + self.third(functional.relu(self.third_norm(changed)))


def _per_stage(depth: int, layers: int, kind: str) -> int:
    """How many blocks each stage has; a block of all three stages has `layers` layers."""
    blocks = (depth - 2) // layers if isinstance(depth, int) else 0
    if blocks >= 1 and layers * blocks + 2 == depth:
        return blocks
    nearest = layers * max(blocks, 1) + 2
    raise ValueError(
        f"a {kind} of {depth!r} layers: the depth is {layers}n + 2, so give {nearest} or "
        f"{nearest + layers}"
    )


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} is {size!r}: give an integer, 1 or more")


def _check_images(images: Tensor) -> None:
    if min(images.shape[2:]) < 4:
        raise ValueError(
            f"images of {images.shape[2]}×{images.shape[3]} pixels: two strides leave nothing of "
            "fewer than 4 rows or columns; enlarge the images"
        )


def _normaliser(channels: int) -> Normalised:
    if channels == 3:
        return Normalised()
    return Normalised((0.5,) * channels, (12**-0.5,) * channels)
