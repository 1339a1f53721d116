"""The normalization of CIFAR-10's images, as a part of the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalised(nn.Module):
    """Images N×3×H×W in 0..1, minus the mean and over the standard deviation of each channel."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465),
        deviation: tuple[float, ...] = (0.2470, 0.2435, 0.2616),
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images N×3×H×W."""
        return (images - self.mean) / self.deviation
