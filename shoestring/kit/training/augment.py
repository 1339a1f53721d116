"""Augmentation of training images: changes that keep what an image shows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def moved(images: Tensor, pixels: int = 1) -> Tensor:
    """Shift each image at random by up to `pixels`, vertically and horizontally.

    `images`: N×C×H×W. Pixels that come in at the border are 0.
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
    """Mirror each of the images N×C×H×W horizontally with a probability of one half."""
    return torch.where(
        torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5, images.flip(-1), images
    )
