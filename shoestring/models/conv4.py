"""Four small blocks of convolutions, the network of the papers on few examples."""

from __future__ import annotations

from torch import Tensor, nn


class Conv4(nn.Module):
    """From grey pictures N×1×28×28 to embeddings N×64, or to logits N×classes.

    A block is a 3×3 convolution, batch norm, ReLU and 2×2 max pooling. With a `width` of 64 it has
    111,936 weights without a head.

    `channels`: of the pictures, 1 or more.
    `width`: channels of each block, 1 or more.
    `classes`: of a linear head on the embeddings; None for the embeddings themselves.
    `side`: of the pictures, 16 or more; an embedding has `width` × (side // 16)² numbers.
    Source: Vinyals et al. 2016, section 4.1.1; Snell, Swersky & Zemel 2017, section 3.1.
    Raises ValueError for pictures that are too small.
    """

    def __init__(
        self, *, channels: int = 1, width: int = 64, classes: int | None = None, side: int = 28
    ) -> None:
        super().__init__()
        if side < 16:
            raise ValueError(f"pictures of {side}×{side}: four halvings need 16×16 or more")
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(channels if not number else width, width, 3, padding=1),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                    nn.MaxPool2d(2),
                )
                for number in range(4)
            )
        )
        self.features = width * (side // 16) ** 2
        self.head = nn.Identity() if classes is None else nn.Linear(self.features, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.blocks(pictures).flatten(1))
