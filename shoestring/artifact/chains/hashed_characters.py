"""The characters of a text as hashes of what stands around them, without a vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from shoestring.artifact.chains.checks import whole
from shoestring.artifact.chains.hashing import hashed, mixed
from shoestring.artifact.chains.rows import positions, scored
from shoestring.artifact.chains.text_steps import Run, TextStep, texts_of

_MOST_IDS = 1 << 24
_BATCH = 1 << 20  # characters that are computed together, at least
BEGIN, INSIDE = "begin", "inside"
"""The labels of a segmenter."""
_GRAMS = ((0,), (-1, 0), (0, 1), (-1, 1), (-1, 0, 1), (-2, -1, 0), (0, 1, 2))
# Where kinds of characters begin: punctuation, digits, Latin, kana, Han, and others.
_STARTS = (0, 0x30, 0x3A, 0x41, 0x5B, 0x61, 0x7B, 0xC0, 0x2000, 0x3001, 0x3041, 0x30A1, 0x3100)
_MORE = (0x3400, 0xA000, 0xAC00, 0xD7B0, 0xF900, 0xFF00, 0xFF10, 0xFF1A, 0xFF21, 0xFF5B, 0xFF66)
_KINDS = np.array(_STARTS + _MORE, np.uint32)


@dataclass(frozen=True, kw_only=True)
class HashedCharacters(TextStep):
    """For each character a hash of it, of n-grams with its neighbours, and of their kinds.

    The ids of a character are, in this order: itself; with the one before; with the one after; the
    two around it; these three; the last three up to it; the three from it on; and the kinds
    (punctuation, digits, Latin, hiragana, katakana, Han, ...) of it and of two on either side. Each
    place in this order has ids of its own; 0 is padding. Where a text begins or ends, the neighbour
    is 0.

    A network with the labels "begin" and "inside" says at each character whether a word begins. One
    always begins after white space, which belongs to no word.

    Source: Botha et al. 2017, section 4.3 (segmentation with character n-grams in a window).

    `buckets`: how many ids each of the eight places has, 1 to 2^22.
    `reach`: as in TextStep, 0 to 16.

    Raises ValueError for other fields.
    """

    job: ClassVar[str] = "segment"

    buckets: tuple[int, ...] = (4096, 16384, 16384, 8192, 16384, 8192, 8192, 1024)
    reach: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.buckets, tuple) or len(self.buckets) != len(_GRAMS) + 1:
            raise ValueError(f"buckets must be a tuple of {len(_GRAMS) + 1} integers")
        for count in self.buckets:
            whole("a number of buckets", count, 1, 1 << 22)
        whole("reach", self.reach, 0, 16)
        if self.ids > _MOST_IDS:
            raise ValueError(f"{self.ids:,} ids are too many: {_MOST_IDS:,} at most")

    @property
    def ids(self) -> int:
        """How many ids there are, with 0 for padding."""
        return 1 + sum(self.buckets)

    @property
    def kinds(self) -> int:
        """How many ids a character has."""
        return len(self.buckets)

    def of_points(self, points: np.ndarray) -> np.ndarray:
        """The ids of code points (uint32, T, 0 is padding), given two more on either side: T×K."""
        count = len(points) - 4

        def at(offset: int, of: np.ndarray) -> np.ndarray:
            return of[2 + offset : 2 + offset + count]

        kinds = np.searchsorted(_KINDS, points, "right").astype(np.uint32) * (points != 0)
        every = np.ones(count, bool)
        columns = [[at(offset, points) for offset in gram] for gram in _GRAMS]
        columns.append([at(offset, kinds) for offset in range(-2, 3)])
        found = np.empty((count, len(columns)), np.int64)
        first = 1
        for place, (one, buckets) in enumerate(zip(columns, self.buckets, strict=True)):
            salted = mixed(hashed(one, [every] * len(one)) + np.uint32(place)).astype(np.int64)
            found[:, place] = first + salted % buckets
            first += buckets
        found[at(0, points) == 0] = 0
        return found

    def scores(self, labels: int) -> int:
        """One for each label."""
        return labels

    def __call__(self, raw: Any) -> np.ndarray:
        """Ids N×T×K (int64) of N texts, or of one; raises ValueError for what are no texts."""
        texts = texts_of(raw)
        longest = max(1, max(map(len, texts), default=1))
        made = np.zeros((len(texts), longest, len(self.buckets)), np.int64)
        for row, text in zip(made, texts, strict=True):
            row[: len(text)] = self.of_points(np.pad(_points([text]), 2))
        return made

    def shape_of(self, shape: Any) -> tuple[int, ...]:
        """1×1×K: the number of characters varies."""
        return (1, 1, len(self.buckets))

    def answers(self, texts: Sequence[str], labels: Sequence[str], run: Run) -> list[list[str]]:
        """For each text its words; raises ValueError for other labels than begin and inside."""
        if tuple(labels) != (BEGIN, INSIDE):
            raise ValueError(f"a segmenter has the labels {BEGIN} and {INSIDE}, not {labels[:4]}")
        found: list[list[str]] = []
        apart = max(2, self.reach)  # so that no text sees another
        for batch in _batches(texts):
            lengths = np.fromiter(map(len, batch), np.int64, len(batch))
            place_P, size = positions(lengths, apart)
            stream = np.zeros(size + 4, np.uint32)
            stream[place_P + 2] = _points(batch)
            best = scored(
                size, lambda a, b, of=stream: self.of_points(of[a : b + 4]), self.reach, run
            )
            begins_P = best[place_P] == 0
            ends = lengths.cumsum()
            for text, length, end in zip(batch, lengths, ends, strict=True):
                found.append(_words(text, begins_P[end - length : end]))
        return found

    def described(self, text: str, answer: Any) -> dict[str, Any]:
        """The text and its words."""
        return {"text": text, "words": answer}

    def line(self, answer: Any) -> str:
        """The words with spaces between."""
        return " ".join(answer)


def _points(texts: Sequence[str]) -> np.ndarray:
    """The code points of texts, one after the other; NUL, which would be padding, as U+FFFD."""
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.where(points == 0, 0xFFFD, points).astype(np.uint32)


def _words(text: str, begins: np.ndarray) -> list[str]:
    cuts = [0, *begins.nonzero()[0].tolist(), len(text)]
    pieces = [text[a:b] for a, b in pairwise(cuts) if a < b]
    return [word for piece in pieces for word in piece.split()]


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters > _BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
