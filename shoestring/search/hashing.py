"""What networks of tables and of texts share: rows of embeddings, and hashes of ids to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

PRIME = 2**31 - 1
"""Ids are below it, so that no product in a hash leaves int64."""


class Rows(ABC):
    """How many rows a table of embeddings has; frozen."""

    @abstractmethod
    def count(self, ids: int) -> int:
        """The rows of a table for so many ids."""


@final
@dataclass(frozen=True)
class RowEach(Rows):
    """A row for each id."""

    def count(self, ids: int) -> int:
        return ids


@final
@dataclass(frozen=True)
class HashedRows(Rows):
    """Ids are hashed to fewer rows: those that meet there share one.

    Source: Weinberger et al. 2009, section 2; the hash: Wegman & Carter 1981, section 3
    (polynomials over a prime field; of degree 2, since neighbours among ids are usual).
    Differs: the rows are learnt, and there is no second hash for a sign.

    `rows`: 1 to 2³¹ - 1.

    Raises ValueError for a number out of range.
    """

    rows: int = 1000

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= PRIME:
            raise ValueError(f"ids hashed to {self.rows} rows: give 1 to {PRIME:,}")

    def count(self, ids: int) -> int:
        return self.rows


_OTHER = 1_784_843_419
HASHED = f'''\
PRIME = {PRIME}  # products of two numbers below it are exact in int64


def hashed(key, factor, rows):
    """Integers below PRIME to rows; a factor makes a hash of its own."""
    return ((key * factor + {_OTHER}) % PRIME * key + 1) % PRIME % rows


'''
"""What hashes, once in the code of a network."""
FACTORS = (1_218_014_333, 1_684_919_826, 1_983_666_871, 1_935_167_372)
"""Of hashes that are to differ: drawn at random below PRIME, and found to spread small ids well."""


def same_hash(key: int, factor: int, rows: int) -> int:
    """What `hashed` does in the code of a network, in Python's unlimited integers."""
    return ((key * factor + _OTHER) % PRIME * key + 1) % PRIME % rows
