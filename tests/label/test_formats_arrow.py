"""Folders of Hugging Face `datasets`, written here; `datasets` reads them where it is installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from shoestring.label import Annotation, Box, Choice, Collection, Example
from shoestring.label.formats import Arrow, read, write


def reviews(*splits: str) -> Collection:
    """Three texts with a field, of which the last has no label."""
    said = [(Annotation(labels=(Choice(name=name),)),) for name in ("pos", "neg")]
    examples = [
        Example(
            name=f"row {at}",
            text=f"a film, number {at}, été 😀",
            fields={"stars": str(at)},
            annotations=said[at] if at < 2 else (),
            split=splits[at] if splits else "",
        )
        for at in range(3)
    ]
    return Collection(examples=tuple(examples), kind=Choice, names=("neg", "pos", "odd"))


@pytest.mark.parametrize("splits", [(), ("train", "test", "train"), ("train", "", "test")])
def test_a_folder_is_read_again(tmp_path: Path, splits: tuple[str, ...]):
    pytest.importorskip("pyarrow")
    collection = reviews(*splits)
    assert write(collection, tmp_path / "new", Arrow()) == ()
    again = read(tmp_path / "new")
    assert {one.name: one for one in again.examples} == {
        one.name: one for one in collection.examples
    }
    assert again.names == collection.names
    with pytest.raises(FileExistsError):
        write(collection, tmp_path / "new", Arrow())


def test_datasets_reads_it(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    write(reviews("train", "test", "train"), tmp_path / "new", Arrow())
    found = datasets.load_from_disk(str(tmp_path / "new"))
    assert {name: len(one) for name, one in found.items()} == {"train": 2, "test": 1}
    first = found["train"][0]
    assert first["example"] == "row 0" and first["text"].endswith("😀") and first["stars"] == "0"
    assert found["train"].features["label"].int2str(first["label"]) == "pos"
    assert found["train"][1]["label"] == -1
    found.save_to_disk(str(tmp_path / "again"))  # and back: what it writes is read
    assert {one.name for one in read(tmp_path / "again").examples} == {"row 0", "row 1", "row 2"}


def test_what_has_no_place_is_said(tmp_path: Path):
    one = reviews().examples[0]
    picture = Example(name="1.png", picture=tmp_path / "1.png")
    both = (Annotation(labels=(Choice(name="neg"), Choice(name="pos"))),)
    for example, why in (
        (picture, r'is a picture: write PictureFolder\(\), and load it with .*"imagefolder"'),
        (replace(one, annotations=both), "has several classes"),
        (replace(one, fields={"label": "x"}), "a field is named 'label'"),
    ):
        with pytest.raises(ValueError, match=why):
            write(replace(reviews(), examples=(example,)), tmp_path / "new", Arrow())
    for collection, why in (
        (Collection(examples=(one,), kind=Box), "a class for each example, no Box"),
        (Collection(examples=(), kind=Choice), "without examples is no data set"),
    ):
        with pytest.raises(ValueError, match=why):
            write(collection, tmp_path / "new", Arrow())
    assert not (tmp_path / "new").exists()


def test_without_pyarrow_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match="need pyarrow: pip install pyarrow"):
        write(reviews(), tmp_path / "new", Arrow())
    assert list(tmp_path.iterdir()) == []
