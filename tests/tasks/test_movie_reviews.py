"""Movie reviews where they are, their format on a file made here, and next words by hand."""

from __future__ import annotations

import importlib
import io
import zipfile
from collections.abc import Callable
from math import log2

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoestring.core import SealedError, score
from shoestring.tasks import (
    DataError,
    NextWord,
    movie_reviews,
    perplexity,
    review_vocabulary,
)
from shoestring.tasks.fetch import Source, present

module = importlib.import_module("shoestring.tasks.movie_reviews")
Put = Callable[[Source, bytes], Source]


class Uniform(nn.Module):
    """All words are equally likely."""

    def forward(self, ids: Tensor) -> Tensor:
        return torch.full(ids[:, 1:].shape, -float(np.log(8)))


def stream(length: int) -> Tensor:
    return torch.arange(length) % 8


def task(**settings) -> NextWord:
    given = {"train": stream(40), "validation": stream(23), "test": stream(12)}
    return NextWord(**{**given, "words": 8, "window": 5, **settings})


def archived(reviews: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("movie_reviews/README", "about cv stuff")
        for name, text in reviews.items():
            archive.writestr(f"movie_reviews/{name}.txt", text)
    return data.getvalue()


def test_the_reviews_as_they_are():
    if present(module._SOURCE) is None:
        pytest.skip(
            "the reviews are not here: set SHOESTRING_DATA to a folder that holds "
            "nltk/movie_reviews.zip, or run python -c 'from shoestring.tasks import "
            "movie_reviews; movie_reviews()' once where there is a network"
        )
    found, vocabulary = movie_reviews(words=40_000), review_vocabulary(40_000)
    assert [len(one) for one in (found.train, found.validation, found.test)] == [
        1_195_139,
        146_626,
        152_916,
    ]
    assert len(vocabulary) == found.words == 40_000 and vocabulary.words[2] == ","
    beginning = vocabulary.ids(
        ["plot", ":", "two", "teen", "couples", "go", "to", "a", "church", "party"]
    )
    assert found.train[:10].equal(beginning)
    assert sum(int((one == 0).sum()) for one in (found.train, found.validation, found.test)) == 2000
    unknown = [float((one == 1).float().mean()) for one in (found.train, found.validation)]
    assert unknown[0] < 0.006 and unknown[1] < 0.03


def test_reviews_are_split_by_number_and_words_have_ids(put: Put, monkeypatch: pytest.MonkeyPatch):
    content = archived(
        {
            "neg/cv000_1": "a film \na bad film .\n",
            "neg/cv800_2": "a splendid film\n",
            "neg/cv900_3": "bad film",
            "pos/cv799_4": "a caf\xe9",
        }
    )
    monkeypatch.setattr(module, "_SOURCE", put(module._SOURCE, content))
    assert review_vocabulary(5).words == ("<end>", "<unknown>", "a", "film", ".")
    assert review_vocabulary(99).words[4:] == (".", "bad", "caf\xc3\xa9")
    found = movie_reviews(words=5, window=2)
    assert found.train.tolist() == [2, 3, 2, 1, 3, 4, 0, 2, 1, 0]
    assert found.validation.tolist() == [2, 1, 3, 0]
    assert found.words == 5


def test_a_damaged_file_is_named(put: Put, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_SOURCE", put(module._SOURCE, b"PK not a zip"))
    with pytest.raises(DataError, match=r"movie_reviews\.zip is not the reviews"):
        movie_reviews()


def test_the_score_is_in_bits_and_counts_each_word_once():
    merits = task().merits(Uniform(), "validation")
    assert len(merits) == 22  # all but the first, those left over in a shorter window
    assert np.allclose(merits, -3)
    assert score(task(), Uniform()) == pytest.approx(-log2(8))
    assert perplexity(-3.0) == 8


def test_windows_overlap_by_the_id_that_is_read_first():
    given = task()
    windows = torch.cat(list(given.batches("train")))
    assert windows.shape == (7, 6)
    firsts = sorted(int(one) for one in given.train.unfold(0, 6, 5)[:, 0])
    assert sorted(windows[:, 0].tolist()) == firsts
    assert [list(one.shape) for one in given.batches("validation")] == [[4, 6], [1, 3]]


def test_a_sample_is_of_validation_windows():
    sampled = task().sampled(2, seed=0)
    assert len(sampled.merits(Uniform(), "validation")) == 10
    assert len(sampled.merits(Uniform(), "test")) == 11
    assert task().sampled(9, seed=0).merits(Uniform(), "validation").shape == (22,)
    with pytest.raises(ValueError, match="examples is 0"):
        task().sampled(0, seed=0)


def test_its_test_split_is_sealed():
    sealed = task().sealed()
    with pytest.raises(SealedError):
        sealed.score(Uniform(), "test")
    assert sealed.example()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train": torch.tensor([0, 1, 8, 3, 4, 5, 6])}, "ids from 0 to 8: they must be from 0"),
        ({"test": torch.tensor([0, -1, 2, 3, 4, 5, 6])}, "the test stream has ids from -1"),
        ({"validation": stream(5)}, "the validation stream has 5 words"),
        ({"window": 0}, "the window is 0"),
    ],
)
def test_streams_that_make_no_sense_are_refused(settings: dict, said: str):
    with pytest.raises(ValueError, match=said):
        task(**settings)


def test_a_vocabulary_needs_a_word(put: Put, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_SOURCE", put(module._SOURCE, archived({"neg/cv000_1": "a b"})))
    with pytest.raises(ValueError, match="a vocabulary of 2 words: 3 is the least"):
        review_vocabulary(2)
