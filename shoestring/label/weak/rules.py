"""Rules that need no code: words in a text, ids in a row of ids, and limits of a number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from shoestring.label.example import Example


@final
@dataclass(frozen=True)
class Says:
    """Votes for a class where a text has one of some words.

    `votes`: the class, by number or name.
    `words`: words or phrases, in whole words and whichever case: "not worth" is in "Not worth it".
        A * at the end of a word stands for any ending.
    `unless`: words that make it abstain.

    Raises TypeError for words that are no tuple of texts, and ValueError for none or empty ones.
    """

    votes: int | str
    words: tuple[str, ...]
    unless: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_words("words", self.words)
        _check_words("unless", self.unless)
        if not self.words:
            raise ValueError("words=() are in no text: give one or more")

    @property
    def __name__(self) -> str:  # type: ignore[override]
        return f"{self.votes}: {', '.join(self.words[:3])}{', …' if len(self.words) > 3 else ''}"

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str] | None]:
        return _pattern(self.words), _pattern(self.unless) if self.unless else None

    def __call__(self, example: Example | str) -> int | str | None:
        """The class, or None where no such word is there, or there is no text."""
        text = example.text if isinstance(example, Example) else example
        says, unless = self._patterns
        if not text or not says.search(text) or (unless is not None and unless.search(text)):
            return None
        return self.votes


def _check_words(what: str, words: Any) -> None:
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise TypeError(
            f"{what}={words!r}: give a tuple of texts, such as {what}=({str(words)!r},)"
        )
    if any(not word.strip(" *\t\n") for word in words):
        raise ValueError(f"{what}={words!r} has an empty word, which is in every text: remove it")


def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    inner = "|".join(
        re.escape(word).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for word in words
    )
    return re.compile(rf"(?<!\w)(?:{inner})(?!\w)", re.IGNORECASE)


@final
@dataclass(frozen=True)
class HasAny:
    """Votes for a class where a row of ids has one of some ids.

    `votes`: the class, 0 or more.
    `ids`: such as those that a vocabulary gives to words.
    """

    votes: int
    ids: tuple[int, ...]

    def __call__(self, ids_T: Any) -> int | None:
        """The class, or None."""
        return self.votes if np.isin(np.asarray(ids_T), self.ids).any() else None


@final
@dataclass(frozen=True)
class Between:
    """Votes for a class where one number of an example lies between two.

    `votes`: the class, 0 or more.
    `place`: of the number in the example, which is flattened: the column of a row, from 0.
    `least`, `most`: the smallest and the largest number that is meant; None for no limit.
    """

    votes: int
    place: int
    least: float | None = None
    most: float | None = None

    def __call__(self, row: Any) -> int | None:
        """The class, or None; NaN is between no numbers. Raises IndexError for no such place."""
        value = float(np.asarray(row).reshape(-1)[self.place])
        above = self.least is None or value >= self.least
        below = self.most is None or value <= self.most
        return self.votes if above and below and value == value else None
