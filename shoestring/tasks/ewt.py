"""The English Web Treebank: 16,622 sentences, each word with its part of speech."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit import Supervised
from shoestring.tasks.fetch import DataError, Source, content_of
from shoestring.tasks.sst2 import words_dropped

TAGS = (
    "ADJ",
    "ADP",
    "ADV",
    "AUX",
    "CCONJ",
    "DET",
    "INTJ",
    "NOUN",
    "NUM",
    "PART",
    "PRON",
    "PROPN",
    "PUNCT",
    "SCONJ",
    "SYM",
    "VERB",
    "X",
)
_SHAPES = (
    "a",
    "Aa",
    "A",
    "0",
    ".",
)  # small letters, a capital first, capitals only, a digit somewhere, no letter at all
_PADDING, _UNKNOWN = 0, 1
_NO_TAG = -100
_Sentence = tuple[list[str], list[int]]  # words, and their tags' places in TAGS
_FOLDER = "ud/UD_English-EWT"
_HOME = "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/15d613d8447b3478787d4c278730a1e48a945efb"
# Of each split the file as its home has it, and the same file gzipped.
_FILES = {
    split: (
        Source(_FOLDER, f"en_ewt-ud-{name}.conllu", f"{_HOME}/en_ewt-ud-{name}.conllu", plain),
        Source(_FOLDER, f"en_ewt-ud-{name}.conllu.gz", "", gzipped),
    )
    for split, name, plain, gzipped in (
        (
            "train",
            "train",
            "3fb78e2b55482c8ee00caa653af436c88c9e5bc9a73ce26e4ae3ddc79d2b7e7b",
            "bd47e08c9e18ec12d319e84df2ccdb272ff6de1d0dba5761117d3caf8b358f7b",
        ),
        (
            "validation",
            "dev",
            "531a54ff90d6ab12201c5a50c3e78e6ddac4de69abc4bce5d275d3cd29efe2b6",
            "41086e3afc9ae572f899c9123f874d6d04a52e374a3d2ac7a6667ce48e3bf3e3",
        ),
        (
            "test",
            "test",
            "e266e515a0a7547657ed3d90d9ba46487d6bd251f27ad4269d4e8a427c8555cd",
            "29c151eee8846d3f3ef7806c126ecac9932af2317c008c6d6b076c5e14950dbe",
        ),
    )
}


@dataclass(frozen=True)
class TaggingVocabulary:
    """The words and the endings that have an id.

    The first of `words`, which are in small letters, has 2; 0 is padding and 1 any other word.
    Endings are a shape (one of a, Aa, A, 0 and a point: small letters, a capital first, capitals
    only, a digit somewhere, no letter), a space and the last three letters in small ones: "Aa ush"
    is that of Bush. 0 is padding, 1 to 5 are the five shapes with any other letters, and the first
    of `endings` has 6.
    """

    words: tuple[str, ...] = field(repr=False)
    endings: tuple[str, ...] = field(repr=False)

    @property
    def sizes(self) -> tuple[int, int]:
        """How many ids words and endings have, those of padding and of others counted."""
        return len(self.words) + 2, len(self.endings) + len(_SHAPES) + 1

    def ids(
        self, sentences: Iterable[Sequence[str]], length: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Ids N×length (int64) of words, and those of their endings.

        Cut or padded to `length` words, None: to the longest.
        """
        words = {word: place for place, word in enumerate(self.words, 2)}
        endings = {ending: place for place, ending in enumerate(self.endings, len(_SHAPES) + 1)}
        sentences = list(sentences)
        return (
            _padded(
                [[words.get(word.lower(), _UNKNOWN) for word in one] for one in sentences],
                _PADDING,
                length,
            ),
            _padded(
                [
                    [endings.get(_ending(word), 1 + _SHAPES.index(_shape(word))) for word in one]
                    for one in sentences
                ],
                _PADDING,
                length,
            ),
        )


def ewt_vocabulary() -> TaggingVocabulary:
    """The words and endings that the training sentences have twice or more, the most frequent
    first. Raises DataError.
    """
    return _vocabulary(_read("train"))


