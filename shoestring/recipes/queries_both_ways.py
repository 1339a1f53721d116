"""Queries and documents both ways: find the document of a query, and write a query for one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.core import Task, Vary
from shoestring.dual import Classes, DualTask, Frequencies, Marginals, Pool, Sequences, TwoWay
from shoestring.kit import Supervised
from shoestring.kit.sequences.decoding import Alphabet, log_likelihoods
from shoestring.models import LexicalFinder, QueryWriter

_PADDING, _START, _END, _FIRST = 0, 1, 2, 3
_LONGEST = 24
_BATCH = 64


@dataclass(frozen=True, eq=False)
class Library:
    """Documents as counts of words.

    `words`: those that two documents or more have; the first has the id 3.
    `counts`: how often each document has each id, D×V.
    """

    words: tuple[str, ...] = field(repr=False)
    counts: Tensor = field(repr=False)

    @property
    def alphabet(self) -> Alphabet:
        """The ids that start and end a query, and its longest."""
        return Alphabet(start=_START, end=_END, most=_LONGEST)

    def lists(self, queries: Sequence[str]) -> list[list[int]]:
        """The ids of each query and its end; words that the library does not know are left out."""
        ids = {word: number for number, word in enumerate(self.words, _FIRST)}
        found = [[ids[w] for w in _split(query) if w in ids][: _LONGEST - 1] for query in queries]
        return [[*one, _END] for one in found]

    def ids(self, queries: Sequence[str]) -> Tensor:
        """The same as a tensor N×24, 0 after the end."""
        rows = torch.zeros(len(queries), _LONGEST, dtype=torch.long)
        for row, one in zip(rows, self.lists(queries), strict=True):
            row[: len(one)] = torch.tensor(one)
        return rows

    def answers(self, relevant: Sequence[Sequence[int]]) -> Tensor:
        """Which documents answer each query, as 0 and 1: N×D."""
        rows = torch.zeros(len(relevant), len(self.counts))
        for row, numbers in zip(rows, relevant, strict=True):
            row[list(numbers)] = 1
        return rows

    def networks(self, *, width: int = 32) -> TwoWay:
        """A finder and a writer, untrained."""
        return TwoWay(
            LexicalFinder(self.counts, width=width),
            QueryWriter(self.counts, end=_END, longest=_LONGEST),
        )


def library_of(documents: Sequence[str]) -> Library:
    """The documents as a library.

    Raises ValueError where no two documents share a word.
    """
    texts = [Counter(_split(one)) for one in documents]
    has = Counter(word for text in texts for word in text)
    words = tuple(sorted(word for word, count in has.items() if count > 1))
    if not words:
        raise ValueError(f"of {len(documents)} documents no two share a word: give more, or longer")
    ids = {word: number for number, word in enumerate(words, _FIRST)}
    counts = torch.zeros(len(documents), _FIRST + len(words))
    for row, text in zip(counts, texts, strict=True):
        for word, count in text.items():
            if word in ids:
                row[ids[word]] = count
    return Library(words, counts)


def _split(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def mean_average_precision(scores: Any, relevant: Any) -> float:
    """Of rankings by scores Q×D: the mean over queries of the average precision, 0 to 1.

    The average is over the places at which relevant documents (1, others 0, Q×D) stand. Queries
    without any are left out; raises ValueError where no query has one.
    """
    scores, relevant = np.asarray(scores), np.asarray(relevant) > 0
    if not relevant.any():
        raise ValueError("no query has a relevant document: there is nothing to be found")
    found = []
    for its, wanted in zip(scores, relevant, strict=True):
        if wanted.any():
            places = np.flatnonzero(wanted[np.argsort(-its, kind="stable")]) + 1
            found.append(float(np.mean(np.arange(1, len(places) + 1) / places)))
    return float(np.mean(found))


def _cross_entropy(scores: Tensor, relevant: Tensor) -> Tensor:
    """Of the relevant documents of each query, in equal shares."""
    return functional.cross_entropy(scores.float(), relevant / relevant.sum(1, keepdim=True))


def finding(
    library: Library, **splits: tuple[Sequence[str], Sequence[Sequence[int]]]
) -> Supervised:
    """A task of finding documents: queries, and the numbers of the documents that answer each.

    The score is the mean average precision.

    `splits`: `train`, `validation` and, where there is one, `test`.
    Raises ValueError for a query without an answer.
    """
    for name, (queries, relevant) in splits.items():
        for query, numbers in zip(queries, relevant, strict=True):
            if not numbers:
                raise ValueError(f"no document answers {query!r} of {name}: leave it out")
    tensors = {
        name: (library.ids(queries), library.answers(relevant))
        for name, (queries, relevant) in splits.items()
    }
    return Supervised(
        **tensors,  # type: ignore[arg-type]
        name="finding",
        batch_size=_BATCH,
        criterion=_cross_entropy,
        metric=mean_average_precision,
        axes={1: "T"},
    )


@dataclass(frozen=True, eq=False)
class _Writing(Task):
    """How likely queries are by their first relevant document, in nats a word."""

    of: Supervised
    direction: Sequences
    ids: int
    name: str = "a document's query"

    def batches(self, split: str, *, model: Any = None) -> Iterator[tuple[Tensor, Tensor]]:
        queries, answers = getattr(self.of, split)
        for rows in torch.arange(len(queries)).split(_BATCH):
            yield answers[rows].argmax(1), queries[rows]

    def loss(self, model: Any, batch: Any) -> Tensor:
        return self.direction.loss(model, *batch)

    def score(self, predict: Any, split: str) -> float:
        sums = [0.0, 0.0]
        for documents, queries in self.batches(split):
            target = functional.pad(queries, (1, 0), value=_START)
            sums[0] += float(log_likelihoods(predict, (documents,), target).sum())
            sums[1] += float((queries != _PADDING).sum())
        return sums[0] / sums[1]

    def example(self) -> Any:
        documents = torch.tensor([0, 1])
        state = {
            "words": Vary(torch.zeros(2, self.ids), {0: "N"}),
            "place": Vary(documents * 0, {0: "N"}),
        }
        return {
            "encode": ((Vary(documents, {0: "N"}),), {}),
            "step": ((Vary(documents + _START, {0: "N"}),), state),
        }


def queries_both_ways(
    task: Supervised,
    library: Library,
    queries: Sequence[str] = (),
    documents: Sequence[int] = (),
) -> DualTask:
    """A task of finding the document of a query, and of writing a query for a document.

    Documents are numbers, so that finding one is a choice of a class. The model is
    `library.networks()`; its file has the entries `ahead` (ids of a query to the scores of all
    documents), `encode_back` and `step_back`. The score is that of finding.

    `task`: as `finding` makes it.
    `queries`: those of which no document is known. Those without a known word are left out.
    `documents`: the numbers of those without a query.
    """
    backward = Sequences(
        part="back",
        alphabet=library.alphabet,
        encode="encode_back",
        step="step_back",
        smoothing=0.0,
    )
    alone = [one for one in library.lists(queries) if len(one) > 1]
    return DualTask(
        ahead=task,
        back=_Writing(task, backward, library.counts.shape[1]),
        forward=Classes(part="ahead"),
        backward=backward,
        marginals=Marginals(target=Frequencies((1.0,) * len(library.counts))),
        sources=Pool(alone, _LONGEST * _BATCH) if alone else (),
        targets=Pool(torch.tensor(documents), _BATCH) if len(documents) else (),
        pair=_drawn,
        shares=(1, 0),
        name="queries and documents",
    )


def _drawn(batch: Any) -> tuple[Tensor, Tensor]:
    """The queries, and of each a document that is drawn from those that answer it."""
    (queries,), answers, *_ = batch
    return queries, answers.multinomial(1).squeeze(1)
