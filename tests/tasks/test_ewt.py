"""English-EWT where it is there, and its format on files made here."""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from shoestring.core import score, seeded
from shoestring.tasks import DataError, TaggingVocabulary, ewt, ewt_vocabulary, known_words_dropped
from shoestring.tasks.ewt import TAGS
from shoestring.tasks.fetch import Source, present

module = importlib.import_module("shoestring.tasks.ewt")
Put = Callable[[Source, bytes], Source]


def conllu(*sentences: str) -> str:
    """CoNLL-U of sentences written as "The/DET dog/NOUN"."""
    text = ""
    for sentence in sentences:
        words = [word.rsplit("/", 1) for word in sentence.split()]
        text += f"# text = {' '.join(word for word, _ in words)}\n"
        text += (
            "".join(
                f"{n}\t{word}\t_\t{tag}\t_\t_\t_\t_\t_\t_\n"
                for n, (word, tag) in enumerate(words, 1)
            )
            + "\n"
        )
    return text


# Words that are one in writing (do n't), and one that was left out: neither line is a word.
ODD = (
    "1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_\n1\tdo\t_\tAUX\t_\t_\t_\t_\t_\t_\n"
    "2\tn't\t_\tPART\t_\t_\t_\t_\t_\t_\n2.1\tgo\t_\tVERB\t_\t_\t_\t_\t_\t_\n"
)
TEXTS = {
    "train": conllu(
        "The/DET dog/NOUN barked/VERB", "The/DET Dog/PROPN", "barked/VERB 42/NUM !/PUNCT the/DET"
    ),
    "validation": conllu("THE/DET walked/VERB") + ODD,
    "test": conllu("Odd/ADJ dog/NOUN"),
}


def given(
    put: Put, monkeypatch: pytest.MonkeyPatch, texts: dict[str, str], *, gzipped: bool = False
) -> None:
    """The task's files are these texts, as their home has them or gzipped."""
    files = {}
    for split, (plain, packed) in module.FILES.items():
        content = texts[split].encode()
        files[split] = (
            (plain, put(packed, gzip.compress(content)))
            if gzipped
            else (put(plain, content), packed)
        )
    monkeypatch.setattr(module, "FILES", files)


@pytest.mark.slow
def test_ewt_as_it_is():
    if not all(present(plain) or present(packed) for plain, packed in module.FILES.values()):
        pytest.skip(
            "English-EWT is not here: set SHOESTRING_DATA to a folder that holds "
            "ud/UD_English-EWT/en_ewt-ud-*.conllu, or run python -c 'from shoestring.tasks import "
            "ewt; ewt()' once where there is a network"
        )
    task, vocabulary = ewt(batch_size=100), ewt_vocabulary()
    assert (task.name, task.batch_size) == ("ewt", 100)
    assert [len(split[1]) for split in (task.train, task.validation, task.test)] == [
        12544,
        2001,
        2077,
    ]
    assert [int((split[1] >= 0).sum()) for split in (task.train, task.validation, task.test)] == [
        204577,
        25147,
        25094,
    ]
    for ids, tags in (task.train, task.validation, task.test):
        for one, size in zip(ids, vocabulary.sizes, strict=True):
            assert one.shape == tags.shape and one.min() >= 0 and one.max() < size
            assert torch.equal(one > 0, tags >= 0)
    assert [vocabulary.words[place - 2] for place in task.train[0][0][1, :3]] == [
        "[",
        "this",
        "killing",
    ]
    (words, endings), tags = next(iter(task.batches("train")))
    assert (
        words.shape == endings.shape
        and (words[:, -1] != 0).any()
        and words.shape[1] < tags.shape[1] == 159
    )
    (example, _), _ = task.example()
    assert example.tensor.shape == (2, 75) and example.axes == {0: "N", 1: "T"}


@pytest.mark.parametrize("gzipped", [False, True])
def test_its_format(put: Put, monkeypatch: pytest.MonkeyPatch, gzipped: bool):
    given(put, monkeypatch, TEXTS, gzipped=gzipped)
    vocabulary, task = ewt_vocabulary(), ewt()
    # Twice or more; those that are there as often by the alphabet. "The" and "the" are one word
    # with two endings.
    assert vocabulary.words == ("the", "barked", "dog") and vocabulary.endings == (
        "Aa the",
        "a ked",
    )
    assert vocabulary.sizes == (5, 8)
    (words, endings), tags = task.train
    assert words.tolist() == [[2, 4, 3, 0], [2, 4, 0, 0], [3, 1, 1, 2]]
    assert endings.tolist() == [[6, 1, 7, 0], [6, 2, 0, 0], [7, 4, 5, 1]]
    assert [[TAGS[tag] for tag in row if tag >= 0] for row in tags] == [
        ["DET", "NOUN", "VERB"],
        ["DET", "PROPN"],
        ["VERB", "NUM", "PUNCT", "DET"],
    ]
    (words, endings), tags = task.validation
    assert words.tolist() == [[2, 1], [1, 1]] and endings.tolist() == [[3, 7], [1, 1]]
    assert [[TAGS[tag] for tag in row] for row in tags] == [["DET", "VERB"], ["AUX", "PART"]]


