"""What is written is read again; what a format cannot keep is said, and nothing else is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiers
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from shoestring.label import Annotation, Box, Choice, Collection, Example, Span
from shoestring.label.formats import (
    Coco,
    JsonLines,
    PictureFolder,
    Table,
    Voc,
    labelling_config,
    read,
    write,
)


def pictures(folder: Path, *names: str, size: tuple[int, int] = (64, 48)) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (len(name), 9, 200)).save(folder / name)
    return [folder / name for name in names]


def said(*names: str, **more: object) -> Annotation:
    return Annotation(labels=tuple(Choice(name=name) for name in names), **more)  # type: ignore[arg-type]


TEXTS = Collection(
    examples=(
        Example(
            name="b",
            text='He said "no",\nand left; 2\t3',
            annotations=(said("neg", by="ann", seconds=2.5, at=1e9),),
            split="train",
            priority=0.75,
        ),
        Example(name="a", text="été 😀", fields={"source": "x,y"}, annotations=(said("pos"),)),
        Example(name="c", text="unsure", annotations=(Annotation(skipped=True),), split="test"),
        Example(
            name="d",
            text="nobody looked",
            predictions=(said("pos", by="m1", score=0.5),),
            fields={"source": ""},
            priority=2.0,
        ),
    ),
    kind=Choice,
    names=("neg", "pos"),
)
SPANS = Collection(
    examples=(
        Example(
            name="1",
            text="Ann 😀 saw Bob.",
            annotations=(
                Annotation(
                    labels=(Span(start=0, end=3, name="PER"), Span(start=10, end=13, name="PER"))
                ),
            ),
        ),
        Example(name="2", text="Nobody.", annotations=(Annotation(),)),
        Example(name="3", text="Not yet."),
    ),
    kind=Span,
    names=("PER",),
)


def boxes(folder: Path) -> Collection:
    first, second, third = pictures(folder, "a.png", "b.png", "c.png")
    two = (
        Box(left=0, top=0, width=64, height=48, name="cell"),
        Box(left=10, top=20, width=8, height=4, name="dot"),
    )
    return Collection(
        examples=(
            Example(name="a", picture=first, annotations=(Annotation(labels=two),), split="train"),
            Example(name="b", picture=second, annotations=(Annotation(),), split="validation"),
            Example(name="c", picture=third),
        ),
        kind=Box,
        names=("cell", "dot"),
    )


def test_json_lines_keep_everything(tmp_path: Path):
    for number, collection in enumerate((TEXTS, SPANS, boxes(tmp_path))):
        path = tmp_path / f"{number}.jsonl"
        assert write(collection, path) == ()
        assert read(path) == collection


names_of = st.text("ab é😀\t\"'\\", min_size=1, max_size=5)
finite = st.floats(0, 1e6, allow_nan=False)


@settings(max_examples=tiers.repetitions(30, 300), deadline=None)
@given(
    st.lists(
        st.builds(
            Annotation,
            labels=st.lists(st.builds(Choice, name=names_of), max_size=2).map(tuple),
            by=names_of,
            complete=st.booleans(),
            skipped=st.booleans(),
            seconds=st.none() | finite,
            at=st.none() | finite,
            score=st.none() | st.floats(0, 1),
        ),
        max_size=3,
    ).map(tuple),
    st.text(max_size=20),
    st.sampled_from(["", "train", "test"]),
    st.none() | finite,
)
def test_json_lines_keep_any_example(
    tmp_path_factory: pytest.TempPathFactory,
    annotations: tuple[Annotation, ...],
    text: str,
    split: str,
    priority: float | None,
):
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate is no text
    one = Example(name="x", text=text, annotations=annotations, split=split, priority=priority)
    names = tuple(sorted({label.name for said in annotations for label in said.labels}))
    collection = Collection(examples=(one,), kind=Choice, names=names)
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    write(collection, path)
    assert read(path) == collection


def test_a_table_keeps_texts_and_says_what_it_does_not(tmp_path: Path):
    for name in ("x.csv", "x.tsv"):
        notes = write(TEXTS, tmp_path / name)
        assert [note.rpartition(":")[0] for note in notes] == [
            "Answers that skip an example, which the file has not",
            "Examples with predictions, which the file has not",
        ]
        again = read(tmp_path / name)
        for before, after in zip(TEXTS.examples, again.examples, strict=True):
            labels = tuple(one.labels for one in before.annotations if one.labels)
            assert (after.name, after.text, after.split) == (before.name, before.text, before.split)
            assert tuple(one.labels for one in after.annotations) == labels
        assert again.names == ("neg", "pos")


def test_label_studio_keeps_predictions_scores_and_skips(tmp_path: Path):
    notes = write(TEXTS, tmp_path / "tasks.json")
    assert [note for note in notes if "annotators" in note]
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert tasks[3]["predictions"][0]["score"] == 2.0  # the priority: its order in Label Studio
    assert tasks[3]["predictions"][0]["result"][0]["score"] == 0.5
    assert tasks[2]["annotations"] == [{"result": [], "was_cancelled": True}]
    again = read(tmp_path / "tasks.json")
    unsigned = tuple(
        replace(
            one,
            annotations=tuple(replace(each, by="") for each in one.annotations),
        )
        for one in TEXTS.examples
    )
    assert again.examples == unsigned and again.names == TEXTS.names
    assert '<Choice value="neg"/>' in (tmp_path / "tasks.xml").read_text()


def test_label_studio_keeps_spans_and_boxes(tmp_path: Path):
    write(SPANS, tmp_path / "spans.json")
    assert read(tmp_path / "spans.json").examples == SPANS.examples
    collection = boxes(tmp_path)
    write(collection, tmp_path / "boxes.json")
    again = read(tmp_path / "boxes.json")
    assert [one.picture for one in again.examples] == [one.picture for one in collection.examples]
    for before, after in zip(collection.examples, again.examples, strict=True):
        assert len(before.annotations) == len(after.annotations)
        for one, other in zip(
            (label for said in before.annotations for label in said.labels),
            (label for said in after.annotations for label in said.labels),
            strict=True,
        ):
            assert isinstance(one, Box) and isinstance(other, Box) and one.name == other.name
            for side in ("left", "top", "width", "height"):
                assert getattr(one, side) == pytest.approx(getattr(other, side), abs=1e-9)


def test_a_labelling_configuration_escapes_names():
    odd = replace(SPANS, names=('<"&',))
    assert "<Label value='&lt;\"&amp;'/>" in labelling_config(odd, several=False)


def test_voc_and_coco_keep_boxes(tmp_path: Path):
    collection = boxes(tmp_path)
    assert write(collection, tmp_path / "voc") == ()
    again = read(tmp_path / "voc")
    assert again.names == collection.names
    for before, after in zip(collection.examples, again.examples, strict=True):
        assert replace(after, picture=before.picture) == before
    write(collection, tmp_path / "boxes.json", Coco())
    coco = read(tmp_path / "boxes.json")
    assert coco.names == collection.names
    assert [one.annotations for one in coco.examples] == [
        one.annotations for one in collection.examples
    ]
    assert [one.split for one in coco.examples] == ["train", "validation", ""]


def test_a_folder_of_pictures_is_read_and_written(tmp_path: Path):
    source = tmp_path / "in"
    pictures(source, "test/cat/1.png", "train/cat/1.png", "train/dog/2.png", "train/3.png")
    (source / "train" / "readme.txt").write_text("no picture")
    collection = read(source)
    assert collection.names == ("cat", "dog") and len(collection.notes) == 1
    assert [(one.name, one.split) for one in collection.examples] == [
        ("test/cat/1.png", "test"),
        ("train/3.png", "train"),
        ("train/cat/1.png", "train"),
        ("train/dog/2.png", "train"),
    ]
    assert write(collection, tmp_path / "out") == ()
    again = read(tmp_path / "out")
    assert {one.name for one in again.examples} == {
        "test/cat/1.png",
        "train/cat/1.png",
        "train/dog/2.png",
        "train/unlabelled/3.png",
    }
    with pytest.raises(FileExistsError, match="is there already"):
        write(collection, tmp_path / "out")
    pictures(tmp_path / "flat", "1.png")
    assert read(tmp_path / "flat").examples[0].annotations == ()


def test_conllu_keeps_spans_that_are_words(tmp_path: Path):
    write(SPANS, tmp_path / "x.conllu")
    again = read(tmp_path / "x.conllu")
    assert [one.text for one in again.examples] == [one.text for one in SPANS.examples]
    assert again.examples[0].annotations == SPANS.examples[0].annotations
    crossing = Annotation(labels=(Span(start=0, end=3, name="A"), Span(start=2, end=5, name="B")))
    bad = replace(SPANS, examples=(Example(name="1", text="abcdef", annotations=(crossing,)),))
    with pytest.raises(ValueError, match="overlap at character 2"):
        write(bad, tmp_path / "bad.conllu")
    assert not (tmp_path / "bad.conllu").exists()


@pytest.mark.parametrize(
    ("collection", "form", "says"),
    [
        (SPANS, Table(), "no Span: write JsonLines"),
        (SPANS, Voc(), "no Span"),
        (SPANS, Coco(), "no Span"),
        (TEXTS, PictureFolder(), "has no picture"),
        (replace(TEXTS, examples=()), JsonLines(), "without examples"),
    ],
)
def test_what_has_no_place_is_refused(tmp_path: Path, collection: Collection, form, says: str):
    with pytest.raises(ValueError, match=says):
        write(collection, tmp_path / "x", form)
    assert not list(tmp_path.iterdir())


def test_a_picture_outside_of_the_folder_cannot_be_named(tmp_path: Path):
    collection = boxes(tmp_path / "pictures")
    (tmp_path / "labels").mkdir()
    for name in ("x.jsonl", "x.json"):
        with pytest.raises(ValueError, match="write the file beside the pictures"):
            write(collection, tmp_path / "labels" / name)
    with pytest.raises(ValueError, match="no format is known by the ending"):
        write(collection, tmp_path / "labels" / "x.xlsx")
    assert not list((tmp_path / "labels").iterdir())
