"""English sentences without labels, from which clusters of words are learned."""

from __future__ import annotations

import io
import json
import zipfile

from shoestring.artifact.chains.tokens import words_of
from shoestring.tasks.fetch import Source, content_of, fetch

_GITHUB = "https://raw.githubusercontent.com"
_NLTK = f"{_GITHUB}/nltk/nltk_data/gh-pages/packages/corpora"
_ZIPS = tuple(
    Source("nltk", f"{name}.zip", f"{_NLTK}/{name}.zip", digest)
    for name, digest in (
        ("movie_reviews", "a41211ae685019137410268134db6a1a14428c89b671eb83056151a878539008"),
        ("sentence_polarity", "6e1ed4405b65c7eabf1d199a7f7c437091ac21da0ea7467b410a74062574566b"),
        ("subjectivity", "741f3371e1a4375051b874fd82fd55857b90975473c91c19a3101cbe17fc4d8c"),
    )
)
_WIKI = f"{_GITHUB}/pytorch/examples/main/word_language_model/data/wikitext-2"
_SCI = f"{_GITHUB}/allenai/scitldr/master/SciTLDR-Data/SciTLDR-A"
_MEDICAL = f"{_GITHUB}/pubmedqa/pubmedqa/master/data"


def _pair(folder: str, name: str, home: str, plain: str, gzipped: str) -> tuple[Source, Source]:
    return Source(folder, name, f"{home}/{name}", plain), Source(folder, f"{name}.gz", "", gzipped)


WIKITEXT = (
    _pair(
        "wikitext-2-valid-test",
        "valid.txt",
        _WIKI,
        "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
        "3ac34ae2b6509075d52302c50a04a8a1970739ffe1a904f2cd374fefbea3cbf2",
    ),
    _pair(
        "wikitext-2-valid-test",
        "test.txt",
        _WIKI,
        "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
        "a2b26b5d2619cc1f6cd34c8e116a451aed09af51479346aadfbf508ceb8b192e",
    ),
)
_PAPERS = _pair(
    "scitldr",
    "train.jsonl",
    _SCI,
    "b222771d387be585cfdf5ae957b36757138415a352e0a3e3b23f73f87c3b1119",
    "1987f66f69e914604eaaa4b32d605a989cd4cdb8784d97e20e6e1d17b0ac6e6e",
)
_ABSTRACTS = _pair(
    "pubmedqa",
    "ori_pqal.json",
    _MEDICAL,
    "8b3276be8942ebbd77f3ddcda12c1749bf0e490045a736fd8438ee40cf37a41d",
    "a5a5ee4c1042da04640a08b77ad0321ab4eb661ade2a4956c86bd09206db95e2",
)
_MARKS = ((" @-@ ", " - "), (" @,@ ", ","), (" @.@ ", "."))  # within words, of WikiText


def unlabelled_english() -> list[list[str]]:
    """About 3.1 million words, in sentences or lines. The film reviews are in small letters.

    Film reviews (movie_reviews, sentence_polarity, subjectivity: Pang & Lee), Wikipedia (the
    validation and test parts of WikiText-2), and papers and abstracts (SciTLDR, PubMedQA). No text
    of the English Web Treebank is among them.

    Raises DataError where a file cannot be had or is damaged.
    """
    lines: list[list[str]] = []
    for source in _ZIPS:
        with zipfile.ZipFile(io.BytesIO(fetch(source).read_bytes())) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith("/") and "README" not in name:
                    lines += _cut(archive.read(name).decode("latin1").split("\n"))
    for pair in WIKITEXT:
        text = content_of(*pair)[1].decode("utf-8")
        for mark, written in _MARKS:
            text = text.replace(mark, written)
        # NUL stands for words that were taken out: it is no word of any other text.
        lines += [line.replace("<unk>", "\0").split() for line in text.split("\n")]
    for line in content_of(*_PAPERS)[1].decode("utf-8").splitlines():
        lines += _cut(json.loads(line)["source"])
    for paper in json.loads(content_of(*_ABSTRACTS)[1]).values():
        lines += _cut(paper["CONTEXTS"])
    return [line for line in lines if line]


def _cut(texts: list[str]) -> list[list[str]]:
    return [words_of(text) for text in texts]
