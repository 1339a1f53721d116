"""Pictures of pages for the docs, in few bytes."""

from __future__ import annotations

import io
from pathlib import Path


def save_small(picture: bytes, path: Path) -> int:
    """Write a picture with a palette, and return its bytes.

    A page has few colours, and the file is a third as large.
    """
    from PIL import Image

    taken = Image.open(io.BytesIO(picture)).convert("RGB")
    taken.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    return path.stat().st_size
