"""Multi30k: 29,000 descriptions of pictures in English, with German and French translations."""

from __future__ import annotations

import gzip
import zlib

from shoestring.tasks.fetch import DataError, Source, fetch
from shoestring.tasks.pieces import Pieces, pieces
from shoestring.tasks.translation import Translation

_HOME = "https://raw.githubusercontent.com/multi30k/dataset/a3d2e0d/data/task1/raw"
LANGUAGES = ("en", "de", "fr")
_NAMES = {
    "train": "train",
    "validation": "val",
    "test_2016": "test_2016_flickr",
    "test_2017": "test_2017_flickr",
}
_LINES = {"train": 29_000, "validation": 1_014, "test_2016": 1_000, "test_2017": 1_000}
_SHA256 = {
    ("train", "en"): "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
    ("train", "de"): "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6",
    ("train", "fr"): "622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c",
    ("validation", "en"): "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28",
    ("validation", "de"): "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a",
    ("validation", "fr"): "ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9",
    ("test_2016", "en"): "611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9",
    ("test_2016", "de"): "9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8",
    ("test_2016", "fr"): "6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90",
    ("test_2017", "en"): "76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074",
    ("test_2017", "de"): "a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee",
    ("test_2017", "fr"): "3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496",
}


def multi30k_lines(split: str, language: str) -> list[str]:
    """The sentences of a split in a language; those of one number translate one another.

    `split`: "train" (29,000), "validation" (1,014), "test_2016" or "test_2017" (1,000 each).
    `language`: "en", "de" or "fr".
    Source: Elliott et al. 2016 and 2017, task 1, as they are written (no tokens split).
    Raises ValueError for another split or language, DataError where the file cannot be had.
    """
    if (split, language) not in _SHA256:
        raise ValueError(
            f"there is no split {split!r} in {language!r}: the splits are "
            f"{', '.join(_NAMES)}, the languages {', '.join(LANGUAGES)}"
        )
    name = f"{_NAMES[split]}.{language}.gz"
    path = fetch(Source("multi30k", name, f"{_HOME}/{name}", _SHA256[split, language]))
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").rstrip("\n").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is damaged ({error}): delete it to have it fetched again"
        ) from error
    if len(lines) != _LINES[split]:
        raise DataError(f"{path} has {len(lines)} lines and {_LINES[split]} are expected")
    return [line.strip() for line in lines]


def multi30k_pieces(one: str = "en", other: str = "de", *, size: int = 8000) -> Pieces:
    """The vocabulary of the training sentences of two languages."""
    return pieces([*multi30k_lines("train", one), *multi30k_lines("train", other)], size=size)


def multi30k(
    source: str = "en",
    target: str = "de",
    *,
    pairs: int = 29_000,
    vocabulary: Pieces | None = None,
    test: str = "test_2016",
) -> Translation:
    """Translate descriptions of pictures from one language into another.

    `source`, `target`: two of "en", "de" and "fr".
    `pairs`: the first so many training pairs, 1 to 29,000.
    `vocabulary`: of the pieces; None: `multi30k_pieces(source, target)`.
    `test`: "test_2016" or "test_2017".
    Raises ValueError for numbers or names out of range, DataError where files cannot be had.
    """
    if not 1 <= pairs <= _LINES["train"]:
        raise ValueError(f"pairs is {pairs}: there are 1 to {_LINES['train']}")
    if source == target:
        raise ValueError(f"{source!r} into itself is no translation: name two languages")
    made = {
        split: list(zip(multi30k_lines(split, source), multi30k_lines(split, target), strict=True))
        for split in ("train", "validation", test)
    }
    return Translation(
        train=made["train"][:pairs],
        validation=made["validation"],
        test=made[test],
        pieces=vocabulary if vocabulary is not None else multi30k_pieces(source, target),
        name=f"multi30k {source}-{target}",
    )
