"""The reader's own texts, pictures and rows become a task and a network that learns it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shoestring import kit
from shoestring.artifact import load
from shoestring.core import score, seeded
from shoestring.kit import Supervised
from shoestring.label import Annotation, Box, Choice, Collection, Example
from shoestring.recipes.collected import collected
from shoestring.recipes.own_data import own_data
from shoestring.tasks import digits

GOOD = ["good", "fine", "great", "superb", "lovely", "excellent"]
BAD = ["bad", "poor", "awful", "dreadful", "boring", "terrible"]


def said(*names: str) -> tuple[Annotation, ...]:
    return tuple(Annotation(labels=(Choice(name=name),)) for name in names)


def texts(count: int = 60, unlabelled: int = 5) -> Collection:
    draw = np.random.default_rng(0)
    examples = []
    for number in range(count + unlabelled):
        name, words = ("yes", GOOD) if number % 2 else ("no", BAD)
        text = f"a {draw.choice(words)} film with {draw.choice(words)} actors"
        own = said(name) if number < count else ()
        examples.append(Example(name=str(number), text=text, annotations=own))
    return Collection(examples=tuple(examples), kind=Choice, names=("yes", "no"))


def trained(own):
    with seeded(0):
        kit.train(own.model, own.task, own.training)
    return own.model


def test_texts_are_learned_and_the_file_takes_texts(tmp_path: Path):
    own = own_data(texts())
    assert own.names == ("yes", "no")
    assert len(own.task.pool()) == 5 and own.examples[:5] == ("60", "61", "62", "63", "64")
    held, learned = set(own.validation), set(own.examples[5:])
    assert held and not held & learned and len(held | learned) == 60
    model = trained(own)
    assert score(own.task, model) == 1.0
    kit.save(model, own.task, tmp_path / "own.shoe")
    answers = load(tmp_path / "own.shoe").answers(["a superb film", "an awful film"])
    assert [one[0][0] for one in answers] == ["yes", "no"]


def test_who_is_held_out_stays_while_labels_come_in():
    few, many = own_data(texts(30, 35)), own_data(texts(60))
    known = set(few.examples[len(few.task.pool()) :]) | set(few.validation)
    assert set(many.validation) & known == set(few.validation)


def test_the_indices_of_the_task_name_their_examples():
    collection = texts()
    own = own_data(collection)
    by_name = {one.name: one for one in collection.examples}
    labels = own.task.labels(own.task.known()).tolist()
    for index, label in zip(own.task.known(), labels, strict=True):
        example = by_name[own.examples[index]]
        (choice,) = example.annotations[0].labels
        assert own.names[label] == choice.name


def test_digits_become_pictures_and_are_learned_again(tmp_path: Path):
    whole = digits()
    few = Supervised(
        train=(whole.train[0][:150], whole.train[1][:150]),
        validation=(whole.validation[0][:60], whole.validation[1][:60]),
    )
    collection = collected(few, tmp_path)
    written = Image.open(tmp_path / "train" / "000003.png")
    assert np.array_equal(np.asarray(written), (few.train[0][3, 0] * 255).round().numpy())
    assert collection.names == tuple("0123456789") and len(collection.examples) == 210
    own = own_data(collection)
    assert len(own.validation) == 60 and not len(own.task.pool())
    assert "16×16" in own.notes[0]
    assert score(own.task, trained(own)) > 0.6
    pool = own_data_of_pool(collected(few, tmp_path, labelled=False))
    assert len(pool.task.pool()) == 190 and pool.examples[0] == "train/000020.png"


def own_data_of_pool(collection: Collection):
    """The first twenty get a label."""
    examples = [
        Example(
            name=one.name,
            picture=one.picture,
            annotations=said(str(number % 2)) if number < 20 else (),
        )
        for number, one in enumerate(collection.examples)
    ]
    return own_data(Collection(examples=tuple(examples), kind=Choice))


def test_pictures_of_all_kinds_are_read_and_others_are_named(tmp_path: Path):
    examples = []
    for number in range(8):
        path = tmp_path / f"{number}.png"
        mode = ("L", "RGB", "RGBA", "P", "1", "LA", "I;16", "RGB")[number]
        Image.new(mode, (40 + number, 30)).save(path)
        examples.append(Example(name=path.name, picture=path, annotations=said(str(number % 2))))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no")
    examples.append(Example(name="broken.png", picture=tmp_path / "broken.png"))
    own = own_data(Collection(examples=tuple(examples), kind=Choice))
    assert any("1 pictures do not open and are left out: broken.png" in note for note in own.notes)
    assert own.task.train[0].shape[1:] == (3, 32, 32)


def test_rows_are_learned_from_numbers_and_categories():
    draw = np.random.default_rng(0)
    examples = []
    for number in range(200):
        age, town = draw.normal(), draw.choice(["Ulm", "Bonn"])
        name = "old" if age + (town == "Ulm") > 0.5 else "young"
        fields = {"age": f"{age:.3f}" if number else "", "town": str(town), "id": f"x{number}"}
        examples.append(Example(name=str(number), fields=fields, annotations=said(name)))
    own = own_data(Collection(examples=tuple(examples), kind=Choice))
    assert "column 'id' is left out: it has 200 values in 200 rows" in own.notes
    assert "column 'age' has no number in 1 rows: its mean is taken" in own.notes
    assert score(own.task, trained(own)) > 0.85


def test_rows_are_standardized_by_what_is_learned_from_alone():
    """Other ages in validation, test and pool change neither the network nor a training row."""
    rows = [
        ("train", 10.0, "a"),
        ("train", 30.0, "b"),
        ("train", math.nan, "a"),
        ("train", 20.0, "b"),
    ]

    def made(elsewhere: float):
        others = [("validation", elsewhere, "a"), ("test", elsewhere, "b"), (None, elsewhere, None)]
        return own_data(
            Collection(
                examples=tuple(
                    Example(
                        name=str(at),
                        fields={"age": "" if math.isnan(age) else f"{age}"},
                        split=split,
                        annotations=() if label is None else said(label),
                    )
                    for at, (split, age, label) in enumerate([*rows * 4, *others])
                ),
                kind=Choice,
            )
        )

    for own in (made(0.0), made(1e6)):
        assert own.model.mean.tolist() == [20.0]
        assert own.model.deviation.item() == pytest.approx(50**0.5)  # 10, 30, 20 and 20
        assert own.task.train[0][1][:4, 0].tolist() == [10, 30, 20, 20]


@pytest.mark.parametrize(
    ("votes", "wins"),
    [(("a", "b", "b"), "b"), (("a", "b"), "b"), (("b", "a"), "a"), (("a",), "a")],
)
def test_the_label_is_what_most_people_said(votes: tuple[str, ...], wins: str):
    rest = texts().examples
    first = Example(name="first", text="a film", annotations=said(*votes))
    own = own_data(Collection(examples=(first, *rest), kind=Choice), held_out=0)
    at = own.examples.index("first")
    assert own.names[int(own.task.labels([at])[0])] == wins
    assert any("nothing is held out" in note for note in own.notes)


def test_what_all_skipped_is_not_in_the_pool():
    rest = texts().examples
    skipped = Example(name="first", text="a film", annotations=(Annotation(skipped=True),))
    own = own_data(Collection(examples=(skipped, *rest), kind=Choice))
    assert "first" not in own.examples


@pytest.mark.parametrize(
    ("collection", "says"),
    [
        (Collection(examples=(), kind=Choice), "no examples"),
        (Collection(examples=(), kind=Box), "of kind Box"),
        (texts(0), r"too few labels to learn from \(none\)"),
        (texts(1), r"too few labels to learn from \(1 'no'\)"),
        (
            Collection(
                examples=(
                    Example(name="a", text="x"),
                    Example(name="b", fields={"x": "1"}),
                ),
                kind=Choice,
            ),
            r"of several kinds \(1 texts, 1 rows\)",
        ),
        (
            Collection(
                examples=(Example(name="a", fields={"x": "same"}),) * 1,
                kind=Choice,
            ),
            "no column of the rows can be learned from: column 'x' is left out",
        ),
    ],
    ids=["empty", "boxes", "no labels", "one label", "two kinds", "nothing in the rows"],
)  # fmt: skip
def test_what_cannot_be_learned_from_is_told(collection: Collection, says: str):
    with pytest.raises(ValueError, match=says):
        own_data(collection)


def test_a_task_that_is_no_pictures_is_told(tmp_path: Path):
    x, y = torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(ValueError, match="no task of images with one class each"):
        collected(Supervised(train=(x, y), validation=(x, y)), tmp_path)
    images = torch.full((4, 1, 2, 2), -1.0)
    with pytest.raises(ValueError, match="values from -1 to -1"):
        collected(Supervised(train=(images, y), validation=(images, y)), tmp_path)
