"""Whatever stands in a file, reading it gives a collection or an error that says what is wrong."""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import tiers
from hypothesis import given, settings
from hypothesis import strategies as st

from shoestring.label import Collection
from shoestring.label.formats import FormatError, read

LABEL_STUDIO = [
    {
        "id": 1,
        "data": {"text": "a😀bc", "example": "x", "split": "train", "priority": 0.5, "n": 3},
        "annotations": [
            {
                "completed_by": {"email": "a@b.c"},
                "lead_time": 2,
                "created_at": "2026-11-28T09:43:57.965046Z",
                "was_cancelled": False,
                "result": [
                    {
                        "from_name": "l",
                        "to_name": "text",
                        "type": "labels",
                        "value": {"start": 0, "end": 1, "text": "a", "labels": ["X"]},
                    }
                ],
                "prediction": {"id": 5, "result": [], "score": 0.5},
            }
        ],
        "predictions": [5, {"id": 6, "score": 0.25, "model_version": "m", "result": []}],
    },
    {"annotation_id": 1, "annotator": 2, "text": "b", "id": 2, "l": [], "lead_time": 1},
]
BOXES = [
    {
        "data": {"image": "a.png"},
        "annotations": [
            {
                "result": [
                    {
                        "from_name": "l",
                        "to_name": "image",
                        "type": "rectanglelabels",
                        "original_width": 10,
                        "original_height": 20,
                        "image_rotation": 0,
                        "score": 0.5,
                        "value": {
                            "x": 1,
                            "y": 2,
                            "width": 3,
                            "height": 4,
                            "rectanglelabels": ["X"],
                        },
                    }
                ]
            }
        ],
    }
]
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "split": "test", "labelled": True}],
    "annotations": [{"image_id": 1, "category_id": 2, "bbox": [0, 1, 2, 3], "iscrowd": 0}],
    "categories": [{"id": 2, "name": "dog"}],
}
PRODIGY = [
    {
        "text": "abc",
        "meta": {"source": "web"},
        "spans": [{"start": 0, "end": 1, "label": "X"}],
        "answer": "accept",
        "_input_hash": 1,
        "_timestamp": 1.5,
        "_session_id": "s",
    },
    {"image": "a.png", "spans": [{"points": [[0, 0], [1, 2]], "label": "X"}], "answer": "reject"},
    {"text": "d", "options": [{"id": "A"}], "accept": ["A"], "label": [[0, 1, "X"]]},
]
OWN = [
    {
        "text": "abc",
        "meta": {"a": "b"},
        "split": "test",
        "shoestring": {
            "version": 1,
            "name": "x",
            "kind": "Span",
            "names": ["X"],
            "priority": 1.5,
            "annotations": [
                {"labels": [{"start": 0, "end": 1, "label": "X"}], "by": "a", "seconds": 1}
            ],
            "predictions": [{"labels": [{"label": "X"}], "score": 0.5, "complete": False}],
        },
    }
]
small = {"max_size": 2}
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
    | st.sampled_from(["../x", "/etc/passwd", "a.png", "\0", "2026", "labels", "choices", "train"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The paths of all nodes of a nest."""
    found = [path]
    items = value.items() if isinstance(value, dict) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


def changed(value: Any, path: tuple, new: Any) -> Any:
    """The nest with one node replaced."""
    if not path:
        return new
    value = copy.deepcopy(value)
    inside = value
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = new
    return value


@pytest.mark.parametrize(
    ("whole", "as_lines"),
    [(LABEL_STUDIO, False), (BOXES, False), (COCO, False), (PRODIGY, True), (OWN, True)],
    ids=["label studio", "its boxes", "coco", "prodigy", "our own"],
)
def test_one_wrong_value_is_an_error_that_is_told(
    whole: Any, as_lines: bool, tmp_path_factory: pytest.TempPathFactory
):
    folder: Path = tmp_path_factory.mktemp("hostile")

    @settings(max_examples=tiers.repetitions(25, 800), deadline=None, database=None)
    @given(st.sampled_from(places(whole)), anything)
    def check(path: tuple, new: Any) -> None:
        content = changed(whole, path, new)
        if as_lines and isinstance(content, list):
            text = "".join(json.dumps(one) + "\n" for one in content)
            (folder / "x.jsonl").write_text(text + "\n")
        else:
            (folder / "x.jsonl").write_text(json.dumps(content))
        target = folder / "x.jsonl"
        if not as_lines:
            target = target.rename(folder / "x.json")
        try:
            assert isinstance(read(target), Collection)
        except FormatError as error:
            assert len(str(error)) > 20

    check()


@settings(max_examples=tiers.repetitions(25, 800), deadline=None, database=None)
@given(st.binary(max_size=200), st.sampled_from(["x.csv", "x.json", "x.jsonl", "x.conllu", "x"]))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        assert isinstance(read(path), Collection)
    except FormatError as error:
        assert str(path) in str(error)


def test_half_a_character_in_json_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "fine \\ud83d\\ude00"}\n{"text": "half \\ud83d"}\n')
    with pytest.raises(FormatError, match="half a character"):
        read(path)
    path.write_text('{"text": "fine \\ud83d\\ude00"}\n{"text": "whole"}\n')
    assert read(path).examples[0].text == "fine 😀"


@pytest.mark.skipif(sys.platform != "linux", reason="names are Unicode elsewhere")
def test_names_that_are_not_utf_8_and_pipes_are_left_out(tmp_path):
    (tmp_path / "dog").mkdir()
    for name in (b"good.png", b"bad\xff.png"):
        Path(os.fsdecode(bytes(tmp_path / "dog") + b"/" + name)).write_bytes(b"")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    found = read(tmp_path)
    assert [one.name for one in found.examples] == ["dog/good.png"]
    assert "Pictures whose names are not UTF-8, left out: rename them: 1." in found.notes
    assert "Pipes and others that are no regular files, left out: 1." in found.notes


@pytest.mark.parametrize(
    ("images", "categories", "why"),
    [
        ([{"id": 1, "file_name": None}], [{"id": 1, "name": "a"}], "image 1 of .* file_name None"),
        ([], [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}], "two categories of one id"),
    ],
)
def test_coco_that_does_not_say_what_it_means_is_refused(tmp_path, images, categories, why):
    content = {"images": images, "annotations": [], "categories": categories}
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=why):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("chosen", [[None], ["cat", None], [None, "", " "]])
def test_null_is_no_class_of_label_studio(chosen: list, tmp_path: Path):
    """In both of its exports, of a person and of a model; what is left out is said."""
    result = {"from_name": "c", "to_name": "text", "type": "choices", "value": {"choices": chosen}}
    said = {"result": [result]}
    full = [{"id": 1, "data": {"text": "a"}, "annotations": [said], "predictions": [said]}]
    short = [{"text": "a", "id": 1, "c": {"choices": chosen}, "annotator": 1, "annotation_id": 1}]
    for tasks in (full, short):
        (path := tmp_path / "tasks.json").write_text(json.dumps(tasks))
        collection = read(path)
        (example,) = collection.examples
        kept = [[one.name for one in said.labels] for said in example.annotations]
        assert kept == ([["cat"]] if "cat" in chosen else []) and "" not in collection.names
        assert len(example.predictions) == (tasks is full and "cat" in chosen)
        assert any("without a name (null), left out" in note for note in collection.notes)


def test_null_is_no_class_of_json_lines(tmp_path: Path):
    rows = [{"text": "a", "accept": [None]}, {"text": "b", "accept": ["cat"]}]
    (path := tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    collection = read(path)
    assert collection.names == ("cat",)
    assert collection.notes == ("Labels without a name (null), left out: 1.",)
