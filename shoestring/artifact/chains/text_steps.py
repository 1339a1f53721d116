"""Steps that take texts, and what a network's scores then say about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]
"""The network: the input that a step makes, in; scores, whose last axis is that of labels, out."""


class TextStep(ABC):
    """The first and only step of a chain that takes texts and whose scores have labels.

    It is a frozen, keyword-only dataclass of integers and tuples of integers, which the file's note
    holds.

    `job`: what the command that uses such a file is called: "tag", "segment", "identify" or
        "preorder", "complete".
    `carries_state`: whether the network reads one id of each text at a time and hands a state on;
        its scores are then of the ids themselves, and need no labels.
    `reach`: of a network that reads a row of places, how many places on either side of one can
        change its scores; 0 where each text has one row of scores.
    """

    job: ClassVar[str]
    carries_state: ClassVar[bool] = False

    @property
    @abstractmethod
    def ids(self) -> int:
        """How many ids there are, with 0 for padding."""

    @abstractmethod
    def scores(self, labels: int) -> int:
        """How many numbers the network gives at each place (of each text), for so many labels."""

    @abstractmethod
    def __call__(self, raw: Any) -> np.ndarray:
        """The network's input of N texts, or of one: axis 0 is the text.

        Raises ValueError for what are no texts.
        """

    @abstractmethod
    def shape_of(self, shape: Any) -> tuple[int, ...]:
        """The shape of the input of one text; 1 on an axis that varies."""

    @abstractmethod
    def answers(self, texts: Sequence[str], labels: Sequence[str], run: Run) -> list[Any]:
        """The answer to each text, in memory that is bounded whatever the texts are.

        `labels`: the name of each score.
        """

    @abstractmethod
    def described(self, text: str, answer: Any) -> dict[str, Any]:
        """An answer as what JSON can hold, with the text."""

    @abstractmethod
    def line(self, answer: Any) -> str:
        """An answer as a line of text."""


def texts_of(raw: Any) -> list[str]:
    """N texts, given N texts or one; raises ValueError for others."""
    if isinstance(raw, str):
        return [raw]
    if not isinstance(raw, Sequence) or isinstance(raw, bytes | bytearray):
        raise ValueError(f"texts are wanted, and this is {type(raw).__name__}: give strings")
    for one in raw:
        if not isinstance(one, str):
            raise ValueError(f"texts are wanted, and one is {type(one).__name__}: give strings")
    return list(raw)
