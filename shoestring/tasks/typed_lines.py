"""Lines as people type them, in English and in Chinese, for models of bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from zlib import crc32

from shoestring.tasks.fetch import DataError, Source, content_of, fetch
from shoestring.tasks.treebanks import treebank
from shoestring.tasks.unlabelled_english import WIKITEXT

LANGUAGES = ("en", "zh")
_XQUAD = "https://raw.githubusercontent.com/google-deepmind/xquad/master"
_QUESTIONS = {
    language: (
        Source("xquad", f"xquad.{language}.json", f"{_XQUAD}/xquad.{language}.json", plain),
        Source("xquad", f"xquad.{language}.json.gz", "", gzipped),
    )
    for language, plain, gzipped in (
        (
            "en",
            "e4c57d1c9143aaa1c5d265ba5987a65f4e69528d2a98f29d6e75019b10344f29",
            "36c41f5f7aace8ee0468fefd41bb46886642e7f8ad880dd48c132fdd75674648",
        ),
        (
            "zh",
            "691d0b3359bc6b8faa8de931dfdfe21d50a65861ae348e32a0d1a0190b0c8835",
            "2fc774cb5066f3ed476cc99ff302cb68b49ada16db35659a3c7f1bb690ed8c93",
        ),
    )
}
_PAIRS = Source(
    "tatoeba",
    "cmn.txt",
    "https://raw.githubusercontent.com/vivounicorn/attention-seq2seq/"
    "4baca98af513f1b01f65898eb62bcd411fc19be3/cmn-eng/cmn.txt",
    "af1099fbf65a5c7041ff4e960306b13138793887335b53b4d9f698faefa6593a",
)
_SPLITS = ("train", "validation", "test")
_END = re.compile(r"(?<=[.!?])\s+(?=[\"'(A-Z0-9])|(?<=[。！？])(?=[^”」』）])")
_SHORTEST = 2  # characters of a line
_CLOSED = ((" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."), (" n't", "n't"))


def typed_lines() -> dict[str, dict[str, list[str]]]:
    """Lines by split ("train", "validation", "test") and by language ("en", "zh").

    English: sentences of Tatoeba, questions and sentences of XQuAD, sentences of the English Web
    Treebank, and of the validation and test parts of WikiText-2 those without unknown words.
    Chinese: those of Tatoeba (in both scripts) and of XQuAD. Each line is there once.

    Nothing leaks: of Tatoeba, a sentence and all its translations are in one split; XQuAD is split
    by article, in both languages alike; the treebank has splits of its own; WikiText-2 is split by
    article. About one group in 16 is for validation, and one for testing.

    Licences: Tatoeba CC BY 2.0 France, XQuAD and the treebank CC BY-SA 4.0, WikiText CC BY-SA 3.0.
    Raises DataError where a file cannot be had or is damaged.
    """
    found = {split: {language: list[str]() for language in LANGUAGES} for split in _SPLITS}
    _add_pairs(found)
    for language in LANGUAGES:
        _add_questions(found, language)
    for split in _SPLITS:
        found[split]["en"] += [one.text for one in treebank("en", split)]
    for pair in WIKITEXT:
        _add_articles(found, content_of(*pair)[1].decode("utf-8"))
    seen: set[str] = set()
    for split in reversed(_SPLITS):  # a line that is in two splits is not trained on
        for language in LANGUAGES:
            found[split][language] = _fresh(found[split][language], seen)
    return found


def split_of(group: str) -> str:
    """The split of a group of lines, by a hash of its name."""
    return {0: "test", 1: "validation"}.get(crc32(group.encode("utf-8")) % 16, "train")


def _fresh(lines: Iterable[str], seen: set[str]) -> list[str]:
    """The lines that were not seen, without spaces around them; `seen` grows."""
    fresh: list[str] = []
    for line in lines:
        line = " ".join(line.split())
        if len(line) >= _SHORTEST and line not in seen:
            seen.add(line)
            fresh.append(line)
    return fresh


def _add_pairs(found: dict[str, dict[str, list[str]]]) -> None:
    """Sentences and their translations; those that share one are a group."""
    path = fetch(_PAIRS)
    pairs = [line.split("\t")[:2] for line in path.read_text(encoding="utf-8").splitlines()]
    if any(len(pair) != 2 for pair in pairs):
        raise DataError(f"{path} has lines without a tab: delete it to have it fetched again")
    group: dict[str, str] = {}

    def first(text: str) -> str:
        while (above := group.setdefault(text, text)) != text:
            group[text] = group[above]
            text = above
        return text

    for english, chinese in pairs:
        one, other = sorted((first(english), first("\t" + chinese)))
        group[other] = one
    for english, chinese in pairs:
        split = split_of(first(english))
        found[split]["en"].append(english)
        found[split]["zh"].append(chinese)


def _add_questions(found: dict[str, dict[str, list[str]]], language: str) -> None:
    """Questions, and the sentences of the paragraphs that answer them, by article."""
    for article in json.loads(content_of(*_QUESTIONS[language])[1])["data"]:
        lines = found[split_of(article["title"])][language]
        for paragraph in article["paragraphs"]:
            lines += [one["question"] for one in paragraph["qas"]]
            lines += _END.split(paragraph["context"])


def _add_articles(found: dict[str, dict[str, list[str]]], text: str) -> None:
    """Sentences of Wikipedia's articles, with spaces as people put them."""
    title = ""
    for line in text.split("\n"):
        line = line.strip()
        if line.startswith("= ") and not line.startswith("= ="):
            title = line
        elif not line.startswith("="):
            kept = [one for one in _END.split(line) if "<unk>" not in one and '"' not in one]
            found[split_of(title)]["en"] += [_closed(one) for one in kept]


def _closed(sentence: str) -> str:
    """A sentence of WikiText without the spaces around punctuation."""
    for apart, close in _CLOSED:
        sentence = sentence.replace(apart, close)
    sentence = re.sub(r" ([.,;:!?%)\]]|'(?:s|re|ve|ll|d|m)\b|')", r"\1", sentence)
    return re.sub(r"([(\[$£]) ", r"\1", sentence)


def counted(lines: Sequence[str]) -> int:
    """The bytes of lines in UTF-8, with a line end each."""
    return sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)
