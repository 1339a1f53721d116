"""Texts that are the same or nearly so."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

from shoestring.artifact.errors import missing
from shoestring.artifact.progress import progress
from shoestring.label.audit.near import Near, Pair, near

_PERMUTATIONS, _CHARACTERS = 128, 5
_LOWER = 0.15
"""MinHash estimates; pairs are looked for this far below the similarity, and then compared."""


def near_texts(texts: Sequence[str], *, similarity: float = 0.8) -> Near:
    """The texts that are the same or nearly so.

    Two texts are compared by the runs of five characters that they share (Jaccard similarity), in
    lower case, with runs of white space and punctuation as one space. Candidates come from MinHash
    with locality-sensitive hashing, and each is then compared exactly.

    `similarity`: of near duplicates, above 0 to 1.

    Source: Broder 1997, "On the resemblance and containment of documents"; the hashing is that of
    datasketch.
    Raises ValueError for a similarity out of range, and ModuleNotFoundError without datasketch,
    which the extra `train` has.
    """
    if not 0 < similarity <= 1:
        raise ValueError(f"similarity is {similarity}: give a number above 0 to 1, such as 0.8")
    first_of: dict[str, int] = {}
    pairs = []
    for index, text in enumerate(texts):
        if (first := first_of.setdefault(text, index)) != index:
            pairs.append(Pair(first=first, second=index, similarity=1.0, exact=True))
    distinct = sorted(first_of.values())
    shingles = [_shingles(texts[index]) for index in distinct]
    for a, b in sorted(_candidates(shingles, max(similarity - _LOWER, 0.05))):
        shared = len(shingles[a] & shingles[b])
        alike = shared / (len(shingles[a]) + len(shingles[b]) - shared)
        if alike >= similarity:
            pairs.append(Pair(first=distinct[a], second=distinct[b], similarity=alike, exact=False))
    return near(len(texts), pairs)


def _shingles(text: str) -> frozenset[bytes]:
    plain = re.sub(r"[\W_]+", " ", text.lower()).strip()
    if not plain:  # only punctuation: the text itself tells it apart
        plain = text
    spaced = f" {plain} "
    runs = max(len(spaced) - _CHARACTERS + 1, 1)
    return frozenset(spaced[at : at + _CHARACTERS].encode() for at in range(runs))


def _candidates(shingles: Sequence[frozenset[bytes]], threshold: float) -> set[tuple[int, int]]:
    """Pairs of positions that may be at least so similar."""
    try:
        from datasketch import MinHash, MinHashLSH
    except ModuleNotFoundError:
        raise missing(
            "datasketch", extra="train", what="near duplicates of texts are found with datasketch"
        ) from None
    index = MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
    pattern = MinHash(num_perm=_PERMUTATIONS, hashfunc=zlib.crc32)
    found: set[tuple[int, int]] = set()
    with progress("near duplicates of texts", len(shingles)) as advance:
        for position, runs in enumerate(shingles):
            sketch = pattern.copy()
            sketch.update_batch(list(runs))
            found |= {(int(other), position) for other in index.query(sketch)}  # type: ignore[arg-type]
            index.insert(position, sketch, check_duplication=False)
            advance("")
    return found
