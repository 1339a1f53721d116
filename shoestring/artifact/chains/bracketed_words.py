"""The words of a text in another order, by brackets that a network decides on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from shoestring.artifact.chains.bracketing import SLOTS, Decisions, ordered
from shoestring.artifact.chains.checks import whole
from shoestring.artifact.chains.hashed_words import WordIds
from shoestring.artifact.chains.rows import outputs
from shoestring.artifact.chains.text_steps import Run

_WORDS_AT_ONCE = 1 << 13
_ENDS = frozenset(".!?")


@dataclass(frozen=True, kw_only=True)
class BracketedWords(WordIds):
    """For each word the ids of WordIds; what a network makes of them puts the words in order.

    A text is cut in two again and again, and at each cut the parts stay as they are or change
    places (`bracketing.ordered`). The network gives each word, for each of the two labels, SLOTS ×
    `units` numbers, of which `bracketing.Decisions` computes the score of a cut. So the network
    runs once for a text, however many cuts are tried.

    Source: Nakagawa 2015 (decisions from the top down); Botha et al. 2017, section 4.4 (a small
    feed-forward network makes them).
    Differs: the first layer is computed once for each word and not for each cut; the words inside a
    part count by their mean.

    `units`: hidden units of a label's score, even, 2 to 256.
    `most`: words that are ordered together, 2 to 1,024. A longer text is cut after the last
        full stop, question or exclamation mark that leaves so many words or fewer, or else after
        `most` words, and its pieces keep their order.
    The other fields are those of WordIds.

    Raises ValueError for other fields.
    """

    job: ClassVar[str] = "preorder"

    reach: int = 3
    rules: int = 1
    units: int = 16
    most: int = 128

    def __post_init__(self) -> None:
        whole("units", self.units, 2, 256)
        whole("most", self.most, 2, 1024)
        if self.units % 2:
            raise ValueError(f"units is {self.units}: half of them count against, so make it even")
        super().__post_init__()

    def scores(self, labels: int) -> int:
        """For each label SLOTS × units."""
        return labels * SLOTS * self.units

    def answers(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        run: Run,
        *,
        spaces: bool = False,
    ) -> list[list[tuple[str, int]]]:
        """For each text its words in the new order, each with its place in the text, from 0.

        `spaces`: words are what stands between white space, whatever `rules` are.
        """
        words = [text.split() if spaces else self.words_of(text) for text in texts]
        orders = self.of_words_given(words, run)
        return [
            [(one[place], place) for place in order]
            for one, order in zip(words, orders, strict=True)
        ]

    def of_words_given(self, sentences: Sequence[Sequence[str]], run: Run) -> list[list[int]]:
        """For each sentence the places of its words, from 0, in their new order."""
        found: list[list[int]] = [[] for _ in sentences]
        for batch in self._batches(sentences):
            lengths = np.array([len(words) for _, words in batch], np.int64)
            place_P, size, ids = self._stream([words for _, words in batch])
            given = outputs(size, ids, self.reach, run)
            order_P = ordered(lengths, Decisions(given[place_P]).best).tolist()
            at = 0
            for number, words in batch:
                more = len(found[number]) - at
                found[number] += [place + more for place in order_P[at : at + len(words)]]
                at += len(words)
        return found

    def _batches(
        self, sentences: Sequence[Sequence[str]]
    ) -> Iterator[list[tuple[int, Sequence[str]]]]:
        """Pieces of sentences with the sentence's number, about `_WORDS_AT_ONCE` words together."""
        batch: list[tuple[int, Sequence[str]]] = []
        words = 0
        for number, sentence in enumerate(sentences):
            for piece in self._pieces(sentence):
                batch.append((number, piece))
                words += len(piece)
                if words >= _WORDS_AT_ONCE:
                    yield batch
                    batch, words = [], 0
        if words:
            yield batch

    def _pieces(self, words: Sequence[str]) -> Iterator[Sequence[str]]:
        """A sentence in pieces of at most `most` words."""
        while len(words) > self.most:
            ends = (at for at in range(self.most, 0, -1) if words[at - 1] in _ENDS)
            end = next(ends, self.most)
            yield words[:end]
            words = words[end:]
        yield words

    def described(self, text: str, answer: Any) -> dict[str, Any]:
        """The text, its words in the new order, and the place of each in the text, from 0."""
        return {
            "text": text,
            "words": [word for word, _ in answer],
            "places": [place for _, place in answer],
        }

    def line(self, answer: Any) -> str:
        """The words in the new order, with spaces between."""
        return " ".join(word for word, _ in answer)
