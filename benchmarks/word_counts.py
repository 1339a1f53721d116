"""A language model of counts: interpolated modified Kneser-Ney (Chen & Goodman 1999, section 3).

The baseline of `light_rnn.py`. A word's probability is that of the n-grams that end with it: each
count is lowered by a discount, and what the discounts leave goes to the n-grams that are shorter by
a word. Of these it counts after how many different words they come. The shortest are mixed with
equal probabilities. Nothing is pruned, and the discounts are the closed formulas of the paper.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

Discounts = tuple[float, float, float]
MOST_WORDS = 2**16  # ids are packed as two bytes
_HEAD = struct.Struct("<cIB")  # what is packed, the number of words, the longest n-gram's words
_TEXT, _TABLE = b"T", b"N"


@dataclass(frozen=True, kw_only=True, eq=False)
class Level:
    """The n-grams of one length n, in the order of their ids.

    `keys`: of each, the number of its first n-1 words in the level before, times the number of
        words, plus its last word (int64, rising).
    `counts`: how often each comes; below the longest, after how many different words.
    `discounts`: what is taken from a count of 1, of 2, and of 3 or more.
    `lowered`: the counts less their discounts.
    `totals`, `spare`: of each n-gram of the level before, the sum of the counts that follow it, and
        of their discounts.
    """

    keys: np.ndarray
    counts: np.ndarray
    discounts: Discounts
    lowered: np.ndarray
    totals: np.ndarray
    spare: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class WordCounts:
    """Predicts ids as the networks do: it takes ids N×(T+1), and gives N×T log-probabilities.

    They are in nats, and those of all words sum to 1. Of a window, the first words are predicted
    from those of the window alone.

    `words`: how many ids there are.
    `levels`: the n-grams, the shortest first.
    """

    words: int
    levels: tuple[Level, ...]

    def __call__(self, ids: Tensor) -> Tensor:
        """The log-probabilities of all ids but the first of each window."""
        window = ids.numpy().astype(np.int64)
        likely = np.full(window.shape, 1 / self.words)
        begun = np.zeros_like(window)  # the number of the words before, -1 where they are new
        for level in self.levels:
            wanted = begun * self.words + window
            place = np.searchsorted(level.keys, wanted).clip(max=len(level.keys) - 1)
            seen = (begun >= 0) & (level.keys[place] == wanted)
            before = begun.clip(min=0)
            total = np.where(begun >= 0, level.totals[before], 0)
            mixed = np.where(seen, level.lowered[place], 0) + level.spare[before] * likely
            likely = np.where(total > 0, mixed / total.clip(min=1), likely)
            begun = np.full_like(window, -1)
            begun[:, 1:] = np.where(seen, place, -1)[:, :-1]
        return torch.from_numpy(np.log(likely[:, 1:]))

    def numbers(self) -> int:
        """How many counts there are, of n-grams of all lengths."""
        return sum(len(level.keys) for level in self.levels)

    def memory(self) -> int:
        """The bytes of the arrays that predict."""
        return sum(
            array.nbytes
            for level in self.levels
            for array in (level.keys, level.lowered, level.totals, level.spare)
        )


def counted(
    text: np.ndarray, words: int, longest: int, discounts: Discounts | None = None
) -> WordCounts:
    """The model of a text.

    `text`: ids, T (integers from 0 to `words`-1).
    `words`: how many ids there are, at most 65,536.
    `longest`: the words of the longest n-grams, 1 or more.
    `discounts`: those of all lengths; None: estimated for each length.
    Raises ValueError for numbers out of range, and where a text is too short to estimate discounts.
    """
    if not 1 <= words <= MOST_WORDS:
        raise ValueError(f"there are {words} words: there must be from 1 to {MOST_WORDS}")
    if not 1 <= longest <= len(text):
        raise ValueError(
            f"the longest n-grams have {longest} words: they must have from 1 to {len(text)}, as "
            "many as the text"
        )
    ids = np.asarray(text, np.int64)
    if ids.min() < 0 or ids.max() >= words:
        raise ValueError(
            f"ids are from {ids.min()} to {ids.max()}: they must be from 0 to {words - 1}"
        )
    levels, begun, counts = list[np.ndarray](), np.zeros_like(ids), ids
    for length in range(1, longest + 1):
        keys, begun, counts = np.unique(
            begun * words + ids[length - 1 :], return_inverse=True, return_counts=True
        )
        levels.append(keys)
        begun = begun[:-1]
    return _model(words, levels, counts, discounts)


def estimated(counts: np.ndarray) -> Discounts:
    """The discounts of counts of 1, of 2, and of 3 or more: Chen & Goodman 1999, equation 26.

    Raises ValueError where no n-gram has a count of 1, of 2 or of 3, and for discounts below 0.
    """
    one, two, three, four = (int((counts == times).sum()) for times in (1, 2, 3, 4))
    if not (one and two and three):
        raise ValueError(
            f"{one} n-grams come once, {two} twice and {three} three times: discounts cannot be "
            "estimated where one of these is 0; take a longer text, or give discounts"
        )
    ratio = one / (one + 2 * two)
    found = (1 - 2 * ratio * two / one, 2 - 3 * ratio * three / two, 3 - 4 * ratio * four / three)
    if min(found) < 0:
        raise ValueError(
            f"the discounts would be {found}: a count cannot grow; take a longer text, or give "
            "discounts"
        )
    return found


def packed(model: WordCounts, text: np.ndarray) -> bytes:
    """The smaller of two files from which the same model is made: its text, or its n-grams.

    The text is its ids. Of n-grams it has, for each of n-1 words, how many words follow it, and
    these words' ids as differences, as they rise; and the counts of the longest, which give all
    others. Both go through LZMA (that of xz, without its header). Discounts are estimated again.
    """
    longest = len(model.levels)
    as_text = _squeezed(text, "<u2")
    parts, size = list[bytes](), 1
    for level in model.levels:
        before, word = np.divmod(level.keys, model.words)
        rises = np.diff(word, prepend=0)
        first = np.diff(before, prepend=-1) > 0
        followers = np.bincount(before, minlength=size)
        parts += [_squeezed(followers, "<u4"), _squeezed(np.where(first, word, rises), "<u2")]
        size = len(level.keys)
    parts.append(_squeezed(model.levels[-1].counts, "<u4"))
    as_table = b"".join(struct.pack("<I", len(part)) + part for part in parts)
    if len(as_text) <= len(as_table):
        return _HEAD.pack(_TEXT, model.words, longest) + as_text
    return _HEAD.pack(_TABLE, model.words, longest) + as_table


def holds_text(data: bytes) -> bool:
    """Whether a file of `packed` has the text itself."""
    return data[:1] == _TEXT


def unpacked(data: bytes) -> WordCounts:
    """The model of a file of `packed`."""
    _, words, longest = _HEAD.unpack_from(data)
    if holds_text(data):
        return counted(_loosened(data[_HEAD.size :], "<u2"), words, longest)
    arrays, place = list[np.ndarray](), _HEAD.size
    kinds = ["<u4", "<u2"] * longest + ["<u4"]
    for kind in kinds:
        (size,) = struct.unpack_from("<I", data, place)
        arrays.append(_loosened(data[place + 4 : place + 4 + size], kind))
        place += 4 + size
    levels = []
    for followers, rises in zip(arrays[:-1:2], arrays[1::2], strict=True):
        before = np.repeat(np.arange(len(followers)), followers)
        summed = np.cumsum(rises)
        firsts = (np.cumsum(followers) - followers)[before]
        levels.append(before * words + summed - summed[firsts] + rises[firsts])
    return _model(words, levels, arrays[-1], None)


def repeated(text: np.ndarray, known: np.ndarray, passage: int) -> np.ndarray:
    """Which words of a text lie in a passage that another text has word for word, T (bool).

    `text`, `known`: ids, below 65,536.
    `passage`: its words, 1 or more.
    """
    own, others = (ids.astype("<u2").tobytes() for ids in (text, known))
    size = 2 * passage
    found = {others[place : place + size] for place in range(0, len(others) - size + 1, 2)}
    inside = np.zeros(len(text), bool)
    for place in range(len(text) - passage + 1):
        if own[2 * place : 2 * place + size] in found:
            inside[place : place + passage] = True
    return inside


def _model(
    words: int, keys: Sequence[np.ndarray], counts: np.ndarray, discounts: Discounts | None
) -> WordCounts:
    """The model of the n-grams of each length, and the counts of the longest."""
    # Of each n-gram the number of its last n-1 words in the level before: all of these are there,
    # as they are in the same text.
    ends = [np.zeros(len(keys[0]), np.int64)]
    for shorter, own in pairwise(keys):
        before, word = np.divmod(own, words)
        ends.append(np.searchsorted(shorter, ends[-1][before] * words + word))
    levels = []
    for place, own in enumerate(keys):
        longest = place == len(keys) - 1
        found = counts if longest else np.bincount(ends[place + 1], minlength=len(own))
        before = own // words
        size = len(keys[place - 1]) if place else 1
        taken = discounts or estimated(found)
        lost = np.array((0.0, *taken))[found.clip(max=3)]
        levels.append(
            Level(
                keys=own,
                counts=found,
                discounts=taken,
                lowered=found - lost,
                totals=np.bincount(before, found, size),
                spare=np.bincount(before, lost, size),
            )
        )
    return WordCounts(words=words, levels=tuple(levels))


def _filters(kind: str) -> list[dict[str, int]]:
    """LZMA at its best for numbers of two or four bytes."""
    low = {"<u2": 1, "<u4": 2}[kind]
    best = 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA2, "preset": best, "lc": 4 - low, "lp": low, "pb": low}]


def _squeezed(numbers: np.ndarray, kind: str) -> bytes:
    data = np.asarray(numbers).astype(kind).tobytes()
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=_filters(kind))


def _loosened(data: bytes, kind: str) -> np.ndarray:
    raw = lzma.decompress(data, format=lzma.FORMAT_RAW, filters=_filters(kind))
    return np.frombuffer(raw, kind).astype(np.int64)
