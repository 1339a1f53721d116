"""The documents of a lone file and of a ledger, also in the base install."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shoestring.artifact import save
from shoestring.artifact.format import file
from shoestring.artifact.format.file import Checkpoint
from shoestring.artifact.format.tensors import tensor
from shoestring.core import Cost, Ledger, Row
from shoestring.report import document_of
from shoestring.report.rows import MOST_ROWS

from .made import small

DIGEST = hashlib.sha256(small()).hexdigest()


@pytest.fixture
def lone(tmp_path) -> Path:
    save(tmp_path / "sums.shoe", small())
    return tmp_path / "sums.shoe"


def step(name: str, score: float | None, size: int, **more) -> Row:
    """The row of a step that made a file of so many bytes from one of 800 with a score of 0.9."""
    return Row(
        **{
            "kind": "apply",
            "technique": f"chain({name})",
            "score_before": 0.9,
            "score_after": score,
            "cost_before": Cost(bytes=800),
            "cost_after": Cost(bytes=size, seconds=30.0),
            "task": "sums",
            "model": "m",
            **more,
        }
    )


def test_a_lone_file_shows_its_bytes_and_says_what_is_not_known(lone):
    found = document_of(lone)
    assert found.kind == "file" and found.before is None and found.budget is None
    assert found.after is not None and found.points == (found.after,)
    assert found.after.costs == {"bytes": len(small())} and found.after.sha256 == DIGEST
    assert found.bill is not None and found.bill.total == len(small())
    assert len(found.layers) == 1 and found.layers[0].zeros == 0.5
    assert any("Only the file is known" in note for note in found.notes)


def test_a_ledger_beside_it_tells_what_it_was_made_from(lone):
    ledger = Ledger(lone.with_name("shoestring.ledger"))
    ledger.append(step("First()", 0.89, 500))
    ledger.append(step("A(bits=4)", 0.895, len(small()), sha256=DIGEST, parent=1))
    ledger.append(step("Other()", 0.5, 300))
    ledger.append(Row(kind="prove", technique="", score_after=0.87, sha256=DIGEST))
    found = document_of(lone)
    assert found.before is not None and found.before.scores == {"score": 0.9}
    assert found.before.costs == {"bytes": 800}
    assert found.after is not None and found.after.label == "A(bits=4)"
    assert found.after.test == 0.87 and found.after.minutes == 0.5
    assert [row.id for row in found.ledger] == [1, 2, 4], "its steps, and no other"
    assert found.notes == ()


def test_a_packed_checkpoint_has_other_commands(tmp_path):
    one = tensor(np.array([[0.0, 1.0]], np.float32), 0)
    save(tmp_path / "graph.shoe", file.pack(Checkpoint([one], ("graph.weight",))))
    found = document_of(tmp_path / "graph.shoe")
    words = [command.command.split()[1] for command in found.commands]
    assert words == ["inspect", "unpack"] and found.layers[0].tensor == "graph.weight"


def test_unsigned_integers_have_no_known_zeros_and_negative_zeros_count(tmp_path):
    floats = tensor(np.array([0.0, -0.0, 1.0, np.nan], np.float32), 0)
    whole = tensor(np.array([128, 0], np.uint8), 1)
    signed = tensor(np.array([0, -128], np.int8), 2)
    content = Checkpoint([floats, whole, signed], ("floats", "whole", "signed"))
    save(tmp_path / "a.shoe", file.pack(content))
    zeros = {layer.tensor: layer.zeros for layer in document_of(tmp_path / "a.shoe").layers}
    assert zeros == {"floats": 0.5, "whole": None, "signed": 0.5}


def test_a_ledger_shows_its_rows_and_the_points_of_its_newest_model(tmp_path):
    ledger = Ledger(tmp_path / "a.ledger")
    ledger.append(step("Old()", 0.4, 10, model="another"))
    ledger.append(step("A(bits=4)", 0.895, 400, sha256=DIGEST))
    ledger.append(step("B(bits=2)", 0.8, 200))
    ledger.append(step("D(bits=8)", 0.85, 700))
    ledger.append(step("C()", None, 5, kind="failed", note="C cannot"))
    ledger.append(Row(kind="prove", technique="", score_after=0.87, sha256=DIGEST))
    found = document_of(tmp_path / "a.ledger")
    assert found.kind == "ledger" and len(found.ledger) == 6
    assert [p.label for p in found.points] == [
        "as it came in",
        "A(bits=4)",
        "B(bits=2)",
        "D(bits=8)",
        "C",
    ]
    assert found.frontier == ("row-3", "row-2", "before")
    assert found.after is not None and found.after.id == "row-2" and found.after.test == 0.87
    assert [round(rate.got, 4) for rate in found.rates] == [0.095, 0.005]
    assert any("1 steps on other models" in note for note in found.notes)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "The ledger has no rows yet."),
        ([step("C()", None, 5, kind="failed")], "No step in this ledger gave a model (1 failed)"),
    ],
)
def test_a_ledger_without_points_says_so(tmp_path, rows, words):
    ledger = Ledger(tmp_path / "a.ledger")
    (tmp_path / "a.ledger").touch()
    for row in rows:
        ledger.append(row)
    found = document_of(tmp_path / "a.ledger")
    assert found.points == () and any(words in note for note in found.notes)


def test_rows_with_numbers_that_are_none_stay_strict_json(tmp_path):
    ledger = Ledger(tmp_path / "a.ledger")
    ledger.append(step("A()", float("inf"), 10, scores_after={"recall": float("inf"), "f1": 0.5}))
    values = json.loads(document_of(tmp_path / "a.ledger").to_json())
    assert values["points"][1]["state"] == "nan" and values["points"][1]["scores"] == {"f1": 0.5}


def test_of_many_rows_the_newest_are_shown_and_those_of_the_file(lone):
    from shoestring.core.ledger import database_of

    rows = [step("A()", 0.5, 10, sha256=DIGEST, id=1)]
    rows += [step(f"X({at})", 0.5, 10, id=at, parent=at - 1) for at in range(2, MOST_ROWS + 5)]
    rows += [step("Last()", 0.5, 10, sha256=DIGEST, id=MOST_ROWS + 5, parent=MOST_ROWS + 4)]
    save(lone.with_name("shoestring.ledger"), database_of(rows))
    found = document_of(lone)
    assert len(found.ledger) == MOST_ROWS + 1
    assert found.ledger[0].id == 1 and found.ledger[-1].id == MOST_ROWS + 5
    assert any(f"has {MOST_ROWS + 5:,} rows" in note for note in found.notes)


def test_a_file_and_a_ledger_need_no_torch_and_a_search_says_what_it_needs(lone):
    ledger = Ledger(lone.with_name("shoestring.ledger"))
    ledger.append(step("A(bits=4)", 0.895, 49, sha256=DIGEST))
    program = """
import importlib.util
import sys

ABSENT, find_spec = ("torch", "onnx", "onnxscript"), importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name in ABSENT else find_spec(name, *more)

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without())
from pathlib import Path
import shoestring.cli  # the command line too
from shoestring.report import document_of, write_report

assert document_of(Path("sums.shoe")).kind == "file"
assert document_of(Path("shoestring.ledger")).kind == "ledger"
assert write_report("sums.shoe", "a.html").stat().st_size > 10_000
folder = Path("sums.shoe.study")
folder.mkdir()
(folder / "search.json").write_text("{}")
found = document_of(Path("sums.shoe"))
assert found.kind == "file" and "extra `train`" in found.notes[0], found.notes
try:
    document_of(folder)
except ModuleNotFoundError as error:
    assert "extra `train`" in str(error), error
else:
    raise AssertionError("a search was read without torch")
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=lone.parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
