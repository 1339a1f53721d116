"""How many pixels a picture has, as it is shown upright."""

from __future__ import annotations

from pathlib import Path

from shoestring.artifact.errors import missing

_ORIENTATION = 0x0112  # in EXIF; from 5 on the picture is stored on its side
_ON_ITS_SIDE = 5


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels; only the beginning of the file is read.

    Raises ModuleNotFoundError without Pillow, and ValueError for a picture that does not open.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise missing("PIL", extra="images", what="The size of a picture") from error
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(_ORIENTATION, 1)
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"the picture {path} does not open ({error}): its boxes cannot be written without its "
            "size; delete it or take it out of the collection"
        ) from None
    return (height, width) if turned >= _ON_ITS_SIDE else (width, height)
