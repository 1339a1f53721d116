"""The UDHR by article, tables of labelled texts and excerpts."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from shoestring.artifact import HashedText
from shoestring.tasks import (
    DataError,
    LabelledTexts,
    excerpts,
    identifying,
    labelled_texts,
    letters_of,
    udhr,
)
from shoestring.tasks.udhr import _articles, cut_short


def declaration(headings: bool) -> str:
    lines = ["Declaration", "Preamble says this"]
    for number in range(1, 31):
        lines += [f"Article {number}"] * headings + [f"   text{number:02d} of one article. " * 3]
    return "\n".join(lines)


def test_articles_begin_at_their_numbers_or_at_equal_shares() -> None:
    parts = _articles(declaration(True))
    assert len(parts) == 31
    for number in range(2, 31):
        assert set(parts[number].split()) == {f"text{number:02d}", "of", "one", "article."}
    assert "text01" in parts[0]  # its number is often a word, so it belongs to the preamble
    shares = _articles(declaration(False))
    assert sum(len(part) > 0 for part in shares) > 25
    assert " ".join(filter(None, shares)).split() == declaration(False).split()


def test_the_splits_have_the_same_languages_and_no_common_article() -> None:
    try:
        splits = {name: udhr(name) for name in ("train", "validation", "test")}
    except DataError as error:
        pytest.skip(str(error))
    assert {len(set(one.labels)) for one in splits.values()} == {380}
    english = {
        name: {t for t, k in zip(one.texts, one.labels, strict=True) if k == "eng"}
        for name, one in splits.items()
    }
    assert [len(one) for one in english.values()] == [22, 3, 5]
    assert "No one shall be subjected to torture" in " ".join(english["test"])
    with pytest.raises(ValueError, match="no split"):
        udhr("dev")


def test_excerpts_have_one_length_and_begin_with_words() -> None:
    words = LabelledTexts(texts=("one two three four", "東" * 30, "x"), labels=("a", "b", "c"))
    found = excerpts(words, 5, each=3)
    assert {len(text) for text in found.texts} == {5}
    assert sorted(set(found.labels)) == ["a", "b"]
    assert set(found.at([0, 1, 2]).texts) == {"one t", "two t", "three"}
    assert excerpts(words, 5, each=3) == found != excerpts(words, 5, each=3, seed=4)


def test_the_task_and_its_pieces() -> None:
    train = LabelledTexts(texts=("a dog and a cat " * 20, "ein hund"), labels=("en", "de"))
    step = HashedText(buckets=97)
    step = replace(step, pages=letters_of(train.texts, step))
    assert step.pages == (0, 0)
    assert letters_of(["a ы 東京 へ"], step) == (0, 0, 4, 4, 0x30, 0x30, 0x4E, 0x4E, 0x67, 0x67)
    task = identifying(train, train, train, step=step)
    assert task.input_chain is not None and task.input_chain.labels == ("de", "en")
    assert task.train[1].tolist()[-1] == 0
    with pytest.raises(ValueError, match="'fr'"):
        identifying(train, train, LabelledTexts(texts=("x",), labels=("fr",)), step=step)
    torch.manual_seed(0)
    rows = torch.arange(1, 301).repeat(5, 1)
    widths = set()
    for _ in range(50):
        piece = cut_short(rows)
        widths.add(piece.shape[1])
        assert torch.equal(piece - piece[:, :1], torch.arange(piece.shape[1]).repeat(5, 1))
    assert min(widths) >= 20 and max(widths) <= 300 and len(widths) > 20


def test_tables_of_texts(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(b"a\tb\tx\r\n\n<script>\ty\n")
    assert labelled_texts(path) == LabelledTexts(texts=("a\tb", "<script>"), labels=("x", "y"))
    for bad in (b"", b"no tab", b"\tx", b"a\t", b"a\tx\nb"):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="write a text, a tab and its label"):
            labelled_texts(path)


def test_a_damaged_archive_is_said(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "nltk"
    folder.mkdir()
    with zipfile.ZipFile(folder / "udhr2.zip", "w") as archive:
        archive.writestr("udhr2/eng.txt", "x")
    monkeypatch.setenv("SHOESTRING_DATA", str(tmp_path))
    with pytest.raises(DataError, match="sha256"):
        udhr("train")
