"""Chinese and Japanese sentences without labels, which teachers of segmenters label."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator

from shoestring.tasks.fetch import content_of, fetch
from shoestring.tasks.other_texts import JAQUAD_ALL, XQUAD_CHINESE, paragraphs

_ENDS = re.compile(r"(?<=[。！？!?])|\n")


def unlabelled_chinese() -> list[str]:
    """About 60,000 characters in sentences, translated from Wikipedia (XQuAD: Artetxe et al. 2020).

    Raises DataError where the file cannot be had or is damaged.
    """
    return [*_sentences(paragraphs(content_of(*XQUAD_CHINESE)[1]))]


def unlabelled_japanese(characters: int = 1_000_000) -> list[str]:
    """The first sentences of Wikipedia articles with so many characters (JaQuAD: So et al. 2022).

    All are 3.7 million. Raises DataError where the file cannot be had, as without
    SHOESTRING_DATA, or is damaged.
    """
    found, total = [], 0
    with tarfile.open(fileobj=io.BytesIO(fetch(JAQUAD_ALL).read_bytes())) as archive:
        for name in sorted(one.name for one in archive if one.isfile() and "train" in one.name):
            file = archive.extractfile(name)
            assert file is not None
            for sentence in _sentences(paragraphs(file.read())):
                found.append(sentence)
                total += len(sentence)
                if total >= characters:
                    return found
    return found


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from filter(None, map(str.strip, _ENDS.split(text)))
