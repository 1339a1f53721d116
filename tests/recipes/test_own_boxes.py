"""The reader's own pictures with boxes: what is read, what is refused, and that it learns."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch

from shoestring.core import label_task, score
from shoestring.kit import Training, train
from shoestring.kit.boxes import are_complete
from shoestring.label import Annotation, Box, Choice, Collection, Example, Forgiving
from shoestring.recipes.own_boxes import own_boxes
from shoestring.tasks import BLOOD_CELLS, blood_pictures
from shoestring.tasks.fetch import present

image = pytest.importorskip("PIL.Image", reason="pictures are read with the extra `images`")


def box(left: float, top: float, width: float, height: float, name: str = "cell") -> Box:
    return Box(left=left, top=top, width=width, height=height, name=name)


def said(*boxes: Box, complete: bool = True, skipped: bool = False) -> Annotation:
    return Annotation(labels=boxes, complete=complete, skipped=skipped)


@pytest.fixture
def picture(tmp_path: Path):
    """Writes a grey picture and returns its example."""

    def picture(
        name: str, *annotations: Annotation, size: tuple[int, int] = (96, 64), split: str = ""
    ):
        path = tmp_path / name
        image.fromarray(np.full((size[1], size[0]), 90, np.uint8)).save(path)
        return Example(name=name, picture=path, annotations=annotations, split=split)

    return picture


def of(*examples: Example, names: tuple[str, ...] = ()) -> Collection:
    return Collection(examples=examples, kind=Box, names=names)


def test_boxes_come_in_the_pixels_of_the_network(picture):
    own = own_boxes(
        of(
            picture("a.png", said(box(10, 20, 30, 24))),
            picture("b.png", said(box(8, 8, 16, 16, "other"), complete=False)),
            picture("c.png", size=(48, 64)),
            picture("d.png", said(skipped=True)),
            picture("e.png", said(box(20, 20, 10, 10)), split="validation"),
        )
    )
    assert own.names == ("cell", "other") and own.examples == ("c.png", "a.png", "b.png")
    assert own.validation == ("e.png",) and not own.task.has_test
    images, rows = own.task.train
    assert isinstance(images, torch.Tensor) and images.shape == (2, 3, 112, 160)
    scale = own.scales[1]
    assert scale == pytest.approx(160 / 96) and own.scales[0] == pytest.approx(112 / 64)
    assert rows[0, 0].tolist() == pytest.approx([0, *(scale * side for side in (10, 20, 30, 24))])
    assert are_complete(rows).tolist() == [True, False]
    assert label_task(own.task).pool().tolist() == [0] and own.task.left() == 0
    assert any("seen at 160×112" in note for note in own.notes)
    assert own.sizes == ((48, 64), (96, 64), (96, 64))
    pixels = own.task.inputs([0])[0][0]
    assert pixels[:, :, :84].max() < 0.4 and pixels[:, :, 85:].min() > 0.45, "padded with grey"
    unmarked = own.task.criterion.unmarked  # type: ignore[union-attr]
    assert unmarked == Forgiving()


def test_what_several_people_marked(picture):
    whole = said(box(1, 1, 9, 9), box(30, 30, 9, 9))
    partly = said(box(1, 1, 9, 9), complete=False)
    more = said(box(2, 1, 9, 9), box(60, 30, 9, 9), complete=False)
    own = own_boxes(
        of(picture("a.png", partly, whole, more), picture("b.png", partly, more)), held_out=0
    )
    rows = own.task.train[1]
    counts = (rows[:, :, 0] >= 0).sum(1).tolist()
    assert counts == [2, 2] and are_complete(rows).tolist() == [True, False]
    assert any("nothing is held out" in note for note in own.notes)


def test_boxes_at_the_edge_and_outside(picture):
    own = own_boxes(
        of(picture("a.png", said(box(90, 10, 20, 20), box(200, 10, 20, 20), box(1, 1, 20, 20)))),
        held_out=0,
    )
    rows = own.task.train[1]
    assert int((rows[:, :, 0] >= 0).sum()) == 2
    assert rows[0, 0, 3] == pytest.approx(6 * 160 / 96)
    told = " ".join(own.notes)
    assert "leaves it, which is cut" in told and "outside of its 96×64 pixels" in told


def test_bad_collections_are_refused(picture, tmp_path: Path):
    with pytest.raises(ValueError, match="no picture has a box"):
        own_boxes(of(picture("a.png"), picture("b.png", said())))
    with pytest.raises(ValueError, match="own_data"):
        own_boxes(Collection(examples=(picture("c.png"),), kind=Choice))
    with pytest.raises(ValueError, match=r"held_out is 1\.5"):
        own_boxes(of(picture("d.png", said(box(1, 1, 5, 5)))), held_out=1.5)
    broken = Example(name="x", picture=tmp_path / "x.png", annotations=(said(box(1, 1, 5, 5)),))
    with pytest.raises(ValueError, match="none of the 1 pictures opens"):
        own_boxes(of(broken))
    with pytest.raises(ValueError, match="no picture to train on has a box"):
        own_boxes(
            of(picture("e.png", said(box(1, 1, 5, 5)), split="test"), picture("f.png", said()))
        )


def test_what_is_left_out_is_said(picture, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(b"no picture")
    broken = Example(name="x.png", picture=tmp_path / "x.png")
    own = own_boxes(
        of(
            picture("a.png", said(box(1, 1, 5, 5), complete=False)), broken, names=("cell", "never")
        ),
        held_out=0,
    )
    told = " ".join(own.notes)
    assert "1 pictures do not open and are left out: x.png" in told
    assert "the class 'never': it is never found" in told


def test_which_are_held_out_stays_while_boxes_come_in(picture):
    marked = [picture(f"{number}.png", said(box(1, 1, 9, 9))) for number in range(12)]
    few, more = (set(own_boxes(of(*marked[:count])).validation) for count in (8, 12))
    assert few and few <= more


class Knows(torch.nn.Module):
    """Finds one box in every picture, and half of another one."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        height, width = (side // 4 for side in images.shape[2:])
        heat = torch.full((len(images), 2, height, width), -9.0)
        heat[:, 1, 3, 4], heat[:, 0, 20, 30] = 2.0, -1.0
        sides = torch.full((len(images), 2, height, width), 10.0).log()
        return {"heat": heat, "sides": sides, "offsets": torch.zeros_like(sides)}


