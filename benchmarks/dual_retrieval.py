"""Queries and documents both ways, Cranfield: `python benchmarks/dual_retrieval.py`.

A finder that begins as TF-IDF, and a writer of queries. 300 documents have a query, which is their
title; of the other documents one half is there without a title, and of the other half only the
titles. Both are trained on the pairs; then as many steps again, on the pairs alone and by
back-translation; and on all 1,398 titles. The score is the mean average precision on questions of
people, of which a third is for validation and the others for the test; titles are never in the
documents. The peer is scikit-learn's TF-IDF. Three seeds, which draw the pairs.

Goes on where it was interrupted; `--only back --seed 0` runs a part. --quick: 3 steps, one seed.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

import torch
from rows import RESULTS, Rows, start
from sklearn.feature_extraction.text import TfidfVectorizer

from shoestring.core import score, seeded
from shoestring.dual import BackTranslation, DualTask, Rounds
from shoestring.kit import AdamW, Training, clone, resuming, train
from shoestring.recipes.queries_both_ways import (
    finding,
    library_of,
    mean_average_precision,
    queries_both_ways,
)
from shoestring.tasks import Collection, cranfield

SEEDS = (0, 1, 2)
PAIRS = 300
FEW, ALL = Training(60, AdamW(5e-4)), Training(200, AdamW(1e-3))
TFIDF = "TF-IDF (scikit-learn)"


def main() -> None:
    torch.set_num_threads(1)
    rows = start("dual_retrieval", "cranfield-cpu", __doc__ or "", seeds=True)
    collection = cranfield()
    if rows.wanted(TFIDF) and not rows.done(TFIDF, None):
        _peer(rows, collection)
    for seed in (0,) if rows.quick else SEEDS:
        if rows.seed in (None, seed):
            _seed(rows, collection, seed)
    if rows.seed is None:
        rows.close()


def _asked(collection: Collection) -> dict[str, tuple[list[str], list[tuple[int, ...]]]]:
    """The questions of people that have an answer: a third for validation, the others for test."""
    answered = [number for number, its in enumerate(collection.relevant) if its]
    chosen = {
        "validation": [number for number in answered if number % 3 == 0],
        "test": [number for number in answered if number % 3],
    }
    return {
        split: ([collection.queries[n] for n in some], [collection.relevant[n] for n in some])
        for split, some in chosen.items()
    }


def _peer(rows: Rows, collection: Collection) -> None:
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    documents = vectorizer.fit_transform(collection.documents)
    library = library_of(collection.documents)
    for split, (queries, relevant) in _asked(collection).items():
        scores: Any = vectorizer.transform(queries) @ documents.T
        found = mean_average_precision(scores.toarray(), library.answers(relevant).numpy())
        rows.add(TFIDF, f"{split} MAP", 100 * found, "%", None)
    rows.add(TFIDF, "done", 1, "", None)


def _seed(rows: Rows, collection: Collection, seed: int) -> None:
    """All rows of a seed."""
    library, splits = library_of(collection.documents), _asked(collection)
    order = torch.randperm(
        len(collection.documents), generator=torch.Generator().manual_seed(seed)
    ).tolist()
    rest = order[PAIRS:]
    titled, alone = rest[: len(rest) // 2], rest[len(rest) // 2 :]

    def both(numbers: list[int]) -> DualTask:
        titles = [collection.titles[number] for number in numbers]
        task = finding(library, train=(titles, [(number,) for number in numbers]), **splits)
        return queries_both_ways(task, library, [collection.titles[n] for n in titled], alone)

    few, whole = both(order[:PAIRS]), both(order)
    first, every = (FEW, ALL) if not rows.quick else (Training(3), Training(3))

    def begun() -> Any:
        with seeded(seed):
            return train(library.networks(), few.sealed(), first, what="on the pairs")

    def longer() -> Any:
        model = clone(begun())
        with seeded(seed):
            return train(model, few.sealed(), first, what="longer on the pairs")

    def back() -> Any:
        model = begun()
        with seeded(seed):
            return BackTranslation(renewal=Rounds(2), training=first)(model, few.sealed())

    def all_titles() -> Any:
        with seeded(seed):
            return train(library.networks(), whole.sealed(), every, what="on all titles")

    ways: dict[str, tuple[DualTask, Callable[[], Any]]] = {
        "untrained": (few, library.networks),
        "300 pairs": (few, begun),
        "300 pairs, longer": (few, longer),
        "back-translation": (few, back),
        "all 1,398 pairs": (whole, all_titles),
    }
    folder = RESULTS / "unfinished" / ("dual_retrieval" + (".quick" if rows.quick else ""))
    for way, (task, made) in ways.items():
        if not rows.wanted(way) or rows.done(way, seed):
            continue
        began = process_time()
        with resuming(folder / str(seed)):
            model = made()
        rows.add(way, "minutes of a core", (process_time() - began) / 60, "minutes", seed)
        for split in splits:
            rows.add(way, f"{split} MAP", 100 * score(task, model, split), "%", seed)
        rows.add(way, "done", 1, "", seed)


if __name__ == "__main__":
    main()
