"""What a path may be; each other one is refused in one sentence that says what to do."""

import hashlib
import json
import os
import re
import sqlite3
import time
from pathlib import Path

import pytest

from shoestring.artifact import ShoeError, save
from shoestring.core import Ledger, Row
from shoestring.report import document_of, newest_study

from .made import finish, search, small, trial

WHAT = "name a .shoe file, the folder of its search"


@pytest.mark.parametrize(
    "name", ["sums.shoe", "sums.shoe.study", "sums.shoe.study/search.json", "study.sqlite"]
)
def test_the_file_its_folder_and_what_is_in_it_are_the_same_search(tmp_path, name):
    path = search(tmp_path)
    folder = path.with_name("sums.shoe.study")
    at = folder / name if name == "study.sqlite" else tmp_path / name
    assert document_of(at).title == "sums.shoe" and document_of(at).kind == "study"


def test_without_a_path_the_newest_search_is_meant(tmp_path):
    with pytest.raises(FileNotFoundError, match=WHAT):
        newest_study(tmp_path)
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        search(tmp_path / name)
        folder = tmp_path / f"{name}.shoe.study"
        (tmp_path / name / "sums.shoe.study").rename(folder)
        for one in folder.iterdir():
            past = time.time() - (1000 if name == "old" else 0)
            os.utime(one, (past, past))
    assert newest_study(tmp_path).name == "new.shoe.study"


@pytest.mark.parametrize(
    ("name", "contents", "error", "words"),
    [
        ("nothing.shoe", None, FileNotFoundError, f"there is nothing at .*{WHAT}"),
        ("a.txt", b"hello", ValueError, f"is no .shoe file and no ledger: {WHAT}"),
        ("a.html", b"", ValueError, "is no .shoe file and no ledger"),
        ("a.shoe", b"", ShoeError, "a.shoe: "),
        ("a.shoe", b"SHOE", ShoeError, "a.shoe: "),
        ("a.shoe", b"SHOE\xff" + bytes(50), ShoeError, "version 255"),
        ("a.shoe", small()[:-1], ShoeError, "a.shoe: "),
        ("a.ledger", b"no ledger", ValueError, "--recover"),
        ("a.ledger", b"SQLite format 3\0" + bytes(100), ValueError, "ledger"),
    ],
)
def test_what_is_none_of_these(tmp_path, name, contents, error, words):
    if contents is not None:
        (tmp_path / name).write_bytes(contents)
    with pytest.raises(error, match=words) as caught:
        document_of(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_search_a_device_and_a_database_of_another_program(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"there is no search in .*{WHAT}"):
        document_of(tmp_path)
    if os.name == "posix":
        with pytest.raises(OSError, match="is a device"):
            document_of(Path("/dev/null"))
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("create table birds (name text)")
    with pytest.raises(ValueError, match="database of another program"):
        document_of(tmp_path / "other.db")


def test_damaged_and_newer_ledgers(tmp_path):
    ledger = Ledger(tmp_path / "a.ledger")
    for at in range(200):
        ledger.append(Row(kind="apply", technique=f"A({at})" * 50, score_after=0.5))
    data = bytearray((tmp_path / "a.ledger").read_bytes())
    data[4096 * 3 : 4096 * 9] = b"\xff" * (4096 * 6)
    (tmp_path / "damaged.ledger").write_bytes(data)
    with pytest.raises(ValueError, match="--recover"):
        document_of(tmp_path / "damaged.ledger")
    with sqlite3.connect(tmp_path / "a.ledger") as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(ValueError, match="newer Shoestring"):
        document_of(tmp_path / "a.ledger")
    save(tmp_path / "sums.shoe", small())
    with pytest.raises(FileNotFoundError, match="there is no ledger at"):
        document_of(tmp_path / "sums.shoe", tmp_path / "none.ledger")


def test_a_ledger_beside_a_ledger_is_refused(tmp_path):
    for name in ("one.ledger", "other.ledger"):
        Ledger(tmp_path / name).append(Row(kind="apply", technique="A()", score_after=0.5))
    with pytest.raises(ValueError, match=r"one\.ledger is a ledger itself, so .*other\.ledger"):
        document_of(tmp_path / "one.ledger", tmp_path / "other.ledger")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base": "high"}, "is damaged"),
        ({"base": float("nan")}, "is damaged (the score of the model that came in is nan)"),
        ({"original_cost": {"birds": 1}}, "is damaged"),
        ({"budget": "birds<=3"}, "is damaged"),
        ({"points": ["{"]}, "is damaged"),
    ],
)
def test_a_damaged_search_is_refused_by_itself_and_said_beside_its_file(tmp_path, changes, words):
    path = search(tmp_path, **changes)
    with pytest.raises(ValueError, match=re.escape(words)):
        document_of(path.with_name("sums.shoe.study"))
    found = document_of(path)
    assert found.kind == "file" and words in found.notes[0]


def test_a_search_of_a_newer_version_is_refused(tmp_path):
    path = search(tmp_path)
    with sqlite3.connect(path.with_name("sums.shoe.study") / "study.sqlite") as connection:
        connection.execute("pragma user_version = 99")
    with pytest.raises(ValueError, match="newer version of shoestring"):
        document_of(path.with_name("sums.shoe.study"))
    assert document_of(path).kind == "file"


def test_a_trial_that_cannot_be_read(tmp_path):
    path = search(tmp_path)
    folder = path.with_name("sums.shoe.study")
    finish(folder, trial("E()", 0.5, 10), None)
    with sqlite3.connect(folder / "study.sqlite") as connection:
        connection.execute("update trials set trial = '{}' where technique = 'chain(E())'")
    with pytest.raises(ValueError, match="is damaged"):
        document_of(folder)


def test_tables_of_sensitivity(tmp_path):
    path = search(tmp_path)
    table = path.with_name("sums.shoe.study") / "sensitivity.json"
    effect = {
        "layers": ["head"],
        "action": "A(bits=4)",
        "score_lost": 0.01,
        "score_error": None,
        "bytes_saved": 12,
        "milliseconds_saved": None,
        "note": "",
    }
    values = {
        "effects": [effect, {**effect, "layers": [""], "score_lost": float("nan")}],
        "score": 0.9,
        "bytes": 800,
        "examples": 1000,
        "sha256": hashlib.sha256(small(8.0)).hexdigest(),
    }
    table.write_text(json.dumps(values))
    found = document_of(path).sensitivity
    assert found is not None and found.layers == ("head", "(the model itself)")
    assert [cell.score_lost for cell in found.cells] == [0.01, None]
    assert "score 90.00 % on 1,000 validation examples, 800 bytes" in found.words

    other = tmp_path / "other.json"
    other.write_text(json.dumps({**values, "sha256": "another"}))
    table.write_bytes(other.read_bytes())
    assert document_of(path).sensitivity is None
    assert any("is of another model" in note for note in document_of(path).notes)
    named = document_of(path, sensitivity=other)
    assert named.sensitivity is not None, "that one was asked for"
    assert "other.json is of another model" in named.notes[-1]
    for contents in ("[]", "{", "{}", '{"effects": 3}'):
        table.write_text(contents)
        other.write_text(contents)
        found = document_of(path)
        assert found.sensitivity is None
        assert any("no table of sensitivity" in note for note in found.notes)
        with pytest.raises(ValueError, match="sensitivity --json"):
            document_of(path, sensitivity=other)
