"""Examples as numbers that have not seen a label, to look for outliers and clusters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shoestring.label import Example
from shoestring.label.audit.near import Near, Pair, near
from shoestring.label.audit.near_pictures import SIDE, Thumbnails, near_pictures, thumbnails
from shoestring.label.audit.near_texts import near_texts
from shoestring.recipes.own_inputs import LARGEST

_DIRECTIONS = 50
_SIDE = 8
_USUAL, _TINY = 0.06, 0.02
"""The difference of near duplicates, of pictures of 32 pixels and more, and of smaller ones."""


def seen_alone(examples: Sequence[Example]) -> tuple[Near, np.ndarray]:
    """The duplicates among examples, and features N×D.

    Of texts, the features are their strongest directions (TF-IDF of character runs, singular
    values); of pictures, 8×8 grey pixels; of rows, the standardised numbers and the categories.

    `examples`: all texts, all pictures or all rows.
    """
    if examples[0].text is not None:
        texts = [example.text or "" for example in examples]
        return near_texts(texts), _of_texts(texts)
    if examples[0].picture is not None:
        small = thumbnails([Path(example.picture or "") for example in examples])
        tiny = int(np.median(small.sizes.min(1))) < SIDE
        found = near_pictures(small, difference=_TINY if tiny else _USUAL)
        return found, _of_pictures(small)
    return _equal_rows(examples), _of_rows(examples)


def _of_texts(texts: Sequence[str]) -> np.ndarray:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    spaced = [text if text.strip() else "(empty)" for text in texts]
    vectorizer = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), max_features=20_000, sublinear_tf=True
    )
    counts = vectorizer.fit_transform(spaced)
    directions = min(_DIRECTIONS, min(counts.shape) - 1)
    if directions < 1:
        return np.zeros((len(texts), 1))
    with np.errstate(divide="ignore", invalid="ignore"):  # equal texts have no variance
        return TruncatedSVD(directions, random_state=0).fit_transform(counts)


def _of_pictures(small: Thumbnails) -> np.ndarray:
    count, side = len(small.grey), small.grey.shape[1] // _SIDE
    return small.grey.reshape(count, _SIDE, side, _SIDE, side).mean((2, 4)).reshape(count, -1)


def _of_rows(examples: Sequence[Example]) -> np.ndarray:
    columns = []
    for name in dict.fromkeys(name for example in examples for name in example.fields):
        texts = [example.fields.get(name, "").strip() for example in examples]
        numbers = np.array([_number(text) for text in texts])
        known = np.isfinite(numbers)
        if known.mean() > 0.9:
            filled = np.where(known, numbers, numbers[known].mean())
            columns.append((filled - filled.mean()) / max(float(filled.std()), 1e-12))
        elif len(kinds := sorted(set(texts))) <= _DIRECTIONS:
            columns += [np.array([float(text == kind) for text in texts]) for kind in kinds]
    return np.stack(columns, 1) if columns else np.zeros((len(examples), 1))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return float("nan")
    return value if abs(value) <= LARGEST else float("nan")


def _equal_rows(examples: Sequence[Example]) -> Near:
    first_of: dict[tuple[tuple[str, str], ...], int] = {}
    pairs = []
    for index, example in enumerate(examples):
        row = tuple(sorted(example.fields.items()))
        if (first := first_of.setdefault(row, index)) != index:
            pairs.append(Pair(first=first, second=index, similarity=1.0, exact=True))
    return near(len(examples), pairs)