def ewt(*, batch_size: int = 64) -> Supervised:
    """Ids N×T of words and of their endings (0: padding.

    `ewt_vocabulary()` tells both), and places N×T in TAGS (padding: -100).
    12,544 sentences to train on, 2,001 to choose on, 2,077 to test on, as the treebank has them.
    Loss and score are of words: the score is the share of all words of a split whose tag is right,
    so that `merits` has a number per word, sentence after sentence. Batches are cut to the longest
    sentence in them, in training and when scored.
    Source: Silveira et al. 2014; Universal Dependencies 2.16, universal parts of speech, syntactic
    words. Raises DataError.
    """
    sentences = {split: _read(split) for split in _FILES}
    vocabulary = _vocabulary(sentences["train"])
    splits: dict[str, Any] = {
        split: (
            vocabulary.ids(words for words, _ in of),
            _padded([tags for _, tags in of], _NO_TAG, None),
        )
        for split, of in sentences.items()
    }
    return Supervised(
        **splits,
        name="ewt",
        batch_size=batch_size,
        criterion=_loss,
        merit=_right,
        axes={1: "T"},
        prepare=_without_padding,
    )


def known_words_dropped(words: Tensor, endings: Tensor) -> tuple[Tensor, Tensor]:
    """Ids with a tenth of the words, drawn at random, unknown.

    Their endings stay: so that training learns to tag by them.
    """
    return words_dropped(words, 0.1), endings


def _loss(logits_NTC: Tensor, tags: Tensor) -> Tensor:
    """The mean over the words; tags are padded further than logits are."""
    return functional.cross_entropy(
        logits_NTC.flatten(0, 1), tags[:, : logits_NTC.shape[1]].flatten(), ignore_index=_NO_TAG
    )


def _right(logits_NTC: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Of each word 1 where its tag is right, else 0."""
    tags = tags[:, : logits_NTC.shape[1]]
    return (logits_NTC.argmax(-1) == tags)[tags != _NO_TAG].astype(np.float64)


def _without_padding(words: Tensor, endings: Tensor) -> tuple[Tensor, Tensor]:
    """Ids N×T, cut to the longest of the sentences."""
    longest = max(1, int((words != _PADDING).sum(1).max()))
    return words[:, :longest], endings[:, :longest]


def _vocabulary(sentences: list[_Sentence]) -> TaggingVocabulary:
    every = [word for words, _ in sentences for word in words]
    return TaggingVocabulary(
        _frequent(word.lower() for word in every), _frequent(map(_ending, every))
    )


def _frequent(texts: Iterable[str]) -> tuple[str, ...]:
    """Those that are there twice or more, the most frequent first, of as many by the alphabet."""
    kept = [(-count, text) for text, count in Counter(texts).items() if count >= 2]
    return tuple(text for _, text in sorted(kept))


def _shape(word: str) -> str:
    if any(letter.isdigit() for letter in word):
        return "0"
    if not any(letter.isalpha() for letter in word):
        return "."
    if word.isupper():
        return "A"
    return "Aa" if word[0].isupper() else "a"


def _ending(word: str) -> str:
    return f"{_shape(word)} {word[-3:].lower()}"


def _padded(rows: list[list[int]], padding: int, length: int | None) -> Tensor:
    """Rows N×length (int64), cut or padded."""
    length = max((len(row) for row in rows), default=0) if length is None else length
    padded = [row[:length] + [padding] * (length - len(row)) for row in rows]
    return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), length)


def _read(split: str) -> list[_Sentence]:
    """The sentences of a split, from CoNLL-U: a line a word, ten fields between tabs.

    An empty line after each sentence.
    """
    path, content = content_of(*_FILES[split])
    sentences: list[_Sentence] = [([], [])]
    for number, line in enumerate(content.decode("utf-8").split("\n"), 1):
        fields = line.split("\t")
        if not line.strip():
            sentences.append(([], []))
        elif (
            line[0] != "#" and fields[0].isdigit()
        ):  # neither a range of words (1-2) nor one that was left out (8.1)
            if len(fields) != 10 or not fields[1] or fields[3] not in TAGS:
                raise DataError(
                    f"line {number} of {path} is {line[:40]!r}: a word must have ten fields "
                    "between tabs, of which the fourth is "
                    "a universal part of speech"
                )
            sentences[-1][0].append(fields[1])
            sentences[-1][1].append(TAGS.index(fields[3]))
    return [one for one in sentences if one[0]]
