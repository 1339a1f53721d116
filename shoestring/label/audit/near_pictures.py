"""Pictures that are the same or nearly so: scaled, compressed again, a little darker."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from shoestring.artifact.errors import missing
from shoestring.artifact.progress import progress
from shoestring.label.audit.near import Near, Pair, near

SIDE = 32
_BITS, _LOW = 64, 8
_BLOCK = 4_096
_LIGHTER = 0.2
"""How far the mean of near duplicates may differ, of 0 to 1."""
_MOST, _EQUAL = 5, 0.01
"""A picture that is like more others than this is a common shape (a written 1), unless the two are
equal but for noise."""
_FLAT = 1e-2
"""A deviation below this is taken for this: the noise of a plain picture is not its content."""
_COLOUR, _COLOURS = 0.02, 8
"""How far the colours of two plain pictures may differ at each of 8×8 places, of 0 to 1: 5 levels.
"""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Thumbnails:
    """Pictures made small and grey, with what tells equal ones.

    `grey`: N×32×32, 0 to 1; zeros where a picture could not be read.
    `colours`: N×8×8×3, red, green and blue, 0 to 255; zeros where a picture could not be read.
    `digests`: of all pixels of each; "" where it could not be read.
    `why`: of each picture that could not be read, what was wrong, by its index.
    `sizes`: N×2, height and width in pixels.
    """

    grey: np.ndarray
    colours: np.ndarray
    digests: tuple[str, ...]
    why: dict[int, str]
    sizes: np.ndarray


def thumbnails(pictures: Sequence[Path] | np.ndarray) -> Thumbnails:
    """Small grey copies of pictures.

    `pictures`: paths of files, or an array N×C×H×W of 0..1 with C of 1 or 3. A file that does not
        open is named in `why`.

    Raises ValueError for an array of another shape, and ModuleNotFoundError without Pillow, which
    the extra `images` has.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise missing("PIL", extra="images", what="pictures are read with Pillow") from None
    if isinstance(pictures, np.ndarray) and (pictures.ndim != 4 or pictures.shape[1] not in (1, 3)):
        raise ValueError(
            f"pictures have shape {list(pictures.shape)}: give N×1×H×W or N×3×H×W in 0 to 1"
        )
    grey = np.zeros((len(pictures), SIDE, SIDE), np.float32)
    colours = np.zeros((len(pictures), _COLOURS, _COLOURS, 3), np.uint8)
    sizes = np.zeros((len(pictures), 2), np.int64)
    digests, why = [], {}
    with progress("looking at the pictures", len(pictures)) as advance:
        for index, one in enumerate(pictures):
            try:
                picture = _opened(one) if isinstance(one, Path) else _of_array(one)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                why[index] = str(error) or type(error).__name__
                digests.append("")
                advance("")
                continue
            sizes[index] = picture.size[::-1]
            digests.append(
                hashlib.sha256(
                    f"{picture.mode} {picture.size}".encode() + picture.tobytes()
                ).hexdigest()
            )
            small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
            grey[index] = np.asarray(small, np.float32) / 255
            plain = picture.convert("RGB").resize((_COLOURS, _COLOURS), Image.Resampling.BOX)
            colours[index] = np.asarray(plain)
            advance("")
    return Thumbnails(grey=grey, colours=colours, digests=tuple(digests), why=why, sizes=sizes)


def _opened(path: Path) -> Any:
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        upright = ImageOps.exif_transpose(picture)
        return upright.convert("RGB")


