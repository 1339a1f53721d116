"""The words of a text as hashes of their pieces, without a vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar

import numpy as np

from shoestring.artifact.chains.checks import whole
from shoestring.artifact.chains.hashing import code_points, hashed, mixed
from shoestring.artifact.chains.rows import positions, scored
from shoestring.artifact.chains.text_steps import Run, TextStep, texts_of
from shoestring.artifact.chains.tokens import words_of

_LONGEST_WORD = 64
_MOST_IDS = 1 << 24
_BATCH = 1 << 16  # words that are computed together
_END, _LOWER, _UPPER, _DIGIT, _LETTER = range(5)  # kinds of characters; others stand for themselves


@dataclass(frozen=True, kw_only=True)
class WordIds(TextStep):
    """For each word a hash of it as it is written, in small letters, of its shape and of its ends.

    The ids of a word are, in this order: the word, the word in small letters, its shape, its last
    letters (one id for each of `suffixes`) and its first (`prefixes`), both in small letters, and
    the word in small letters once more, if `clusters` are not 0, for a table of clusters. The
    shape is the word with X for capitals, x for small letters, 9 for digits, o for other letters,
    any other character itself, and each run of one kind as one. Each place in this order has ids of
    its own; 0 is padding. Of a word of more than 64 characters the first and the last 32 count.

    Source: Botha et al. 2017, section 3 (hashed features, an embedding for each group of them).
    Differs: n-grams at the ends of a word instead of all; they keep a fixed place.

    `suffixes`, `prefixes`: lengths in characters, each 1 to 16; a shorter word counts whole.
    `buckets`: how many ids each place has, 1 to 2^22: as many numbers as a word has ids.
    `clusters`: how many ids the last place has, 0 to 2^22; 0: there is no such place.
    `reach`: as in TextStep, 0 to 16.
    `rules`: how running text is cut into words: 0: where it has white space; 1: by the rules of
        `tokens.words_of` too.

    Raises ValueError for other fields.
    """

    suffixes: tuple[int, ...] = (1, 2, 3, 4)
    prefixes: tuple[int, ...] = (1, 2, 3)
    buckets: tuple[int, ...] = (8192, 8192, 512, 256, 1024, 4096, 4096, 256, 1024, 4096)
    clusters: int = 0
    reach: int = 2
    rules: int = 0

    def __post_init__(self) -> None:
        for name in ("suffixes", "prefixes", "buckets"):
            if not isinstance(lengths := getattr(self, name), tuple) or len(lengths) > 40:
                raise ValueError(f"{name} must be a tuple of 40 integers at most")
        for length in (*self.suffixes, *self.prefixes):
            whole("a length", length, 1, 16)
        for count in self.buckets:
            whole("a number of buckets", count, 1, 1 << 22)
        whole("reach", self.reach, 0, 16)
        whole("rules", self.rules, 0, 1)
        whole("clusters", self.clusters, 0, 1 << 22)
        if len(self.buckets) != (wanted := 3 + len(self.suffixes) + len(self.prefixes)):
            raise ValueError(f"buckets are {len(self.buckets)} and a word has {wanted} ids")
        if self.ids > _MOST_IDS:
            raise ValueError(f"{self.ids:,} ids are too many: {_MOST_IDS:,} at most")

    @property
    def ids(self) -> int:
        """How many ids there are, with 0 for padding."""
        return 1 + sum(self._every)

    @property
    def kinds(self) -> int:
        """How many ids a word has."""
        return len(self._every)

    @property
    def _every(self) -> tuple[int, ...]:
        return (*self.buckets, self.clusters) if self.clusters else self.buckets

    @property
    def _padding(self) -> np.ndarray:
        return np.zeros((1, self.kinds), np.int64)

    def of_words(self, words: Sequence[str]) -> np.ndarray:
        """The ids of each word, U×K (int64)."""
        if not words:
            return np.zeros((0, self.kinds), np.int64)
        as_is, length = code_points(words, _LONGEST_WORD)
        small, small_length = code_points([word.lower() for word in words], _LONGEST_WORD)
        hashes = [_whole(as_is, length), _whole(small, small_length), _shape(as_is, length)]
        hashes += [_suffix(small, small_length, size) for size in self.suffixes]
        hashes += [_prefix(small, small_length, size) for size in self.prefixes]
        hashes += [hashes[1]] if self.clusters else []
        found = np.empty((len(words), len(hashes)), np.int64)
        first = 1
        for place, (one, buckets) in enumerate(zip(hashes, self._every, strict=True)):
            salted = mixed(one + np.uint32(place)).astype(np.int64)
            found[:, place] = first + salted % buckets
            first += buckets
        return found

    def of_sentences(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Ids N×T×K (int64) of sentences, padded to the longest one's T words."""
        index, known = indexed(sentences)
        table = np.concatenate([self.of_words(known), self._padding])
        longest = max(1, max(map(len, sentences), default=1))
        rows = np.full((len(sentences), longest), len(known), np.int64)
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        rows[np.arange(longest) < lengths[:, None]] = index
        return table[rows]

    def __call__(self, raw: Any) -> np.ndarray:
        """Ids N×T×K (int64) of N texts, or of one; raises ValueError for what are no texts."""
        return self.of_sentences([self.words_of(text) for text in texts_of(raw)])

    def words_of(self, text: str) -> list[str]:
        """The words of a text, by `rules`."""
        return words_of(text) if self.rules else text.split()

    def shape_of(self, shape: Any) -> tuple[int, ...]:
        """1×1×K: the number of words varies."""
        return (1, 1, self.kinds)

    def _stream(
        self, sentences: Sequence[Sequence[str]]
    ) -> tuple[np.ndarray, int, Callable[[int, int], np.ndarray]]:
        """Sentences one after the other, as `rows` reads them.

        The place of each word, the number of places, and the ids of the places from one to another.
        """
        index, known = indexed(sentences)
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        place_P, size = positions(lengths, self.reach)
        table = np.concatenate([self.of_words(known), self._padding])
        stream = np.full(size, len(known), np.int64)
        stream[place_P] = index
        return place_P, size, lambda first, end: table[stream[first:end]]


