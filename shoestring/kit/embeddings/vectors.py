"""Ways to make a vector for each of many words from fewer numbers: behind one interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import ceil, isqrt
from typing import Any

import torch
from torch import Tensor, nn

_PRIME = 2_147_483_647  # 2^31 - 1: products of two numbers below it fit in 63 bits


class WordVectors(nn.Module, ABC):
    """A vector for each word, made from parameters that are shared among words.

    `words`: how many words there are, V.
    `width`: of a vector, D.
    """

    words: int
    width: int

    @abstractmethod
    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of words: ids N×… to N×…×D."""

    def table(self) -> Tensor:
        """The vectors of all words, V×D."""
        parameter = next(self.parameters())
        return self(torch.arange(self.words, device=parameter.device))

    def extra_repr(self) -> str:
        """The number of words and the width, for the module's repr."""
        return f"words={self.words}, width={self.width}"


class FullVectors(WordVectors):
    """A vector of its own for each word: V·D numbers."""

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.words, self.width = _checked(words, width)
        self.weight = nn.Parameter(torch.empty(words, width).uniform_(-0.1, 0.1))

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of words: ids N×… to N×…×D."""
        return nn.functional.embedding(ids, self.weight)

    def table(self) -> Tensor:
        """The vectors of all words, V×D."""
        return self.weight


class LowRankVectors(WordVectors):
    """A short vector for each word, times a matrix that all share: (V + D)·rank numbers.

    `rank`: the length of the short vectors, 1 to the width.
    """

    def __init__(self, words: int, width: int, rank: int) -> None:
        super().__init__()
        self.words, self.width = _checked(words, width)
        if not 1 <= rank <= width:
            raise ValueError(f"a rank of {rank}: it must be from 1 to the width, {width}")
        self.codes = nn.Parameter(torch.empty(words, rank).uniform_(-0.1, 0.1))
        self.basis = nn.Parameter(torch.empty(rank, width).normal_(std=rank**-0.5))

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of words: ids N×… to N×…×D."""
        return nn.functional.embedding(ids, self.codes) @ self.basis

    def table(self) -> Tensor:
        """The vectors of all words, V×D."""
        return self.codes @ self.basis


class SlimVectors(WordVectors):
    """A vector is cut into parts, and words share parts, chosen at random: pool·D numbers.

    Source: Li, Kulhanek, Wang, Zhao & Wu 2018, section 3.
    Differs: a hash of the word's id chooses, so that no table of choices is stored; parts are used
    about equally often, not exactly.

    `pool`: how many sub-vectors there are for each part, 1 or more.
    `parts`: into how many parts of one length a vector is cut.
    """

    def __init__(self, words: int, width: int, pool: int, parts: int = 8) -> None:
        super().__init__()
        self.words, self.width = _checked(words, width)
        if width % parts or pool < 1:
            raise ValueError(
                f"{parts} parts of a pool of {pool}: the pool must be 1 or more, and the parts "
                f"must divide the width, {width}"
            )
        self.pool, self.parts = pool, parts
        self.weight = nn.Parameter(torch.empty(parts * pool, width // parts).uniform_(-0.1, 0.1))

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of words: ids N×… to N×…×D."""
        chosen = [hashed(ids, part, self.pool) + part * self.pool for part in range(self.parts)]
        return nn.functional.embedding(torch.stack(chosen, -1), self.weight).flatten(-2)


class HashedVectors(WordVectors):
    """A weighted sum of a few shared vectors that hashes choose: buckets·D + hashes·V numbers.

    The weights are each word's own.
    Source: Svenstrup, Hansen & Winther 2017, section 3.

    `buckets`: how many shared vectors there are, 1 or more.
    `hashes`: how many of them make a word's vector, 1 or more.
    """

    def __init__(self, words: int, width: int, buckets: int, hashes: int = 2) -> None:
        super().__init__()
        self.words, self.width = _checked(words, width)
        if buckets < 1 or hashes < 1:
            raise ValueError(f"{buckets} buckets, {hashes} hashes: both must be 1 or more")
        self.buckets, self.hashes = buckets, hashes
        self.weight = nn.Parameter(torch.empty(buckets, width).uniform_(-0.1, 0.1))
        self.importance = nn.Parameter(torch.empty(words, hashes).normal_(1.0, 0.1))

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of words: ids N×… to N×…×D."""
        importance = nn.functional.embedding(ids, self.importance)
        return sum(  # type: ignore[return-value]
            importance[..., one : one + 1]
            * nn.functional.embedding(hashed(ids, one, self.buckets), self.weight)
            for one in range(self.hashes)
        )


class QuotientRemainderVectors(WordVectors):
    """A vector of the id's quotient, times one of its remainder, element by element.

    There are (buckets + V / buckets)·D numbers, at the least 2·√V·D.
    Source: Shi, Mudigere, Naumov & Yang 2020, section 3 (multiplication).

    `buckets`: by how many the id is divided; None: √V.
    """

    def __init__(self, words: int, width: int, buckets: int | None = None) -> None:
        super().__init__()
        self.words, self.width = _checked(words, width)
        self.buckets = isqrt(words - 1) + 1 if buckets is None else buckets
        if self.buckets < 1:
            raise ValueError(f"{buckets} buckets: there must be 1 or more")
        quotients = ceil(words / self.buckets)
        self.remainders = nn.Parameter(torch.empty(self.buckets, width).normal_(std=0.25))
        self.quotients = nn.Parameter(torch.empty(quotients, width).normal_(std=0.25))

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors of words: ids N×… to N×…×D."""
        quotients = torch.div(ids, self.buckets, rounding_mode="floor")
        return nn.functional.embedding(quotients, self.quotients) * nn.functional.embedding(
            ids - quotients * self.buckets, self.remainders
        )


def hashed(ids: Tensor, function: int, buckets: int) -> Tensor:
    """A hash of each id, 0 to buckets - 1: (a·id + b) mod 2^31 - 1, mod buckets.

    Source: Carter & Wegman 1979 (a universal family).

    `function`: which function of the family, 0 or more.
    """
    a, b = _draw(2 * function), _draw(2 * function + 1)
    return (ids * a + b) % _PRIME % buckets


def _draw(number: int) -> int:
    """A number from 1 to 2^31 - 2 that looks random: the Lehmer generator, far from its start."""
    return pow(48271, 1000 + 17 * number, _PRIME)


def _checked(words: Any, width: Any) -> tuple[int, int]:
    for name, value in (("words", words), ("width", width)):
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r}: give an integer, 1 or more")
    return words, width
