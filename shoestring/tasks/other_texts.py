"""Text in three languages that is no declaration, for language identification."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import numpy as np

from shoestring.tasks.fetch import DataError, Source, content_of, fetch, present
from shoestring.tasks.treebanks import treebank
from shoestring.tasks.udhr import LabelledTexts

_PIECE = 150  # characters of a text: a training row
_GITHUB = "https://raw.githubusercontent.com"
XQUAD_CHINESE = (
    Source(
        "xquad",
        "xquad.zh.json",
        f"{_GITHUB}/google-deepmind/xquad/7d30520/xquad.zh.json",
        "691d0b3359bc6b8faa8de931dfdfe21d50a65861ae348e32a0d1a0190b0c8835",
    ),
    Source(
        "xquad",
        "xquad.zh.json.gz",
        "",
        "2fc774cb5066f3ed476cc99ff302cb68b49ada16db35659a3c7f1bb690ed8c93",
    ),
)
_JAQUAD = Source(
    "jaquad",
    "jaquad_train_0000.json",
    f"{_GITHUB}/SkelterLabsInc/JaQuAD/23f5d72/data/train/jaquad_train_0000.json",
    "7c76df56ad78b2e083eddfa79d0d2af216b9ef6f7d8d5f9cf58104319cbdbabd",
)
JAQUAD_ALL = Source(
    "jaquad",
    "jaquad_data.tar.xz",
    "",
    "dae034ef8c44bf5bc9a77ba4a11321f39d0db0a29e4af0b5c0f96621abd910a0",
)


def other_texts(*, most: int = 1000, seed: int = 0) -> LabelledTexts:
    """Pieces of 150 characters: "eng" from the web, "jpn" and "cmn_hans" from Wikipedia.

    English is the training part of English-EWT, Japanese a file of the training part of JaQuAD,
    Chinese what was translated for XQuAD; sentences or paragraphs stand in random order, one after
    the other.

    `most`: how many pieces of each language, drawn at random; XQuAD has 405.
    Source: Silveira et al. 2014 (CC BY-SA 4.0); So et al. 2022 (CC BY-SA 3.0); Artetxe et al. 2020
        (CC BY-SA 4.0).
    Raises DataError where a file cannot be had or is damaged.
    """
    languages = {
        "eng": [sentence.text for sentence in treebank("en", "train")],
        "jpn": paragraphs(jaquad(_JAQUAD)),
        "cmn_hans": paragraphs(content_of(*XQUAD_CHINESE)[1]),
    }
    texts: list[str] = []
    labels: list[str] = []
    for label, parts in languages.items():
        pieces = _pieces(parts, np.random.default_rng(seed), most)
        texts += pieces
        labels += [label] * len(pieces)
    return LabelledTexts(texts=tuple(texts), labels=tuple(labels))


def paragraphs(content: bytes) -> list[str]:
    """The paragraphs of a file in the form of SQuAD; raises DataError for another."""
    try:
        articles = json.loads(content)["data"]
        return [part["context"] for article in articles for part in article["paragraphs"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"this is no file in the form of SQuAD: {error!r}") from error


def jaquad(source: Source) -> bytes:
    """A file of JaQuAD, also from the archive of all, where that is present."""
    if present(source) is not None or present(JAQUAD_ALL) is None:
        return fetch(source).read_bytes()
    part = "train" if "train" in source.name else "dev"
    with tarfile.open(fileobj=io.BytesIO(fetch(JAQUAD_ALL).read_bytes())) as archive:
        member = archive.extractfile(f"data/{part}/{source.name}")
        content = b"" if member is None else member.read()
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise DataError(f"{source.name} in {JAQUAD_ALL.name} is not the file that it should be")
    return content


def _pieces(parts: list[str], random: np.random.Generator, most: int) -> list[str]:
    """At most so many pieces of texts that are joined in random order."""
    joined = " ".join(parts[at] for at in random.permutation(len(parts)).tolist())
    starts = random.permutation(max(1, len(joined) // _PIECE))[:most]
    return [joined[at * _PIECE : (at + 1) * _PIECE] for at in starts.tolist()]
