"""Chinese and Japanese sentences without labels, which teachers of segmenters label."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator

from shoestring.tasks.fetch import Source, content_of, fetch
from shoestring.tasks.sequences import written
from shoestring.tasks.treebanks import treebank

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
_ALIKE = 10  # characters, from which a sentence within another is no chance
_ENDS = re.compile(r"(?<=[。！？!?])|\n")


def unlabelled_chinese() -> list[str]:
    """About 60,000 characters in sentences, translated from Wikipedia (XQuAD: Artetxe et al. 2020).

    In simplified characters. Sentences in which one of the validation or the test sentences of
    Chinese-GSD stands are left out. Raises DataError where a file cannot be had or is damaged.
    """
    found = _sentences(_contexts(json.loads(content_of(*_QUESTIONS)[1])))
    return _apart(found, "zh")


def unlabelled_japanese(characters: int = 1_000_000) -> list[str]:
    """The first sentences of Wikipedia articles with so many characters (JaQuAD: So et al. 2022).

    All are 3.7 million. Sentences in which one of the validation or the test sentences of
    Japanese-GSD stands are left out, so a few characters fewer come back. Raises DataError where
    the file cannot be had, as without SHOESTRING_DATA, or is damaged.
    """
    found: list[str] = []
    total = 0
    with tarfile.open(fileobj=io.BytesIO(fetch(_JAQUAD).read_bytes())) as archive:
        for name in sorted(one.name for one in archive if one.isfile() and "train" in one.name):
            file = archive.extractfile(name)
            assert file is not None
            for sentence in _sentences(_contexts(json.load(file))):
                found.append(sentence)
                total += len(sentence)
                if total >= characters:
                    return _apart(found, "ja")
    return _apart(found, "ja")


def _apart(sentences: Iterable[str], language: str) -> list[str]:
    """The sentences in which no validation or test sentence of the treebank stands.

    White space does not count, and a sentence of few characters has to be the whole.
    """
    held = {
        _closed(written(one)[0])
        for split in ("validation", "test")
        for one in treebank(language, split)
    }
    longer = re.compile("|".join(re.escape(one) for one in sorted(held) if len(one) >= _ALIKE))
    closed = ((one, _closed(one)) for one in sentences)
    return [one for one, text in closed if text not in held and not longer.search(text)]


def _closed(text: str) -> str:
    return "".join(text.split())


def _contexts(content: dict) -> Iterator[str]:
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            yield paragraph["context"]


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from filter(None, map(str.strip, _ENDS.split(text)))
