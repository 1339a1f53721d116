"""Chinese and Japanese sentences without labels, which teachers of segmenters label."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator

from shoestring.tasks.fetch import Source, content_of, fetch

_QUESTIONS = (
    Source(
        "xquad",
        "xquad.zh.json",
        "https://raw.githubusercontent.com/google-deepmind/xquad/master/xquad.zh.json",
        "691d0b3359bc6b8faa8de931dfdfe21d50a65861ae348e32a0d1a0190b0c8835",
    ),
    Source(
        "xquad",
        "xquad.zh.json.gz",
        "",
        "2fc774cb5066f3ed476cc99ff302cb68b49ada16db35659a3c7f1bb690ed8c93",
    ),
)
# All files of its repository's folder data/ in one archive, which has no public home.
_JAQUAD = Source(
    "jaquad",
    "jaquad_data.tar.xz",
    "",
    "dae034ef8c44bf5bc9a77ba4a11321f39d0db0a29e4af0b5c0f96621abd910a0",
)
_ENDS = re.compile(r"(?<=[。！？!?])|\n")


def unlabelled_chinese() -> list[str]:
    """About 60,000 characters in sentences, translated from Wikipedia (XQuAD: Artetxe et al. 2020).

    Raises DataError where the file cannot be had or is damaged.
    """
    return [*_sentences(_contexts(json.loads(content_of(*_QUESTIONS)[1])))]


def unlabelled_japanese(characters: int = 1_000_000) -> list[str]:
    """The first sentences of Wikipedia articles with so many characters (JaQuAD: So et al. 2022).

    All are 3.7 million. Raises DataError where the file cannot be had, as without
    SHOESTRING_DATA, or is damaged.
    """
    found, total = [], 0
    with tarfile.open(fileobj=io.BytesIO(fetch(_JAQUAD).read_bytes())) as archive:
        for name in sorted(one.name for one in archive if one.isfile() and "train" in one.name):
            file = archive.extractfile(name)
            assert file is not None
            for sentence in _sentences(_contexts(json.load(file))):
                found.append(sentence)
                total += len(sentence)
                if total >= characters:
                    return found
    return found


def _contexts(content: dict) -> Iterator[str]:
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            yield paragraph["context"]


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from filter(None, map(str.strip, _ENDS.split(text)))
