"""A small network that changes pictures a little, as a simulator's become real ones."""

from __future__ import annotations

from torch import Tensor, nn

from shoestring.models.sizes import check_count


class Refiner(nn.Module):
    """From pictures N×channels×H×W to pictures of the same shape; at first the same ones.

    Residual blocks of two 3×3 convolutions at full size; the last layer gives what is added to the
    picture, and its weights begin at zero.

    `channels`: of the pictures, 1 or more.
    `width`: channels of the blocks, 1 or more.
    `blocks`: 1 or more. Each lets a pixel see two more on each side.
    Source: Shrivastava et al. 2017, section 3.
    Differs: narrower, what is made is a change of what is given, and no last layer holds it in the
    range of pictures.
    Raises ValueError for numbers out of range.
    """

    def __init__(self, *, channels: int = 1, width: int = 16, blocks: int = 4) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("width", width), ("blocks", blocks)):
            check_count("Refiner", name, value)
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.ModuleList(_block(width) for _ in range(blocks))
        self.last = nn.Conv2d(width, channels, 1)
        for weight in self.last.parameters():
            nn.init.zeros_(weight)

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.first(pictures).relu()
        for block in self.blocks:
            maps = (maps + block(maps)).relu()
        return pictures + self.last(maps)


def _block(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
    )
