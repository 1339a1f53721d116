"""The document as JSON: strict, complete, and safe inside a page."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from shoestring.report import Document, document_of
from shoestring.report.document import (
    LONGEST,
    Axis,
    Bill,
    BillRow,
    Budget,
    Cell,
    Command,
    Layer,
    LedgerRow,
    Limit,
    Point,
    Rate,
    Sensitivity,
)

from .made import search

GOLDEN = Path(__file__).with_name("golden.json")
POINT = Point(id="a", label="A")
FULL = Document(
    kind="study",
    title="all",
    resources=(Axis(field="bytes", name="", unit="B", words="", better="lower", log=True),),
    before=POINT,
    after=POINT,
    points=(POINT,),
    budget=Budget(
        text="", limits=(Limit(field="bytes", at_most=1, at_least=None, words=""),), met=None
    ),
    bill=Bill(total=1, rows=(BillRow(tensor="", section="", bytes=1, words=""),)),
    layers=(Layer(tensor="", numbers=1, bits=8.0, zeros=None, bytes=1, kind=""),),
    sensitivity=Sensitivity(
        layers=("",),
        actions=("",),
        cells=(
            Cell(
                layer="",
                action="",
                score_lost=None,
                score_error=None,
                bytes_saved=None,
                milliseconds_saved=None,
                note="",
            ),
        ),
        words="",
    ),
    ledger=(
        LedgerRow(
            **dict.fromkeys(("kind", "technique", "gist", "note", "machine"), ""),
            **dict.fromkeys(("task", "seed", "score_before", "score_after", "file", "run")),  # type: ignore[arg-type]
            id=1,
            time=0.0,
            cost_before={},
            cost_after={},
        ),
    ),
    rates=(Rate(start="a", end="b", words="", given=1, got=1, given_unit="B", got_unit=""),),
    commands=(Command(words="", command=""),),
)


def parts(value: Any) -> list[Any]:
    """A value of the document and all that it holds."""
    if is_dataclass(value):
        return [value, *(p for f in fields(value) for p in parts(getattr(value, f.name)))]
    return [p for one in value for p in parts(one)] if isinstance(value, tuple) else [value]


def test_every_field_of_every_part_is_in_the_json():
    kinds = {type(part) for part in parts(FULL) if is_dataclass(part)}
    assert {one.__name__ for one in kinds} == {
        *("Document", "Axis", "Limit", "Budget", "Point", "BillRow", "Bill", "Layer", "Cell"),
        *("Sensitivity", "LedgerRow", "Rate", "Command"),
    }
    values = json.loads(FULL.to_json())
    found = {
        Document: values,
        Axis: values["resources"][0],
        Limit: values["budget"]["limits"][0],
        Budget: values["budget"],
        Point: values["points"][0],
        Bill: values["bill"],
        BillRow: values["bill"]["rows"][0],
        Layer: values["layers"][0],
        Sensitivity: values["sensitivity"],
        Cell: values["sensitivity"]["cells"][0],
        LedgerRow: values["ledger"][0],
        Rate: values["rates"][0],
        Command: values["commands"][0],
    }
    for kind in kinds:
        names = {f.name for f in fields(kind)}
        if kind is Rate:  # "from" is a word of Python's
            names = names - {"start", "end"} | {"from", "to"}
        assert set(found[kind]) - {"schema"} == names, kind
    assert values["schema"] == 1


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_number_that_json_or_a_browser_does_not_have_is_null_or_left_out(number):
    point = Point(id="a", label="", costs={"bytes": number, "seconds": 1.0}, error=number)
    text = Document(kind="study", title="", points=(point,)).to_json()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not strict JSON")

    values = json.loads(text, parse_constant=refuse)["points"][0]
    assert values["costs"] == {"seconds": 1.0} and values["error"] is None


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "<!--", "a\"b'c", "a\nb\u2028", "\udcff", "é"]
)
def test_no_text_ends_the_script_that_holds_it(text):
    written = Document(kind="study", title=text, notes=(text,)).to_json()
    assert "<" not in written and written.isascii() and "\n" not in written
    values = json.loads(written)
    assert values["title"] == text and values["notes"] == [text]


def test_a_long_text_is_cut_and_says_so():
    values = json.loads(Document(kind="study", title="x" * 1_000_000).to_json())
    assert values["title"] == "x" * LONGEST + "… (1,000,000 characters)"


def test_a_small_search_is_collected_as_it_always_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search(tmp_path)
    values = json.loads(document_of(Path("sums.shoe")).to_json())
    values |= {"made": "", "version": ""}
    assert values == json.loads(GOLDEN.read_text()), (
        f"if this is meant, write {json.dumps(values)} to {GOLDEN}"
    )
