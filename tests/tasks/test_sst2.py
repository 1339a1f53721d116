"""SST-2 where it is there, and its format on files made here."""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shoestring.core import seeded
from shoestring.tasks import DataError, Vocabulary, sst2, sst2_vocabulary, words_dropped
from shoestring.tasks.fetch import Source, present
from shoestring.tasks.sst2 import without_padding

module = importlib.import_module("shoestring.tasks.sst2")
Put = Callable[[Source, bytes], Source]
TEXTS = {
    "train": "1 a fine film , fine\n0 a dull film\n1 fine caf\xe9 scenes ,\n0 dull dull\n",
    "validation": "0 a film\n1 splendid\n",
    "test": "1 fine , dull and a film\n\n",
}


def given(
    put: Put, monkeypatch: pytest.MonkeyPatch, texts: dict[str, str], *, gzipped: bool
) -> None:
    """The task's files are these texts, as their home has them or gzipped."""
    files = {}
    for split, (plain, packed) in module._FILES.items():
        content = texts[split].encode("latin1")
        files[split] = (
            (plain, put(packed, gzip.compress(content)))
            if gzipped
            else (put(plain, content), packed)
        )
    monkeypatch.setattr(module, "_FILES", files)


def test_sst2_as_it_is():
    if not all(present(plain) or present(packed) for plain, packed in module._FILES.values()):
        pytest.skip(
            "SST-2 is not here: set SHOESTRING_DATA to a folder that holds "
            "sentence-classification/stsa.binary.*, or run python -c 'from shoestring.tasks import "
            "sst2; sst2()' once where there is a network"
        )
    task, vocabulary = sst2(batch_size=100), sst2_vocabulary()
    assert (task.name, task.batch_size) == ("sst2", 100)
    assert [len(split[1]) for split in (task.train, task.validation, task.test)] == [
        6920,
        872,
        1821,
    ]
    for ids, labels in (task.train, task.validation, task.test):
        assert (
            isinstance(ids, Tensor)
            and ids.shape[1] == 128
            and ids.min() >= 0
            and ids.max() < len(vocabulary)
        )
        assert labels.unique().tolist() == [0, 1]
    assert isinstance(task.train[0], Tensor) and task.train[0].max() == len(vocabulary) - 1
    assert [vocabulary.words[place - 2] for place in task.train[0][0, :3]] == ["a", "stirring", ","]
    (ids,), _ = next(iter(task.batches("train")))
    assert ids.shape[1] <= 53 and (ids[:, -1] != 0).any()
    (example,), _ = task.example()
    assert example.tensor.shape == (2, 128) and example.axes == {0: "N", 1: "T"}


@pytest.mark.parametrize("gzipped", [False, True])
def test_its_format(put: Put, monkeypatch: pytest.MonkeyPatch, gzipped: bool):
    given(put, monkeypatch, TEXTS, gzipped=gzipped)
    vocabulary = sst2_vocabulary()
    # In two sentences or more; those in as many by the alphabet. "dull dull" is one sentence.
    assert vocabulary.words == (",", "a", "dull", "film", "fine") and len(vocabulary) == 7
    task = sst2()
    assert isinstance(task.train[0], Tensor) and isinstance(task.test[0], Tensor)
    assert task.train[0][:, :6].tolist() == [
        [3, 6, 5, 2, 6, 0],
        [3, 4, 5, 0, 0, 0],
        [6, 1, 1, 2, 0, 0],
        [4, 4, 0, 0, 0, 0],
    ]
    assert task.train[1].tolist() == [1, 0, 1, 0] and task.test[1].tolist() == [1]
    assert task.test[0].shape == (1, 128) and task.test[0][0, :7].tolist() == [6, 2, 4, 1, 3, 5, 0]
    (ids,), labels = next(iter(task.batches("validation")))
    assert ids.tolist() == [[3, 5], [1, 0]] and labels.tolist() == [0, 1]


@pytest.mark.parametrize("line", ["2 a film", "a film", "1", "0 "])
def test_a_line_that_is_none(put: Put, monkeypatch: pytest.MonkeyPatch, line: str):
    given(put, monkeypatch, TEXTS | {"train": f"1 a film\n{line}\n0 dull\n"}, gzipped=False)
    with pytest.raises(
        DataError,
        match=r"line 2 of .*stsa\.binary\.train is .* must be 0 or 1, a space and a sentence",
    ):
        sst2()


def test_a_file_that_is_another(put: Put, data: Path, monkeypatch: pytest.MonkeyPatch):
    given(put, monkeypatch, TEXTS, gzipped=True)
    (data / "sentence-classification" / "stsa.binary.dev.gz").write_bytes(
        gzip.compress(b"1 something else\n")
    )
    with pytest.raises(DataError, match=r"stsa\.binary\.dev\.gz is not the file it should be"):
        sst2()


def test_where_there_is_none_the_error_says_where_to_put_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {
        s: (Source(p.folder, p.name, "file:///nowhere/at/all", p.sha256), g)
        for s, (p, g) in module._FILES.items()
    }
    monkeypatch.setattr(module, "_FILES", files)
    with pytest.raises(
        DataError,
        match=r"SHOESTRING_DATA to a folder that holds sentence-classification/stsa\.binary\.train",
    ):
        sst2()


def test_vocabulary_by_hand():
    vocabulary = Vocabulary(("good", "bad"))
    assert vocabulary.ids(["bad good ugly", "", "good good good good good"], 4).tolist() == [
        [3, 2, 1, 0],
        [0, 0, 0, 0],
        [2, 2, 2, 2],
    ]
    assert vocabulary.ids([]).shape == (0, 128)


def test_padding_is_cut_and_words_are_dropped():
    ids = torch.tensor([[5, 6, 0, 0], [7, 0, 0, 0]])
    assert without_padding(ids).tolist() == [[5, 6], [7, 0]]
    assert without_padding(torch.zeros(2, 4, dtype=torch.int64)).shape == (2, 1)
    many = torch.arange(2, 1002).repeat(10, 1)
    many[:, 900:] = 0
    with seeded(0):
        dropped = words_dropped(many, 0.2)
    changed = dropped != many
    assert dropped[changed].unique().tolist() == [1] and not changed[:, 900:].any()
    assert changed[:, :900].float().mean() == pytest.approx(0.2, abs=0.02)
