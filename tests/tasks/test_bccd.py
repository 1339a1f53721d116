"""BCCD's archive, made here in its format, and the real one where it is at hand."""

from __future__ import annotations

import importlib
import io
import tarfile
from collections.abc import Callable

import numpy as np
import pytest
import torch

from shoestring.kit.boxes import are_complete
from shoestring.tasks import BLOOD_CELLS, DataError, bccd, blood_pictures
from shoestring.tasks.fetch import Source, present

module = importlib.import_module("shoestring.tasks.bccd")
Put = Callable[[Source, bytes], Source]
Boxes = list[tuple[str, int, int, int, int]]
ONE: Boxes = [("RBC", 100, 120, 200, 240), ("WBC", 600, 400, 700, 480), ("Platelets", 9, 9, 9, 9)]


def xml(boxes: Boxes) -> bytes:
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for name, left, top, right, bottom in boxes
    )
    return f"<annotation>{objects}</annotation>".encode()


def packed(boxes: Boxes, *, without: str = "") -> bytes:
    """An archive with one picture a split: red where its first box is, else white."""
    image = pytest.importorskip("PIL.Image", reason="JPEG is read with the extra `images`")
    pixels = np.full((480, 640, 3), 255, np.uint8)
    pixels[120:240, 100:200] = (255, 0, 0)
    picture = io.BytesIO()
    image.fromarray(pixels).save(picture, "JPEG", quality=95)
    files: dict[str, bytes] = {}
    for number, split in enumerate(("train", "val", "test")):
        name = f"BloodImage_{number:05}"
        files[f"BCCD/ImageSets/Main/{split}.txt"] = f"{name}\n".encode()
        files[f"BCCD/Annotations/{name}.xml"] = xml(boxes)
        files[f"BCCD/JPEGImages/{name}.jpg"] = picture.getvalue()
    files.pop(without, None)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"BCCD_Dataset-0/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_boxes_are_cut_and_reduced_with_their_pictures(put: Put, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_PACKED", put(module._PACKED, packed(ONE)))
    pictures = blood_pictures()["train"]
    assert pictures.boxes == (((0, 100, 120, 100, 120), (1, 600, 400, 40, 80)),)
    assert [note.partition(" has ")[2] for note in pictures.notes] == [
        "a box that leaves the picture, which is cut",
        "a box of 0 by 0 pixels, which is left out",
    ]
    task = bccd(size=(128, 160))
    images, rows = task.train
    assert isinstance(images, torch.Tensor) and images.shape == (1, 3, 128, 160)
    wanted = [[0, 25, 32, 25, 32], [1, 150, 400 * 128 / 480, 10, 80 * 128 / 480]]
    torch.testing.assert_close(rows[0, :2], torch.tensor(wanted))
    assert are_complete(rows).all() and rows[0, 2, 0] == -1
    inside = images[0, :, 34:62, 27:48]
    assert inside[0].min() > 0.9 and inside[1:].max() < 0.1, "the box is where the red is"
    assert list(task.metrics) == list(BLOOD_CELLS[:2]), "this picture has no platelets"


@pytest.mark.parametrize(
    ("boxes", "without"),
    [
        ([("Virus", 1, 1, 5, 5)], ""),
        (ONE, "BCCD/JPEGImages/BloodImage_00001.jpg"),
        (ONE, "BCCD/ImageSets/Main/test.txt"),
    ],
)
def test_damage_is_said(put: Put, monkeypatch: pytest.MonkeyPatch, boxes: Boxes, without: str):
    monkeypatch.setattr(module, "_PACKED", put(module._PACKED, packed(boxes, without=without)))
    with pytest.raises(DataError, match="is damaged or lacks a picture"):
        blood_pictures()


def test_the_real_pictures():
    if present(module._PACKED) is None and present(module._HOME) is None:
        pytest.skip("BCCD is not at hand: SHOESTRING_DATA names no folder with it")
    splits = blood_pictures()
    assert [len(one) for one in splits.values()] == [205, 87, 72]
    boxes = [box for one in splits.values() for own in one.boxes for box in own]
    counts = [sum(box[0] == kind for box in boxes) for kind in range(3)]
    assert counts == [4153, 372, 361]
    assert sum(len(one.notes) for one in splits.values()) == 2
