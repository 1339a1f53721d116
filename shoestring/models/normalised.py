"""The normalization of CIFAR-10's images, as a part of the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalised(nn.Module):
    """Images N×C×H×W in 0..1, minus the mean and over the standard deviation of each channel.

    `mean`, `deviation`: of each channel, C numbers; by default those of CIFAR-10.
    """

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
        """Normalized images N×C×H×W.

        Raises ValueError for images of other channels: one grey channel would become C equal ones.
        A module that is being exported is not checked.
        """
        channels = self.mean.shape[1]
        if not torch.compiler.is_exporting() and images.shape[-3] != channels:
            raise ValueError(
                f"images N×C×H×W of shape {tuple(images.shape)} have {images.shape[-3]} channels, "
                f"and this network is for {channels}: make it with "
                "normalise=Normalised(mean, deviation), with a mean and a deviation for each "
                "channel of the images"
            )
        return (images - self.mean) / self.deviation
