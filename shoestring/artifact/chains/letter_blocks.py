"""Which labels the script of a text leaves, by the blocks of Unicode that its letters are in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from shoestring.artifact.chains.checks import whole

_PAGES = 0x1100  # of 256 code points
BLOCKS = 2 * _PAGES
"""How many blocks of 128 code points Unicode has: most scripts begin with one."""
_MOST_PAIRS = 256  # of blocks, in all sets: it bounds how many kinds of blocks there are


@dataclass(frozen=True, kw_only=True)
class LetterBlocks:
    """Blocks of 128 code points by the sets that they are in; those in the same are of one kind.

    `kind_of`: the kind of each block, 8,704 numbers (uint16) from 0 to C - 1.
    `known_C`: 1 for the kinds of blocks on whose pages training had letters, else 0 (float64).
    `inside_SC`: 1 where a kind of blocks is in a set (S×C, float64: products of integers are slow).
    """

    kind_of: np.ndarray
    known_C: np.ndarray
    inside_SC: np.ndarray

    @property
    def kinds(self) -> int:
        """How many kinds of blocks there are, C."""
        return len(self.known_C)

    def known(self, letters_NC: np.ndarray) -> np.ndarray:
        """The share of letters that is of known pages, N; 0 where there are none."""
        return letters_NC @ self.known_C / np.maximum(letters_NC.sum(1), 1)

    def inside(self, letters_NC: np.ndarray) -> np.ndarray:
        """The share of letters that is in each set of blocks, N×S; 0 where there are none."""
        return letters_NC @ self.inside_SC.T / np.maximum(letters_NC.sum(1), 1)[:, None]


@lru_cache(maxsize=16)
def letter_blocks(pages: tuple[int, ...], scripts: tuple[int, ...]) -> LetterBlocks:
    """The kinds of blocks of `HashedText.pages` and `HashedText.scripts`."""
    known = _member(pages, _PAGES) if pages else np.ones(_PAGES, bool)
    sets = [np.repeat(known, 2), *(_member(one, BLOCKS) for one in _sets(scripts))]
    kinds, kind_of = np.unique(np.stack(sets), axis=1, return_inverse=True)
    return LetterBlocks(
        kind_of=np.ascontiguousarray(kind_of.reshape(-1), np.uint16),
        known_C=kinds[0].astype(np.float64),
        inside_SC=kinds[1:].astype(np.float64),
    )


def check_pages(pages: tuple[int, ...]) -> None:
    """Raise ValueError unless these are up to 512 pairs of pages."""
    if not isinstance(pages, tuple) or len(pages) > 1024 or len(pages) % 2:
        raise ValueError("pages must be a tuple of pairs of integers, 512 pairs at most")
    for page in pages:
        whole("a page", page, 0, _PAGES - 1)


def check_scripts(scripts: tuple[int, ...], script_of: tuple[int, ...]) -> None:
    """Raise ValueError unless these are `HashedText.scripts` and `HashedText.script_of`."""
    if not isinstance(scripts, tuple) or not isinstance(script_of, tuple):
        raise ValueError("scripts and script_of must be tuples of integers")
    if bool(scripts) != bool(script_of):
        raise ValueError("scripts and script_of go together: give both, or none")
    if len(scripts) > 3 * _MOST_PAIRS:
        raise ValueError(f"scripts have {len(scripts):,} integers: {3 * _MOST_PAIRS} at most")
    for one in scripts:
        whole("a number of scripts", one, 0, BLOCKS - 1)
    sets = list(_sets(scripts))
    if not all(sets):
        raise ValueError("scripts must be a number of pairs, these pairs of blocks, and so on")
    for one in script_of:
        whole("a number in script_of", one, 0, len(sets) - 1)


def flat(sets: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Sets of blocks, each as pairs, as `HashedText.scripts`; None where that takes too many."""
    if sum(len(one) // 2 for one in sets) > _MOST_PAIRS:
        return None
    return tuple(number for one in sets for number in (len(one) // 2, *one))


def _sets(scripts: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The pairs of each set; none of the last where numbers lack."""
    at = 0
    while at < len(scripts):
        until = at + 1 + 2 * scripts[at]
        found = scripts[at + 1 : until]
        yield found if until <= len(scripts) else ()
        at = until


def _member(pairs: tuple[int, ...], among: int) -> np.ndarray:
    """Whether each of so many is in a set, given its pairs of a first one and a last one."""
    member = np.zeros(among, bool)
    for first, last in zip(pairs[::2], pairs[1::2], strict=True):
        member[first : last + 1] = True
    return member
