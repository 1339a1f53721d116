"""Names of tensors, kept beside a search and found again by the file."""

import hashlib

import pytest
from samples import linear

from shoestring.artifact import bill, save
from shoestring.artifact.format import file
from shoestring.artifact.format.names import keep_names, names_beside, note_names

DATA = file.pack(linear())


@pytest.fixture
def path(tmp_path):
    """The file of a search that noted its names."""
    study = tmp_path / "model.shoe.study"
    study.mkdir()

    called = keep_names(study, ["head.weight", "head.bias"])
    assert (
        keep_names(study, ["head.weight", "head.bias"]) == called
        and len(list(study.glob("names-*.json"))) == 1
    )
    note_names(study, {hashlib.sha256(DATA).hexdigest(): called})
    save(tmp_path / "model.shoe", DATA)
    return tmp_path / "model.shoe"


def test_a_file_has_the_names_that_its_search_noted(path):
    assert names_beside(path, DATA) == ["head.weight", "head.bias"]
    lines = bill(DATA, names_beside(path, DATA))
    assert [line.name for line in lines[:2]] == ["head.weight", "head.bias"] and sum(
        line.bytes for line in lines
    ) == len(DATA)


def test_a_point_that_was_picked_has_them_too_and_another_file_has_none(path):
    assert names_beside(path.with_name("model.3.shoe"), DATA) == ["head.weight", "head.bias"]
    assert names_beside(path, DATA + b"x") == []


def test_damaged_notes_are_no_names(path):
    study = path.with_name("model.shoe.study")
    for one in study.glob("names-*.json"):
        one.write_text('["only one"]')
    assert [line.name for line in bill(DATA, names_beside(path, DATA))][:2] == [
        "only one",
        "tensor 1",
    ]
    for one in study.glob("names-*.json"):
        one.write_text("{")
    assert names_beside(path, DATA) == []
    (study / "names.json").write_bytes(b"\xff")
    assert names_beside(path, DATA) == []