@dataclass(frozen=True, kw_only=True)
class HashedWords(WordIds):
    """The ids of each word, for a network that scores the labels of words.

    Its fields are those of WordIds, which raises ValueError for others.
    """

    job: ClassVar[str] = "tag"

    def scores(self, labels: int) -> int:
        """One for each label."""
        return labels

    def answers(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        run: Run,
        *,
        spaces: bool = False,
    ) -> list[list[tuple[str, str]]]:
        """For each text its words with their labels.

        `spaces`: words are what stands between white space, whatever `rules` are.
        """
        words = [text.split() if spaces else self.words_of(text) for text in texts]
        return self.of_words_given(words, labels, run)

    def of_words_given(
        self, sentences: Sequence[Sequence[str]], labels: Sequence[str], run: Run
    ) -> list[list[tuple[str, str]]]:
        """For each sentence its words with their labels."""
        found: list[list[tuple[str, str]]] = []
        for batch in _batches(sentences):
            place_P, size, ids = self._stream(batch)
            best = scored(size, ids, self.reach, run)
            names = iter([labels[int(one)] for one in best[place_P]])
            for words in batch:
                tags = islice(names, len(words))
                found.append([*zip(words, tags, strict=True)])
        return found

    def described(self, text: str, answer: Any) -> dict[str, Any]:
        """The text, its words and their tags."""
        return {
            "text": text,
            "words": [word for word, _ in answer],
            "tags": [tag for _, tag in answer],
        }

    def line(self, answer: Any) -> str:
        """Each word, an underscore and its tag, with spaces between."""
        return " ".join(f"{word}_{tag}" for word, tag in answer)


def _batches(sentences: Sequence[Sequence[str]]):
    """Sentences in lists of at most about `_BATCH` words, and at least one."""
    batch: list[Sequence[str]] = []
    words = 0
    for sentence in sentences:
        if batch and words + len(sentence) > _BATCH:
            yield batch
            batch, words = [], 0
        batch.append(sentence)
        words += len(sentence)
    if batch:
        yield batch


def indexed(sentences: Sequence[Sequence[str]]) -> tuple[np.ndarray, list[str]]:
    """The distinct words, and for all words of all sentences which of these they are."""
    numbers: dict[str, int] = {}
    index = [numbers.setdefault(word, len(numbers)) for words in sentences for word in words]
    return np.array(index, np.int64), list(numbers)


def _whole(points: np.ndarray, length: np.ndarray) -> np.ndarray:
    return hashed(list(points.T), list(np.arange(points.shape[1])[:, None] < length))


def _prefix(points: np.ndarray, length: np.ndarray, size: int) -> np.ndarray:
    columns = list(points.T[:size])
    return hashed(columns, [at < length for at in range(len(columns))])


def _suffix(points: np.ndarray, length: np.ndarray, size: int) -> np.ndarray:
    rows = np.arange(len(points))
    places = [length - size + at for at in range(size)]
    columns = [points[rows, np.maximum(place, 0)] for place in places]
    return hashed(columns, [place >= 0 for place in places])


def _shape(points: np.ndarray, length: np.ndarray) -> np.ndarray:
    kinds = _LATIN[np.minimum(points, len(_LATIN) - 1)]
    if (others := points >= len(_LATIN)).any():
        distinct, where = np.unique(points[others], return_inverse=True)
        kinds[others] = np.array([_kind(int(one)) for one in distinct], np.uint32)[where]
    columns = kinds.T
    before = np.concatenate([np.full_like(columns[:1], _END), columns[:-1]])
    inside = np.arange(points.shape[1])[:, None] < length
    return hashed(list(columns), list((columns != before) & inside))


def _kind(point: int) -> int:
    letter = chr(point)
    if letter.islower():
        return _LOWER
    if letter.isupper():
        return _UPPER
    if letter.isdigit():
        return _DIGIT
    return _LETTER if letter.isalpha() else point + _LETTER + 1


_LATIN = np.array([_kind(point) for point in range(0x250)], np.uint32)  # most texts have no others
