"""The LeNets: one for the small digits, and the two of the compression papers."""

from __future__ import annotations

from torch import Tensor, nn


class LeNet300(nn.Module):
    """LeNet-300-100: 784 → 300 → 100 → 10, 266,610 parameters.

    Images N×1×28×28 in 0..1 to logits N×10.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, 300),
            nn.ReLU(),
            nn.Linear(300, 100),
            nn.ReLU(),
            nn.Linear(100, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×10."""
        return self.layers(images)


class LeNet5(nn.Module):
    """LeNet-5 in Caffe's sizes: two convolutions (20, 50), then 800 → 500 → 10, 431,080 parameters.

    Images N×1×28×28 in 0..1 to logits N×10.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 20, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(20, 50, 5),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(800, 500),
            nn.ReLU(),
            nn.Linear(500, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×10."""
        return self.layers(images)


class DigitsLeNet(nn.Module):
    """A small LeNet for the 8×8 digits.

    Two convolutions (32, 64), then 256 → 128 → 10, 53,002 parameters.
    Images N×1×8×8 in 0..1 to logits N×10.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(256, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits N×10."""
        return self.layers(images)
