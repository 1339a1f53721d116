"""Files that other tools wrote: real ones where they are at hand, else by their documented form."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from pathlib import Path

import pytest

from shoestring.label import Annotation, Box, Choice, Span
from shoestring.label.formats import FormatError, LabelStudio, Voc, read, write

FOLDER = Path(os.environ.get("SHOESTRING_DATA") or "nowhere")


def real(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not there: set SHOESTRING_DATA to a folder that has it")
    return path


# -- Label Studio: exports of a real server, and the documented form of what it imports


@pytest.mark.parametrize("name", ["ls_export.json", "ls_export_min.json"])
def test_a_real_export_of_label_studio(name: str):
    path = real(f"label-studio-export/{name}")
    boxes = read(path, result="box")
    assert boxes.examples[0].annotations[0].labels == (
        Box(left=64.0, top=96.0, width=192.0, height=60.0, name="RBC"),
    )
    assert boxes.examples[0].annotations[0].seconds == 5.5
    assert boxes.examples[0].annotations[0].by == "1"
    spans = read(path, result="ner")
    assert spans.examples[0].text == "Anna lives in Paris. 😀 Bob too."
    assert spans.examples[0].annotations[0].labels == (Span(start=0, end=4, name="PER"),)
    assert any("whose text is not at their place" in note for note in spans.notes)
    assert any("'box', 'cls', 'sent' are not" in note for note in spans.notes)
    with pytest.raises(FormatError, match=r"no result .* named 'nothing': there are 'box'"):
        read(path, result="nothing")


def test_the_full_export_has_skips_and_predictions():
    collection = read(real("label-studio-export/ls_export.json"), result="sent")
    first, second, third, fourth = collection.examples
    assert first.predictions == (Annotation(labels=(Choice(name="pos"),), by="m1", score=0.91),)
    assert not second.predictions and not fourth.predictions
    assert any(note.endswith("imported have them: 2.") for note in collection.notes)
    assert third.annotations[0].skipped and not third.annotations[0].labels
    assert fourth.annotations == ()


def task(value: dict, kind: str, **more: object) -> list[dict]:
    result = {"from_name": "l", "to_name": "text", "type": kind, "value": value, **more}
    return [{"id": 7, "data": {"text": "a😀bc"}, "annotations": [{"result": [result]}]}]


def put(folder: Path, content: object, name: str = "x.json") -> Path:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder / name


def test_spans_counted_in_utf_16_units_are_turned(tmp_path: Path):
    tasks = task({"start": 3, "end": 5, "text": "bc", "labels": ["X"]}, "labels")
    collection = read(put(tmp_path, tasks))
    assert collection.examples[0].annotations[0].labels == (Span(start=2, end=4, name="X"),)
    assert collection.notes == ("Spans counted in UTF-16 units, turned into characters: 1.",)


def test_what_label_studio_knows_and_we_do_not_is_named(tmp_path: Path):
    tasks = task({"start": 0, "end": 1, "labels": ["X"]}, "labels")
    tasks[0]["annotations"][0]["result"].append(
        {"from_name": "p", "to_name": "image", "type": "keypointlabels", "value": {}}
    )
    collection = read(put(tmp_path, tasks))
    assert collection.notes == ("Results of the type 'keypointlabels', which are not read: 1.",)
    turned = {"x": 1, "y": 1, "width": 9, "height": 9, "rotation": 30, "rectanglelabels": ["X"]}
    tasks = task(turned, "rectanglelabels", original_width=10, original_height=10)
    tasks[0]["data"] = {"image": "a.png"}
    collection = read(put(tmp_path, tasks))
    assert collection.examples[0].annotations[0].labels == ()
    assert any("Boxes that are turned" in note for note in collection.notes)


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ([{"data": {"text": "a"}, "annotations": {"v2": []}}], "not in a newer form"),
        ([{"data": {"text": "a"}, "annotations": []}, {"text": "b"}], "task 2 of .* has no data"),
        (task({"labels": ["X"], "start": 2, "end": 9}, "labels"), "from 2 to 9 in a text of 4"),
        (task({"start": 0, "end": 1}, "labels"), "has no 'labels'"),
        (task({"choices": ["a"]}, "choices") * 2 + [{"id": 7, "data": {"text": "b"}}], "named '7'"),
    ],
)
def test_a_wrong_export_is_refused(tmp_path: Path, tasks: list, says: str):
    with pytest.raises(FormatError, match=says):
        read(put(tmp_path, tasks))


def test_local_files_may_not_lead_out_of_the_folder(tmp_path: Path):
    choice = {"from_name": "l", "to_name": "image", "type": "choices", "value": {"choices": ["a"]}}
    for named in ("/data/local-files/?d=../../etc/passwd", "../x.png", "/etc/x.png"):
        tasks = [{"data": {"image": named}, "annotations": [{"result": [choice]}]}]
        with pytest.raises(FormatError, match="which is not in"):
            read(put(tmp_path, tasks))


# -- Pascal VOC and COCO


def test_real_boxes_of_blood_cells(tmp_path: Path):
    with tarfile.open(real("bccd/BCCD.tar.gz")) as packed:
        # A filter is known from Python 3.11.4 on, and asked for from 3.12 on.
        packed.extractall(
            tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )
    collection = read(tmp_path)
    assert len(collection.examples) == 364 and collection.names == ("Platelets", "RBC", "WBC")
    boxes = [box for one in collection.examples for box in one.annotations[0].labels]
    names = [box.name for box in boxes]
    assert [names.count(name) for name in collection.names] == [361, 4155, 372]
    assert collection.notes == ()
    assert [
        sum(one.split == split for one in collection.examples)
        for split in ("train", "validation", "test")
    ] == [205, 87, 72]
    first = collection.examples[0]
    assert first.annotations[0].labels[0] == Box(
        left=259, top=176, width=232, height=200, name="WBC"
    )
    few = collection.examples[:3]
    part = type(collection)(examples=few, kind=Box, names=collection.names)
    write(part, tmp_path / "again", Voc())
    assert [one.annotations for one in read(tmp_path / "again").examples] == [
        one.annotations for one in few
    ]


COCO = {
    "info": {"year": 2017},
    "images": [
        {"id": 9, "file_name": "a.jpg", "width": 64, "height": 48},
        {"id": 4, "file_name": "b.jpg", "width": 64, "height": 48},
    ],
    "annotations": [
        {"id": 1, "image_id": 9, "category_id": 18, "bbox": [1.5, 2, 3, 4], "iscrowd": 0},
        {"id": 2, "image_id": 9, "category_id": 18, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"id": 3, "image_id": 9, "category_id": 1, "bbox": [0, 0, 0, 9], "iscrowd": 0},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
}


def test_coco(tmp_path: Path):
    collection = read(put(tmp_path, COCO))
    assert collection.names == ("dog", "person")
    dog = Box(left=1.5, top=2, width=3, height=4, name="dog")
    assert collection.examples[0].annotations == (Annotation(labels=(dog,)),)
    assert collection.examples[1].annotations == (Annotation(),)
    assert len(collection.notes) == 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"categories": None}, "no list of categories"),
        ({"images": COCO["images"][:1] * 2}, "the picture 'a.jpg' 2 times"),
        ({"images": COCO["images"][1:]}, "is of the image 9, which is not there"),
        ({"categories": COCO["categories"][:1]}, "is of the category 1, which is not there"),
        ({"annotations": [COCO["annotations"][0] | {"bbox": [1, 2, 3]}]}, "left, top, width"),
        ({"annotations": [COCO["annotations"][0] | {"bbox": [1, 2, "x", 3]}]}, "is 'x': give a"),
        ({"images": [{"id": 9, "file_name": "../a.jpg"}], "annotations": []}, "which is not in"),
    ],
)
def test_a_wrong_coco_file_is_refused(tmp_path: Path, change: dict, says: str):
    with pytest.raises(FormatError, match=says):
        read(put(tmp_path, COCO | change))


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("<annotation><object><name>a</name></object></annotation>", "xmin is None"),
        ("<annotation><object></object></annotation>", "has no name"),
        ("<annotation>", "is no XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "declares entities"),
        ("<other/>", "begins with <other>"),
        ("<annotation><filename>../../x.jpg</filename></annotation>", "which is not in"),
    ],
)
def test_a_wrong_voc_file_is_refused(tmp_path: Path, xml: str, says: str):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(xml)
    with pytest.raises(FormatError, match=says):
        read(tmp_path)


# -- CoNLL-U


def test_a_real_treebank(tmp_path: Path):
    packed = real("ud/UD_English-EWT/en_ewt-ud-dev.conllu.gz")
    path = tmp_path / "en_ewt-ud-dev.conllu"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    collection = read(path)
    assert len(collection.examples) == 2001 and len(collection.names) == 17
    assert {one.split for one in collection.examples} == {"validation"}
    text = collection.examples[0].text or ""
    labels = collection.examples[0].annotations[0].labels
    words = [text[one.start : one.end] for one in labels if isinstance(one, Span)]
    assert words == ["From", "the", "AP", "comes", "this", "story", ":"]
    write(collection, tmp_path / "again-dev.conllu")
    again = read(tmp_path / "again-dev.conllu")
    assert [one.annotations for one in again.examples] == [
        one.annotations for one in collection.examples
    ]


def test_words_that_are_written_as_one(tmp_path: Path):
    def line(number: str, word: str, tag: str) -> str:
        return "\t".join([number, word, "_", tag, *"______"]) + "\n"

    (tmp_path / "x.conllu").write_text(
        "# text = du pain don't\n"
        + line("1-2", "du", "_")
        + line("1", "de", "ADP")
        + line("2", "le", "DET")
        + line("3", "pain", "NOUN")
        + line("4-5", "don't", "_")
        + line("4", "do", "AUX")
        + line("5", "n't", "PART")
        + "\n",
        encoding="utf-8",
    )
    (one,) = read(tmp_path / "x.conllu").examples
    found = [(label.start, label.end, label.name) for label in one.annotations[0].labels]  # type: ignore[union-attr]
    assert found == [(0, 2, "ADP+DET"), (3, 7, "NOUN"), (8, 10, "AUX"), (10, 13, "PART")]


# -- a data set of Hugging Face, which `datasets` 5.2 wrote


def test_a_folder_of_datasets():
    folder = Path(__file__).parent / "datasets_reviews"
    try:
        import pyarrow  # noqa: F401  # pyright: ignore
    except ImportError:
        with pytest.raises(ModuleNotFoundError, match="need pyarrow: pip install pyarrow"):
            read(folder)
        return
    collection = read(folder)
    assert collection.names == ("neg", "pos")
    assert [(one.name, one.split, one.text) for one in collection.examples] == [
        ("train/1", "train", "a fine film"),
        ("train/2", "train", "a dull film, really"),
        ("train/3", "train", "not seen yet"),
        ("test/1", "test", "été 😀 good"),
    ]
    assert [len(one.annotations) for one in collection.examples] == [1, 1, 0, 1]
    assert collection.examples[0].fields == {"stars": "5"}


def test_the_options_of_a_format_are_known():
    path = real("label-studio-export/ls_export.json")
    with pytest.raises(TypeError, match=r"LabelStudio, which has no option 'text': it has"):
        read(path, text="text")
    assert LabelStudio(result="cls").read(path).names == ("ok",)
