"""Hashed n-grams: the pieces of a text as numbers, without a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoestring.artifact.chains.checks import whole

_OFFSET, _PRIME = 2166136261, 16777619
_LONGEST_TEXT = 1 << 20


@dataclass(frozen=True, kw_only=True)
class HashedNgrams:
    """The ids of a text's n-grams of bytes, in the order of the text; 0 is padding.

    A text is UTF-8, with capital letters of ASCII made small. At each byte begins an n-gram of each
    length that fits, the lengths in their order. Its id is 1 + FNV-1a (32 bits) modulo `buckets`.

    Source: Weinberger et al. 2009; Bojanowski et al. 2017, section 3.2 (FNV-1a).

    `lengths`: of the n-grams in bytes, each 1 to 8.
    `buckets`: how many ids besides padding, 1 to 2^24.
    `most`: how many n-grams of a text count, 1 to 65,536.

    Raises ValueError for other fields.
    """

    lengths: tuple[int, ...] = (3,)
    buckets: int = 1 << 12
    most: int = 256

    def __post_init__(self) -> None:
        if not isinstance(self.lengths, tuple) or not 1 <= len(self.lengths) <= 8:
            raise ValueError("lengths must be a tuple of 1 to 8 integers")
        for length in self.lengths:
            whole("a length", length, 1, 8)
        if len(set(self.lengths)) < len(self.lengths):
            raise ValueError(f"lengths are {self.lengths}: two are the same")
        whole("buckets", self.buckets, 1, 1 << 24)
        whole("most", self.most, 1, 1 << 16)

    def __call__(self, raw: Any) -> np.ndarray:
        """Ids N×most (int64).

        `raw`: N texts, or one. What is beyond the first MB of a text is not read: no id is left
            for it.
        Raises ValueError for what are no texts.
        """
        texts = [raw] if isinstance(raw, str) else raw
        if not is_text(raw):
            raise ValueError(f"texts are wanted, and this is {type(raw).__name__}: give strings")
        ids = np.zeros((len(texts), self.most), np.int64)
        for row, text in zip(ids, texts, strict=True):
            found = self._ids(text[:_LONGEST_TEXT].encode("utf-8", "replace").lower())
            row[: len(found)] = found
        return ids

    def _ids(self, data: bytes) -> list[int]:
        found: list[int] = []
        for start in range(min(len(data), self.most)):
            for length in self.lengths:
                if start + length <= len(data) and len(found) < self.most:
                    hashed = _OFFSET
                    for byte in data[start : start + length]:
                        hashed = (hashed ^ byte) * _PRIME & 0xFFFFFFFF
                    found.append(1 + hashed % self.buckets)
            if len(found) == self.most:
                break
        return found

    def shape_of(self, _: Any) -> tuple[int, ...]:
        """The shape of the ids of one text."""
        return (1, self.most)


def is_text(value: Any) -> bool:
    """Whether a value is a text, or a list or tuple of texts, one or more."""
    if isinstance(value, str):
        return True
    return (
        isinstance(value, Sequence)
        and not isinstance(value, bytes | bytearray)
        and len(value) > 0
        and all(isinstance(one, str) for one in value)
    )
