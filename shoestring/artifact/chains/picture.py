"""Pictures: files of any size as numbers of one size, as a network has learnt to see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoestring.artifact.chains.checks import whole
from shoestring.artifact.errors import missing

_LARGEST_SIDE = 4096


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Files of pictures as numbers from 0 to 1: upright, in colours, brought to one square size.

    What is transparent is white; the shape of a picture is not kept. Needs Pillow.

    `side`: the pixels of each side, 1 to 4,096.

    Raises ValueError for another side.
    """

    side: int

    def __post_init__(self) -> None:
        whole("side", self.side, 1, _LARGEST_SIDE)

    def __call__(self, raw: Any) -> np.ndarray:
        """Float32 of the shape N×3×side×side; `raw` is a path, or a sequence of them.

        Raises ValueError for what is no path or no picture, and FileNotFoundError for no file.
        """
        paths = [raw] if isinstance(raw, str | Path) else raw
        if not isinstance(paths, Sequence) or not all(isinstance(one, str | Path) for one in paths):
            raise ValueError(
                f"pictures are paths of files, and this is {type(raw).__name__}: give a path, or a "
                f"list of them; arrays N×3×{self.side}×{self.side} of numbers from 0 to 1 need no "
                "input chain"
            )
        if not paths:
            raise ValueError("there is no picture: give a path, or a list of them")
        return np.stack([self._opened(Path(one)) for one in paths]).astype(np.float32) / 255

    def _opened(self, path: Path) -> np.ndarray:
        if not path.is_file():
            raise FileNotFoundError(f"there is no picture {path}")
        try:
            from PIL import Image
        except ModuleNotFoundError:
            raise missing("PIL", extra="images", what="pictures are read with Pillow") from None
        try:
            return self.pixels(path)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"{path} does not open as a picture ({error}): give a picture, such as a .png or "
                ".jpg file"
            ) from None

    def pixels(self, path: Path) -> np.ndarray:
        """The bytes of a picture, 3×side×side; raises what Pillow raises."""
        from PIL import Image, ImageOps

        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith(("I", "F")):  # grey, of more than 8 bits
                values = np.asarray(picture, np.float64)
                top = 65535.0 if values.max(initial=0) > 255 else 255.0
                picture = Image.fromarray((values / top * 255).clip(0, 255).astype(np.uint8))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            small = picture.convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR)
        return np.asarray(small).transpose(2, 0, 1)

    def shape_of(self, _: Any) -> tuple[int, ...]:
        """The shape of one picture."""
        return (1, 3, self.side, self.side)
