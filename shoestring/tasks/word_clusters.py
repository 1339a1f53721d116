"""Clusters of words that stand beside the same words, learned from text without labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

_CONTEXTS = 1000  # the most frequent words, which tell others apart by standing beside them
_BEFORE, _REST = _CONTEXTS, _CONTEXTS + 1  # the end of a sentence, any other word
_KINDS = _CONTEXTS + 2
_OFFSETS = (-2, -1, 1, 2)
_BLOCK = 2000  # words whose counts are in memory together


def word_clusters(
    sentences: Iterable[Sequence[str]],
    count: int,
    *,
    rounds: int = 1,
    words: int = 30_000,
    least: int = 3,
    width: int = 48,
    seed: int = 0,
) -> dict[str, tuple[int, ...]]:
    """The clusters of each frequent word, each 0 to `count` - 1, by the two words on either side.

    Words are in small letters. Counts of neighbours become positive pointwise mutual information,
    of which the first singular vectors are kept; k-means puts words of one direction together.
    Each further round clusters what the rounds before left of the vectors, so that the clusters of
    a word together are its vector, more and more exactly (residual vector quantisation).

    `sentences`: the words of each.
    `count`: how many clusters, 1 or more.
    `rounds`: how many clusters a word has, 1 or more.
    `words`: how many words get a cluster: the most frequent of those that occur `least` times.
    `width`: of the vectors.
    `seed`: of the first centres.

    Source: Schütze 1993 (part-of-speech induction from scratch) for vectors of neighbours; in the
    place of Brown clusters, as in Botha et al. 2017, section 3.2.
    Raises ValueError for fewer than `count` words that occur often enough, and for no round.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds of clusters: give 1 or more")
    small = [[word.lower() for word in sentence] for sentence in sentences]
    seen = Counter(word for sentence in small for word in sentence)
    ranked = sorted((-number, word) for word, number in seen.items() if number >= least)
    known = [word for _, word in ranked[:words]]
    if len(known) < count:
        raise ValueError(
            f"{len(known):,} words occur {least} times or more: too few for {count:,} clusters; "
            "give more text or ask for fewer"
        )
    vectors = _vectors(*_pairs(small, known), len(known), min(width, len(known)))
    found = []
    for _ in range(rounds):
        nearest, centres = _k_means(vectors, count, seed)
        found.append(nearest.tolist())
        vectors = vectors - centres[nearest]
    return dict(zip(known, zip(*found, strict=True), strict=True))


def _pairs(sentences: list[list[str]], known: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Each known word (a row) with each of its neighbours (a column)."""
    numbers = {word: number for number, word in enumerate(known)}
    gap = [-2, -2]
    flat = np.array(
        [one for words in sentences for one in (*gap, *(numbers.get(w, -1) for w in words))] + gap
    )
    as_context = np.where(flat >= _CONTEXTS, _REST, flat)
    as_context = np.where(flat == -2, _BEFORE, np.where(flat == -1, _REST, as_context))
    centre = slice(2, len(flat) - 2)
    is_known = flat[centre] >= 0
    columns = [
        np.roll(as_context, -offset)[centre][is_known] + place * _KINDS
        for place, offset in enumerate(_OFFSETS)
    ]
    return np.tile(flat[centre][is_known], len(_OFFSETS)), np.concatenate(columns)


def _vectors(rows: np.ndarray, columns: np.ndarray, words: int, width: int) -> np.ndarray:
    """A vector of length 1 for each word, float32."""
    contexts = _KINDS * len(_OFFSETS)
    order = np.argsort(rows, kind="stable")
    rows, columns = rows[order], columns[order]
    in_row = np.bincount(rows, minlength=words).astype(np.float64)
    in_column = np.bincount(columns, minlength=contexts) ** 0.75  # rare contexts count for less
    in_column = in_column / in_column.sum()

    def blocks():
        for first in range(0, words, _BLOCK):
            last = min(first + _BLOCK, words)
            part = slice(*np.searchsorted(rows, (first, last)))
            cells = (rows[part] - first) * contexts + columns[part]
            counts = np.bincount(cells, minlength=(last - first) * contexts)
            expected = in_row[first:last, None] * in_column
            ratio = counts.reshape(last - first, contexts) / np.maximum(expected, 1e-9)
            yield np.log(np.maximum(ratio, 1.0)).astype(np.float32)

    gram = np.zeros((contexts, contexts), np.float32)
    for block in blocks():
        gram += block.T @ block
    values, directions = np.linalg.eigh(gram.astype(np.float64))
    kept = directions[:, -width:] / np.maximum(values[-width:], 1e-9) ** 0.25
    vectors = np.concatenate([block @ kept.astype(np.float32) for block in blocks()])
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _k_means(vectors: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centre of each vector, and the centres, which begin at frequent words."""
    draw = np.random.default_rng(seed)
    frequent = min(len(vectors), 16 * count)
    centres = vectors[draw.choice(frequent, count, replace=False)].copy()
    nearest = np.zeros(len(vectors), np.int64)
    for _ in range(20):
        nearest = (vectors @ centres.T - (centres**2).sum(1) / 2).argmax(1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, vectors)
        members = np.bincount(nearest, minlength=count)[:, None]
        centres = np.where(members > 0, sums / np.maximum(members, 1), centres)
    return nearest, centres
