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

    What is transparent is white; the shape of a picture is not kept. In grey of 16 bits 65,535 is
    white, and in grey of floats 1. Needs Pillow.

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
        numbers = np.empty((len(paths), 3, self.side, self.side), np.float32)
        for at, one in enumerate(paths):  # in place: at the largest side a picture has 200 MB
            np.divide(self._opened(Path(one)), np.float32(255), out=numbers[at])
        return numbers

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
        """The bytes of a picture, 3×side×side.

        Raises what Pillow raises, and ValueError for grey whose white the file does not tell.
        """
        from PIL import Image, ImageOps

        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith(("I", "F")):  # grey, of more than 8 bits
                shares = _shares_of_white(np.asarray(picture), picture.mode, str(file.format))
                picture = Image.fromarray((shares * 255).astype(np.uint8))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            small = picture.convert("RGB").resize((self.side, self.side), Image.Resampling.BILINEAR)
        return np.asarray(small).transpose(2, 0, 1)

    def shape_of(self, _: Any) -> tuple[int, ...]:
        """The shape of one picture."""
        return (1, 3, self.side, self.side)


def _shares_of_white(values: np.ndarray, mode: str, kind: str) -> np.ndarray:
    """Grey of more than 8 bits as numbers from 0 to 1.

    What is white follows from the kind of numbers alone: by the values, a dark picture would be
    seen brighter than it is. Raises ValueError where that is not known.
    """
    if mode == "F" and values.min() >= 0 and values.max() <= 1:  # False for NaN
        return values
    # older Pillow has no other mode for the 16 bits of a .png
    if mode.startswith("I;16") or (mode == "I" and kind in ("PNG", "PPM")):
        return values.astype(np.float64) / 65535
    wanted = "floats from 0 to 1" if mode == "F" else "integers of 8 or 16 bits"
    raise ValueError(
        f"it has numbers from {values.min():g} to {values.max():g}, and grey is {wanted}: of "
        "others nobody knows which is white"
    )
