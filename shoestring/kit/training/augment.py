"""Changes of images that leave what they show as it is, for training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def moved(images: Tensor, pixels: int = 1) -> Tensor:
    """Each of the images N×C×H×W moved by up to `pixels`, up or down and left or right.

    What comes in is 0.
    """
    padded = functional.pad(images, (pixels,) * 4)
    height, width = images.shape[-2:]
    rows = torch.randint(0, 2 * pixels + 1, (len(images), 1, 1, 1)) + torch.arange(height).view(
        1, 1, -1, 1
    )
    columns = torch.randint(0, 2 * pixels + 1, (len(images), 1, 1, 1)) + torch.arange(width).view(
        1, 1, 1, -1
    )
    examples = torch.arange(len(images)).view(-1, 1, 1, 1)
    channels = torch.arange(images.shape[1]).view(1, -1, 1, 1)
    return padded[examples, channels, rows, columns]


def mirrored(images: Tensor) -> Tensor:
    """Half of the images N×C×H×W, drawn at random, with left and right exchanged."""
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(-1), images)
