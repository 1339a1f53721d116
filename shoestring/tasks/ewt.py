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
# Lower case, a capital first, capitals only, a digit somewhere, no letter at all.
_SHAPES = ("a", "Aa", "A", "0", ".")
_PADDING, _UNKNOWN = 0, 1
_NO_TAG = -100
_Sentence = tuple[list[str], list[int]]  # words, and their tags as indices into TAGS
_FOLDER = "ud/UD_English-EWT"
_HOME = "https://raw.githubusercontent.com/UniversalDependencies/UD_English-EWT/15d613d8447b3478787d4c278730a1e48a945efb"
# The file of each split as its home has it, and the same file gzipped.
FILES = {
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

    An ending is a shape, a space and the last three letters in lower case: the ending of Bush is
    "Aa ush". The shapes are a (lower case), Aa (a capital first), A (capitals only), 0 (a digit
    somewhere) and . (no letter).

    `words`: in lower case. The first has the id 2; 0 is padding and 1 is any other word.
    `endings`: the first has the id 6; 0 is padding, and 1 to 5 are the five shapes with any other
        letters.
    """

    words: tuple[str, ...] = field(repr=False)
    endings: tuple[str, ...] = field(repr=False)

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of ids of words and of endings, padding and others included."""
        return len(self.words) + 2, len(self.endings) + len(_SHAPES) + 1

    def ids(
        self, sentences: Iterable[Sequence[str]], length: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The ids of words and of their endings, each N×length (int64).

        `length`: words to which sentences are cut or padded; None for the longest sentence.
        """
        words = {word: number for number, word in enumerate(self.words, 2)}
        endings = {ending: number for number, ending in enumerate(self.endings, len(_SHAPES) + 1)}
        sentences = list(sentences)
        return (
            _padded(
                [
                    [words.get(word.lower(), _UNKNOWN) for word in sentence]
                    for sentence in sentences
                ],
                _PADDING,
                length,
            ),
            _padded(
                [
                    [
                        endings.get(_ending(word), 1 + _SHAPES.index(_shape(word)))
                        for word in sentence
                    ]
                    for sentence in sentences
                ],
                _PADDING,
                length,
            ),
        )


def ewt_vocabulary() -> TaggingVocabulary:
    """The words and endings that occur twice or more in training, the most frequent first.

    Raises DataError.
    """
    return _vocabulary(_read("train"))


def ewt(*, batch_size: int = 64) -> Supervised:
    """Ids N×T of words and of their endings (padding: 0), and tags N×T.

    Tags are indices into TAGS, with -100 for padding; `ewt_vocabulary()` describes the ids. There
    are 12,544 sentences for training, 2,001 for validation and 2,077 for testing, in the splits of
    the treebank. The score is the share of all words of a split whose tag is right, so `merits` has
    a number per word, sentence after sentence. The loss is a mean over words too. Batches are cut
    to their longest sentence, in training and in scoring.

    `batch_size`: sentences of a training batch, 1 or more.
    Source: Silveira et al. 2014; Universal Dependencies 2.16, universal parts of speech, syntactic
    words.
    Raises DataError where the files cannot be had or are damaged.
    """
    sentences = {split: _read(split) for split in FILES}
    vocabulary = _vocabulary(sentences["train"])
    splits: dict[str, Any] = {
        split: (
            vocabulary.ids(words for words, _ in pairs),
            _padded([tags for _, tags in pairs], _NO_TAG, None),
        )
        for split, pairs in sentences.items()
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
    """The ids with a tenth of the words, drawn at random, replaced by the id of unknown words.

    Their endings stay, so the model learns to tag by endings.
    """
    return words_dropped(words, 0.1), endings


def _loss(logits_NTC: Tensor, tags: Tensor) -> Tensor:
    """The mean loss over words. Tags may be padded further than logits."""
    return functional.cross_entropy(
        logits_NTC.flatten(0, 1), tags[:, : logits_NTC.shape[1]].flatten(), ignore_index=_NO_TAG
    )


def _right(logits_NTC: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """1 for each word whose tag is right, else 0."""
    tags = tags[:, : logits_NTC.shape[1]]
    return (logits_NTC.argmax(-1) == tags)[tags != _NO_TAG].astype(np.float64)


def _without_padding(words: Tensor, endings: Tensor) -> tuple[Tensor, Tensor]:
    """Ids N×T, cut to the longest sentence."""
    longest = max(1, int((words != _PADDING).sum(1).max()))
    return words[:, :longest], endings[:, :longest]


def _vocabulary(sentences: list[_Sentence]) -> TaggingVocabulary:
    words = [word for sentence, _ in sentences for word in sentence]
    return TaggingVocabulary(
        _frequent(word.lower() for word in words), _frequent(map(_ending, words))
    )


def _frequent(texts: Iterable[str]) -> tuple[str, ...]:
    """Texts that occur twice or more, the most frequent first, ties in alphabetical order."""
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
    """The sentences of a split, read from CoNLL-U.

    Each line is a word with ten fields between tabs; an empty line ends a sentence.
    """
    path, content = content_of(*FILES[split])
    sentences: list[_Sentence] = [([], [])]
    for number, line in enumerate(content.decode("utf-8").split("\n"), 1):
        fields = line.split("\t")
        if not line.strip():
            sentences.append(([], []))
        # Neither a range of words (1-2) nor a word that was left out (8.1).
        elif line[0] != "#" and fields[0].isdigit():
            if len(fields) != 10 or not fields[1] or fields[3] not in TAGS:
                raise DataError(
                    f"line {number} of {path} is {line[:40]!r}: a word must have ten fields "
                    "between tabs, of which the fourth is a universal part of speech"
                )
            sentences[-1][0].append(fields[1])
            sentences[-1][1].append(TAGS.index(fields[3]))
    return [sentence for sentence in sentences if sentence[0]]