def test_proposals_are_in_the_pixels_of_the_file_and_inside(picture):
    whole = said(box(1, 1, 9, 9), box(30, 30, 9, 9, "other"))
    own = own_boxes(of(picture("a.png", whole), picture("b.png", size=(192, 128))), held_out=0)
    (proposed,) = own.proposals(Knows(), [0])
    (only,) = proposed.labels
    assert isinstance(only, Box) and only.name == "other"
    # a centre at (16, 12) pixels of 160, 40 wide and high, so cut at both edges; the file has 192
    assert (only.left, only.top) == (0, 0)
    assert (only.width, only.height) == pytest.approx((36 * 1.2, 32 * 1.2))
    assert proposed.score == pytest.approx(1 - 1 / (1 + np.exp(1.0)), abs=1e-3)
    (all_of_it,) = own.proposals(Knows(), [1], least=0.2)
    assert len(all_of_it.labels) == 2


def blood(folder: Path, count: int) -> list[Example]:
    """Pictures of BCCD as files, with their boxes."""
    module = importlib.import_module("shoestring.tasks.bccd")
    if present(module._PACKED) is None and present(module._HOME) is None:
        pytest.skip("BCCD is not at hand: SHOESTRING_DATA names no folder with it")
    pictures = blood_pictures()["train"]
    examples = []
    for place in range(count):
        path = folder / f"{pictures.names[place]}.jpg"
        path.write_bytes(pictures.files[place])
        boxes = [box(*own[1:], BLOOD_CELLS[int(own[0])]) for own in pictures.boxes[place]]
        examples.append(Example(name=path.name, picture=path, annotations=(said(*boxes),)))
    return examples


@pytest.mark.slow
def test_twenty_pictures_of_blood_are_enough_to_propose_boxes(tmp_path: Path):
    marked = blood(tmp_path, 24)
    asked = [Example(name=f"new {one.name}", picture=one.picture) for one in marked[20:]]
    own = own_boxes(of(*marked[:20], *asked, names=BLOOD_CELLS))
    own_model = train(own.model, own.task, Training(150, own.training.optimizer))
    assert score(own.task, own_model) > 0.4
    proposed = own.proposals(own_model, range(4))
    hits = 0
    for annotation, example in zip(proposed, marked[20:], strict=True):
        assert annotation.by == "model" and 0 <= (annotation.score or 0) <= 1
        for one in annotation.labels:
            assert isinstance(one, Box)
            hits += any(
                abs(one.left - true.left) + abs(one.top - true.top) < 0.5 * true.width
                for true in example.annotations[0].labels
                if isinstance(true, Box) and true.name == one.name
            )
    assert hits > 0.6 * sum(len(one.labels) for one in proposed) > 10