def test_the_score_is_of_words_and_padding_counts_for_nothing(
    put: Put, monkeypatch: pytest.MonkeyPatch
):
    given(
        put, monkeypatch, TEXTS | {"validation": conllu("a/DET", "a/DET a/NOUN a/DET a/DET a/VERB")}
    )
    task = ewt()

    def all_determiners(words: Tensor, endings: Tensor) -> np.ndarray:
        return functional.one_hot(torch.full_like(words, TAGS.index("DET")), len(TAGS)).numpy()

    # 4 of 6 words; the mean over the sentences would be (1 + 3/5) / 2.
    assert score(task, all_determiners) == pytest.approx(4 / 6)
    assert task.merits(all_determiners, "validation").tolist() == [1, 1, 0, 1, 1, 0]
    assert task.standard_error(all_determiners, "validation") == pytest.approx(
        (4 / 6 * 2 / 6 / 6) ** 0.5
    )
    # The loss: of a model that has log(1/17) for each tag log(17), however much padding there is.
    batch = next(iter(task.batches("validation")))
    assert task.loss(lambda words, _: torch.zeros(*words.shape, len(TAGS)), batch) == pytest.approx(
        np.log(17)
    )


def test_batches_are_cut(put: Put, monkeypatch: pytest.MonkeyPatch):
    given(put, monkeypatch, TEXTS | {"validation": conllu("a/DET b/X", "a/DET a/DET a/DET")})
    (first, endings), tags = next(iter(ewt(batch_size=1).batches("validation")))
    assert first.shape == endings.shape == (1, 2) and tags.shape == (1, 3)


@pytest.mark.parametrize(
    "line", ["2\tdog\t_\tNOUN", "2\tdog\t_\tNN\t_\t_\t_\t_\t_\t_", "2\t\t_\tNOUN\t_\t_\t_\t_\t_\t_"]
)
def test_a_line_that_is_none(put: Put, monkeypatch: pytest.MonkeyPatch, line: str):
    given(put, monkeypatch, TEXTS | {"train": conllu("a/DET")[:-1] + line + "\n"})
    with pytest.raises(
        DataError, match=r"line 3 of .*en_ewt-ud-train\.conllu is .* ten fields between tabs"
    ):
        ewt()


def test_a_file_that_is_another(put: Put, data: Path, monkeypatch: pytest.MonkeyPatch):
    given(put, monkeypatch, TEXTS, gzipped=True)
    (data / "ud" / "UD_English-EWT" / "en_ewt-ud-dev.conllu.gz").write_bytes(
        gzip.compress(b"something else\n")
    )
    with pytest.raises(DataError, match=r"en_ewt-ud-dev\.conllu\.gz is not the file it should be"):
        ewt()


def test_where_there_is_none_the_error_says_where_to_put_it(
    data: Path, monkeypatch: pytest.MonkeyPatch
):
    files = {
        s: (Source(p.folder, p.name, "file:///nowhere/at/all", p.sha256), g)
        for s, (p, g) in module.FILES.items()
    }
    monkeypatch.setattr(module, "FILES", files)
    with pytest.raises(
        DataError,
        match=r"SHOESTRING_DATA to a folder that holds ud/UD_English-EWT/en_ewt-ud-train\.conllu",
    ):
        ewt()


def test_vocabulary_by_hand():
    vocabulary = TaggingVocabulary(("good", "bad"), ("Aa bad", "a ood"))
    words, endings = vocabulary.ids([["Bad", "good", "Ugly"], [], ["USA", "R2", "..."]], 4)
    assert words.tolist() == [[3, 2, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]]
    assert endings.tolist() == [[6, 7, 2, 0], [0, 0, 0, 0], [3, 4, 5, 0]]
    assert [one.shape for one in vocabulary.ids([["a"], ["a", "b"]])] == [(2, 2), (2, 2)]
    assert [one.shape for one in vocabulary.ids([])] == [(0, 0), (0, 0)]
    assert vocabulary.ids([["good", "bad"]], 1)[0].tolist() == [[2]]


def test_words_are_dropped_and_endings_stay():
    words, endings = torch.arange(2, 1002).repeat(10, 1), torch.arange(1, 1001).repeat(10, 1)
    with seeded(0):
        dropped, kept = known_words_dropped(words, endings)
    assert torch.equal(kept, endings) and dropped[dropped != words].unique().tolist() == [1]
    assert (dropped != words).float().mean() == pytest.approx(0.1, abs=0.02)
