"""TREC where it is there, and its format on files made here."""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Callable

import pytest
import torch

from shoestring.tasks import QUESTION_KINDS, DataError, trec, trec_vocabulary
from shoestring.tasks.fetch import Source, present

module = importlib.import_module("shoestring.tasks.trec")
Put = Callable[[Source, bytes], Source]
LINES = [f"{number % 6} What is a thing of {number % 3} ?" for number in range(460)]


def given(
    put: Put, monkeypatch: pytest.MonkeyPatch, train: list[str], *, gzipped: bool = False
) -> None:
    """The task's files are these lines, as their home has them or gzipped."""
    texts = {"train": "\n".join(train), "test": "3 Who is a caf\xe9 ?\n"}
    files = {}
    for split, (plain, packed) in module._FILES.items():
        content = texts[split].encode("latin1")
        files[split] = (
            (plain, put(packed, gzip.compress(content)))
            if gzipped
            else (put(plain, content), packed)
        )
    monkeypatch.setattr(module, "_FILES", files)


def test_trec_as_it_is():
    if not all(present(plain) or present(packed) for plain, packed in module._FILES.values()):
        pytest.skip(
            "TREC is not here: set SHOESTRING_DATA to a folder that holds "
            "sentence-classification/TREC.*.all"
        )
    task, vocabulary = trec(batch_size=100), trec_vocabulary()
    splits = (task.train, task.validation, task.test)
    assert [len(labels) for _, labels in splits] == [5000, 452, 500]
    for ids, labels in splits:
        assert isinstance(ids, torch.Tensor) and ids.shape[1] == 64
        assert int(ids.max()) < len(vocabulary)
        assert labels.unique().tolist() == list(range(6))
    assert {"what", "how_many", "?"} <= set(vocabulary.words)
    assert len(QUESTION_KINDS) == 6


@pytest.mark.parametrize("gzipped", [False, True])
def test_its_format(put: Put, monkeypatch: pytest.MonkeyPatch, gzipped: bool):
    given(put, monkeypatch, LINES, gzipped=gzipped)
    task, words = trec(), trec_vocabulary().words
    assert [len(labels) for _, labels in (task.train, task.validation, task.test)] == [8, 452, 1]
    assert isinstance(task.test[0], torch.Tensor)
    said = [words[one - 2] if one > 1 else "" for one in task.test[0][0, :8].tolist()]
    # who and café are in no training question; the pairs follow the words
    assert said == ["", "is", "a", "", "?", "", "is_a", ""] and task.test[1].tolist() == [3]


@pytest.mark.parametrize("line", ["6 What is it ?", "What is it ?", "1", "0 "])
def test_a_line_that_is_none(put: Put, monkeypatch: pytest.MonkeyPatch, line: str):
    given(put, monkeypatch, [LINES[0], line])
    with pytest.raises(
        DataError, match=r"line 2 of .*TREC\.train\.all is .* must be a digit from 0 to 5, a space"
    ):
        trec()
