"""Tables and JSON lines of all sorts: what is found in them, what is said, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shoestring.label import Annotation, Box, Choice, Span
from shoestring.label.formats import FormatError, Table, format_of, read

REVIEWS = "text,label\nA fine film indeed,pos\nA dull film indeed,neg\n"


def put(folder: Path, content: str | bytes, name: str = "x.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def classes(path: Path, **options: object) -> list[str]:
    return [
        one.annotations[0].labels[0].name if one.annotations else ""
        for one in read(path, **options).examples
    ]


@pytest.mark.parametrize(
    "content",
    [
        REVIEWS,
        REVIEWS.replace(",", "\t"),
        REVIEWS.replace(",", ";"),
        REVIEWS.replace("\n", "\r\n"),
        REVIEWS.encode("utf-8-sig"),
        REVIEWS.encode("utf-16"),
        REVIEWS.replace("\n", "\n\n"),
    ],
)
def test_separators_ends_of_lines_and_encodings(tmp_path: Path, content: str | bytes):
    collection = read(put(tmp_path, content))
    assert [one.text for one in collection.examples] == ["A fine film indeed", "A dull film indeed"]
    assert classes(tmp_path / "x.csv") == ["pos", "neg"] and collection.names == ("neg", "pos")
    assert "The text is the column 'text'; name another with text=." in collection.notes


def test_columns_are_found_by_what_is_in_them(tmp_path: Path):
    lines = [f"{at},this is the film number {at},{'ab'[at % 2]},2024" for at in range(20)]
    path = put(tmp_path, "\n".join(["no,what they wrote,verdict,year", *lines]))
    collection = read(path)
    assert collection.examples[3].text == "this is the film number 3"
    assert classes(path)[:3] == ["a", "b", "a"]
    assert collection.examples[3].fields == {"no": "3", "year": "2024"}
    assert any("column 'verdict'; name another with label=" in note for note in collection.notes)
    assert classes(path, label="year")[0] == "2024"
    with pytest.raises(FormatError, match=r"text='body' is no column of .*: its columns are 'no'"):
        read(path, text="body")


def test_a_first_line_that_is_an_example_is_kept(tmp_path: Path):
    lines = [f"this is the film number {at},{'ab'[at % 2]}" for at in range(20)]
    collection = read(put(tmp_path, "\n".join(lines)))
    assert len(collection.examples) == 20 and "for an example" in collection.notes[0]
    named = read(put(tmp_path, "\n".join(lines)), columns=("text", "label"))
    assert named.examples[0].text == "this is the film number 0"


def test_rows_pictures_and_lines_of_text(tmp_path: Path):
    rows = "\n".join(["width,height,kind", *(f"{at},{at * 2},{'xy'[at % 2]}" for at in range(8))])
    collection = read(put(tmp_path, rows))
    assert collection.examples[1].fields == {"width": "1", "height": "2"}
    assert collection.examples[1].text is None and collection.names == ("x", "y")
    collection = read(put(tmp_path, "image,label\na/1.png,cat\na/2.png,\n"))
    assert collection.examples[0].picture == tmp_path / "a/1.png"
    assert collection.examples[0].name == "a/1.png" and not collection.examples[1].annotations
    collection = read(put(tmp_path, "Well, yes.\n\nNo, no, no.\n", "x.txt"))
    assert [one.text for one in collection.examples] == ["Well, yes.", "No, no, no."]
    assert [one.name for one in collection.examples] == ["1", "2"]


def test_labels_that_are_not_there(tmp_path: Path):
    path = put(tmp_path, "text,label\none two three,nan\nfour five six,\nseven eight nine,NA\n")
    assert classes(path) == ["", "", "NA"]
    assert "Labels that are NaN, taken for none: 1." in read(path).notes


def test_numbers_are_in_order(tmp_path: Path):
    lines = [f"the text number {at},{at % 11}" for at in range(40)]
    assert read(put(tmp_path, "\n".join(["text,label", *lines]))).names == tuple(
        str(at) for at in range(11)
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,label\na,b\nc\n", "line 3 of .* has 1 cells, and the first line has 2"),
        ('text,label\n"a\nb",x\nc,d,e\n', "line 4 of .* has 3 cells"),
        ('text,label\n"a"b,x\n', "line 2 of .* is no line of a table"),
        ('text,label\n"a,x\n', "is no line of a table: unexpected end"),
        ("text,text\na,b\n", "the column 'text' 2 times"),
        ("text,label\n", "no line below them"),
        (REVIEWS.replace("fine", "été").encode("latin-1"), "line 2 of .* is not UTF-8 .*iconv"),
        (REVIEWS.encode("utf-16-le"), "zero byte at 1"),
        (REVIEWS.encode("utf-16")[:-1], "begins like UTF-16"),
        ("", "is empty"),
        ("example,text\na,b c d\na,e f g\n", "the example 'a' 2 times"),
        ("image,label\n../x.png,a\ny.png,b\n", "line 2 of .* names '../x.png', which is not in"),
        ("image,label\ny.png,b\n/etc/x.png,a\n", "line 3 of .*/etc/x.png"),
        (b"\x1f\x8b\x08", "is packed .gzip."),
        (b"PK\x03\x04", "is packed .zip."),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, content: str | bytes, says: str):
    with pytest.raises(FormatError, match=says):
        read(put(tmp_path, content))


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shoestring.label.formats.content.MOST_BYTES", 10)
    with pytest.raises(FormatError, match=r"has 5\d bytes, and at most 10 are read"):
        read(put(tmp_path, REVIEWS))


def test_a_long_text_is_read_and_the_limit_of_csv_stays(tmp_path: Path):
    import csv

    before = csv.field_size_limit()
    text = "word " * 40_000
    assert read(put(tmp_path, f"text,label\n{text},a\n")).examples[0].text == text
    assert csv.field_size_limit() == before


def test_nothing_there_and_the_wrong_thing(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="there is no"):
        read(tmp_path / "no.csv")
    with pytest.raises(FormatError, match="there is no picture in"):
        read(tmp_path)
    with pytest.raises(FormatError, match="is one picture: give the folder"):
        read(put(tmp_path, b"\x89PNG", "a.png"))
    with pytest.raises(FormatError, match="is markup"):
        read(put(tmp_path, "<annotation/>", "a.xml"))
    with pytest.raises(TypeError, match="in the format Table, which has no option 'images'"):
        read(put(tmp_path, REVIEWS), images="x")


# -- JSON lines


def lines(*records: object) -> str:
    return "".join(json.dumps(one) + "\n" for one in records)


def test_prodigy(tmp_path: Path):
    """The form that Prodigy documents for ner.manual, textcat.manual and image.manual."""
    common = {"_input_hash": -5, "_task_hash": 1, "_view_id": "ner_manual"}
    first = {
        "text": "Apple in Ulm",
        "meta": {"source": "web"},
        "tokens": [{"text": "Apple", "start": 0, "end": 5, "id": 0}],
        "spans": [{"start": 0, "end": 5, "token_start": 0, "token_end": 0, "label": "ORG"}],
        "answer": "accept",
        "_session_id": "news-ann",
        "_timestamp": 1600000000,
        **common,
    }
    second = first | {"spans": [], "answer": "ignore", "_session_id": "news-bob"}
    third = first | {"_input_hash": 7, "text": "x", "spans": [], "answer": "accept"}
    fourth = first | {"_input_hash": 8, "text": "y", "spans": [], "answer": "reject"}
    collection = read(put(tmp_path, lines(first, second, third, fourth), "x.jsonl"))
    one, two, three = collection.examples
    assert one.name == "-5" and one.fields == {"source": "web"}
    assert one.annotations == (
        Annotation(labels=(Span(start=0, end=5, name="ORG"),), by="news-ann", at=1.6e9),
        Annotation(skipped=True, by="news-bob", at=1.6e9),
    )
    assert two.annotations == (Annotation(by="news-ann", at=1.6e9),) and three.annotations == ()
    assert collection.notes == (
        "Answers that reject what was shown, which say no label, left out: 1.",
    )
    choice = {"text": "fine", "options": [{"id": "A"}], "accept": ["A"], "answer": "accept"}
    assert classes(put(tmp_path, lines(choice, choice), "x.jsonl")) == ["A", "A"]
    rect = {"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4, "type": "rect"}
    old = {"label": "dog", "points": [[5, 5], [5, 9], [8, 9], [8, 5]]}
    image = {"image": "a.png", "width": 9, "height": 9, "spans": [rect, old], "answer": "accept"}
    inside = {"image": "data:image/png;base64,AAAA", "spans": [], "answer": "accept"}
    collection = read(put(tmp_path, lines(image, inside), "x.jsonl"))
    assert collection.kind is Box and collection.examples[0].annotations[0].labels == (
        Box(left=1, top=2, width=3, height=4, name="cat"),
        Box(left=5, top=5, width=3, height=4, name="dog"),
    )
    assert "inside of the file" in collection.notes[0] and len(collection.examples) == 1


def test_plain_records_and_those_of_doccano(tmp_path: Path):
    path = put(
        tmp_path, lines({"text": "a b", "label": 1}, {"text": "c", "label": None}), "x.jsonl"
    )
    assert classes(path) == ["1", ""]
    path = put(tmp_path, json.dumps([{"review": "a", "stars": 5}, {"review": "b", "stars": 1}]))
    assert classes(path.rename(tmp_path / "x.json"), label="stars") == ["5", "1"]
    record = {"id": 3, "text": "Ann sleeps", "label": [[0, 3, "PER"]]}
    (one,) = read(put(tmp_path, lines(record), "x.jsonl")).examples
    assert one.annotations[0].labels == (Span(start=0, end=3, name="PER"),)
    both = {"text": "ab", "spans": [{"start": 0, "end": 1, "label": "X"}] * 2, "label": "pos"}
    collection = read(put(tmp_path, lines(both), "x.jsonl"))
    assert collection.kind is Span
    assert collection.notes == ("Labels of the kind Choice beside those of Span, left out: 1.",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"text": "a"}\n{"text": \n', "line 2 of .* is no JSON"),
        ('{"text": "a"}\n[1]\n', "line 2 of .* is no JSON object"),
        ('{"text": "a", "x": NaN}\n{"text": "a"}\n', "line 1 of .* holds NaN"),
        ('{"text": "a", "x": 1e999}\n{"text": "a"}\n', "holds 1e999"),
        ('{"a": [1]}\n{"a": [2]}\n', "neither a text nor a picture: its keys are 'a'"),
        (lines({"text": "ab", "spans": [{"start": 0, "end": 9, "label": "x"}]}) * 2, "from 0 to 9"),
        (lines({"text": "ab", "spans": [{"start": 0, "end": 1}]}) * 2, "has no label"),
        (lines({"image": "../a.png"}) * 2, "which is not in"),
        ('{"text": "a", "x": ' + "[" * 100_000 + "\n\n{}\n", "nested too deeply|is no JSON"),
        (lines({"text": "a", "shoestring": {"name": "1", "version": 2}}) * 2, "is of version 2"),
        (lines({"text": "a", "shoestring": {"name": "1", "version": 1}}) * 2, "'1' 2 times"),
        (lines({"text": "a", "shoestring": {"name": "1", "version": 1}}, {"text": "b"}), "line 2"),
    ],
)
def test_wrong_lines_are_refused(tmp_path: Path, content: str, says: str):
    with pytest.raises(FormatError, match=says):
        read(put(tmp_path, content, "x.jsonl"))


def test_the_format_is_found_by_content_and_not_by_the_ending(tmp_path: Path):
    assert format_of(put(tmp_path, REVIEWS, "x.dat")) is Table
    assert read(put(tmp_path, lines({"text": "a", "label": "b"}) * 2, "x.txt")).kind is Choice