def _of_array(pixels: np.ndarray) -> Any:
    from PIL import Image

    if not np.isfinite(pixels).all():
        raise ValueError("it has pixels that are NaN or infinite")
    levels = (np.clip(pixels, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)


def near_pictures(
    pictures: Sequence[Path] | np.ndarray | Thumbnails,
    *,
    bits: int = 10,
    difference: float = 0.06,
) -> Near:
    """The pictures that are the same or nearly so.

    Candidates are pairs whose perceptual hashes differ in few of 64 bits (the signs of the lowest
    frequencies of a cosine transform); they are pairs where the pixels of their thumbnails, too,
    are nearly equal. A picture that is like more than five others is a common shape, such as a
    written 1, and its pairs are left out (`notes` says how many). Plain pictures are pairs where
    their colours are nearly equal too. Mirrored or rotated copies are not found.

    `pictures`: as for `thumbnails`, or what it returned.
    `bits`: how many of the hashes may differ, 0 to 64.
    `difference`: half of the mean difference of two thumbnails (16×16, grey, each brought to mean 0
        and deviation 1) that may remain, 0 or more. The similarity of a pair is 1 less this.

    Source: the hash is that of Zauner 2010, "Implementation and benchmarking of perceptual image
    hash functions", section 3.2.1 (pHash). Differs: the pixels are compared too.
    Raises ValueError for numbers out of range and as `thumbnails`.
    """
    if not 0 <= bits <= _BITS or not difference >= 0:
        raise ValueError(
            f"bits is {bits} and difference {difference}: give 0 to {_BITS} bits and a difference "
            "of 0 or more"
        )
    small = pictures if isinstance(pictures, Thumbnails) else thumbnails(pictures)
    pairs, first_of = [], {}
    for index, digest in enumerate(small.digests):
        if digest and (first := first_of.setdefault(digest, index)) != index:
            pairs.append(Pair(first=first, second=index, similarity=1.0, exact=True))
    distinct = np.array(sorted(first_of.values()), np.int64)
    places, share = _alike(small.grey[distinct], small.colours[distinct], bits, difference)
    kept = _not_common(places, share, len(distinct))
    pairs += [
        Pair(first=first, second=second, similarity=1 - far, exact=False)
        for (first, second), far in zip(
            distinct[places[kept]].tolist(), share[kept].tolist(), strict=True
        )
    ]
    notes = [*_unread(small.why)]
    if not kept.all():
        notes.append(
            f"{int((~kept).sum()):,} pairs of alike pictures were left out, as each has a picture "
            f"that is like more than {_MOST} others: that is a common shape, and not a copy"
        )
    return near(len(small.digests), pairs, unreadable=tuple(small.why), notes=tuple(notes))


def _alike(
    grey: np.ndarray, colours: np.ndarray, bits: int, difference: float
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of positions that are alike, P×2, and how far they differ, P."""
    found = [np.zeros((0, 2), np.int64)]
    shares = [np.zeros(0)]
    even, light, flat = _even(grey)
    for a, b in _candidates(_signs(grey), bits):
        share = np.abs(even[a] - even[b]).mean((1, 2)) / 2
        alike = (share <= difference) & (np.abs(light[a] - light[b]) <= _LIGHTER)
        # At mean 0 nothing is left of a plain picture: its colour is its content.
        plain = np.flatnonzero(alike & flat[a] & flat[b])
        one, two = (colours[side[plain]].astype(np.float32) / 255 for side in (a, b))
        share[plain] = np.maximum(share[plain], far := np.abs(one - two).max((1, 2, 3), initial=0))
        alike[plain] = far <= _COLOUR
        found.append(np.stack([a[alike], b[alike]], 1))
        shares.append(share[alike])
    return np.concatenate(found), np.concatenate(shares)


def _even(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thumbnails of 16×16, each brought to mean 0 and deviation 1; their means, 0 to 1; and
    whether each is plain.
    """
    half = grey.reshape(len(grey), SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    light, spread = half.mean((1, 2)), half.std((1, 2))
    even = (half - light[:, None, None]) / np.maximum(spread, _FLAT)[:, None, None]
    return even, light, spread < _FLAT


def _not_common(places: np.ndarray, share: np.ndarray, count: int) -> np.ndarray:
    """Whether a pair is kept: it is nearly equal, or neither picture is like many others."""
    partners = np.bincount(places.reshape(-1), minlength=count)
    return (share <= _EQUAL) | (partners[places].max(1, initial=0) <= _MOST)


def _unread(why: dict[int, str]) -> tuple[str, ...]:
    if not why:
        return ()
    index, reason = next(iter(why.items()))
    return (
        f"{len(why)} pictures could not be read and were left out (the first is picture {index}: "
        f"{reason}): repair or remove them",
    )


def _signs(grey: np.ndarray) -> np.ndarray:
    """The hashes as numbers -1 and 1, N×64."""
    from scipy.fft import dctn

    low = np.asarray(dctn(grey, axes=(1, 2), norm="ortho"))[:, :_LOW, :_LOW].reshape(
        len(grey), _BITS
    )
    middle = np.median(low[:, 1:], 1, keepdims=True)  # the first one is the brightness
    return np.where(low > middle, 1.0, -1.0).astype(np.float32)


def _candidates(signs: np.ndarray, bits: int) -> Any:
    """Arrays of first and of second positions whose hashes differ in at most so many bits."""
    agreeing = _BITS - 2 * bits
    blocks = range(0, len(signs), _BLOCK)
    with progress("near duplicates of pictures", len(blocks)) as advance:
        for begin in blocks:
            rows = signs[begin : begin + _BLOCK]
            a, b = np.nonzero(rows @ signs[begin:].T >= agreeing)
            later = b > a
            a, b = a[later] + begin, b[later] + begin
            for at in range(0, len(a), 100_000):  # the thumbnails of a part at a time
                yield a[at : at + 100_000], b[at : at + 100_000]
            advance("")
