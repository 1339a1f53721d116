"""Texts of a heap in the order in which they answer a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from shoestring.artifact.errors import missing


@final
class TextIndex:
    """The words of texts, to be searched by BM25.

        index = TextIndex([example.text for example in collection.examples])
        scores = index.scores("delivery was late")

    `texts`: N of them; an empty text is found by no query.
    `stop_words`: the language whose most frequent words do not count, such as "en"; "" for none.

    The search is that of the library bm25s (Lù 2024), in its variant of Lucene with k1=1.5 and
    b=0.75 (Robertson & Zaragoza 2009, section 3).

    Raises ModuleNotFoundError without bm25s, ValueError for no text with a word in it.
    """

    def __init__(self, texts: Sequence[str], stop_words: str = "en") -> None:
        try:
            import bm25s
        except ImportError as error:
            raise missing("bm25s", extra="retrieve", what="A search in texts") from error
        self._stop_words: Any = stop_words or []
        self._tokenize = bm25s.tokenize
        words = self._words(texts)
        if not any(words):
            raise ValueError(
                f"none of {len(texts)} texts has a word that counts: give texts, or stop_words=''"
            )
        self._model = bm25s.BM25()
        self._model.index(words, show_progress=False)
        self._known = frozenset(self._model.vocab_dict)
        self._count = len(texts)

    def scores(self, query: str) -> np.ndarray:
        """How well each text answers a query, N (float32), 0 or more; higher is better.

        All are 0 where no text has a word of the query.
        """
        known = [word for word in self._words([query])[0] if word in self._known]
        if not known:
            return np.zeros(self._count, dtype=np.float32)
        return self._model.get_scores(known)

    def unknown(self, query: str) -> tuple[str, ...]:
        """The words of a query that no text has."""
        return tuple(word for word in self._words([query])[0] if word not in self._known)

    def _words(self, texts: Sequence[str]) -> list[list[str]]:
        found = self._tokenize(
            list(texts), stopwords=self._stop_words, return_ids=False, show_progress=False
        )
        assert isinstance(found, list)  # without return_ids
        return found
