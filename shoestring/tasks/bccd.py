"""BCCD: 364 pictures of blood under a microscope, with boxes around 4,888 cells."""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass, field
from xml.etree import ElementTree

import numpy as np
import torch

from shoestring.artifact.errors import missing
from shoestring.kit import Supervised
from shoestring.kit.boxes.rows import box_rows, mirrored_both_ways
from shoestring.kit.boxes.supervised import boxes_task
from shoestring.tasks.fetch import DataError, Source, fetch, present

BLOOD_CELLS = ("RBC", "WBC", "Platelets")
"""Red cells, white cells and platelets, in the order of their classes."""
_COMMIT = "d272fb14cdff6e473fafeeeba32aba5f560e9e43"
_HOME = Source(
    "bccd",
    f"BCCD_Dataset-{_COMMIT}.tar.gz",
    f"https://codeload.github.com/Shenggan/BCCD_Dataset/tar.gz/{_COMMIT}",
    "7ea4a43cd3f20fb2e7a846b05ca8a03e7be192651f248ee02e20dee2e4b4e291",  # as git archive makes it
)
_PACKED = Source(
    "bccd",
    "BCCD.tar.gz",
    "",
    "1308d3f6cb083702439a21deebbba231f52bf07512d3fe22e0859a66e439c78d",
)
_NAME = re.compile(r"(?:.*/)?BCCD/(Annotations|JPEGImages|ImageSets/Main)/(\w+)\.(xml|jpg|txt)")
_FILES = {"train": "train", "validation": "val", "test": "test"}
_WIDTH, _HEIGHT = 640, 480


@dataclass(frozen=True, kw_only=True)
class BloodPictures:
    """The pictures of a split and their boxes, as they are published.

    `names`: of the pictures, such as "BloodImage_00001".
    `files`: their bytes, JPEG of 640×480 pixels.
    `boxes`: for each picture its boxes: (class, left, top, width, height) in pixels.
    `notes`: what was changed in reading, a sentence each.
    """

    names: tuple[str, ...]
    files: tuple[bytes, ...] = field(repr=False)
    boxes: tuple[tuple[tuple[float, ...], ...], ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def blood_pictures() -> dict[str, BloodPictures]:
    """The pictures of each split: 205 for training, 87 for validation and 72 for testing.

    A box of no area, of which there are two, is left out, and one that leaves its picture is cut;
    `notes` say which. Raises DataError as `bccd` does.
    """
    path = fetch(_PACKED if present(_PACKED) is not None else _HOME)
    found: dict[tuple[str, str], bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = _NAME.fullmatch(member.name)
            if name is not None and (file := archive.extractfile(member)) is not None:
                found[name[1], name[2]] = file.read()
    splits = {}
    for split, listed in _FILES.items():
        try:
            names = tuple(found["ImageSets/Main", listed].decode().split())
            files = tuple(found["JPEGImages", name] for name in names)
            read = [_boxes(found["Annotations", name], name) for name in names]
        except (KeyError, ElementTree.ParseError, AttributeError, ValueError) as error:
            raise DataError(f"{path} is damaged or lacks a picture ({error!r})") from None
        splits[split] = BloodPictures(
            names=names,
            files=files,
            boxes=tuple(boxes for boxes, _ in read),
            notes=tuple(note for _, notes in read for note in notes),
        )
    return splits


def bccd(*, batch_size: int = 16, size: tuple[int, int] = (128, 160)) -> Supervised:
    """Pictures N×3×H×W in 0..1, and their boxes as rows N×M×5 (class, left, top, width, height).

    An unused row has the class -1. There are 205 pictures for training, 87 for validation and 72
    for testing, with 4,886 boxes in all; the classes are those of BLOOD_CELLS. Pictures are reduced
    from 640×480, and boxes with them. The score is the mean average precision over the classes, at
    an overlap of 0.5, with all points of the curve (`average_precisions`); the loss is that of
    CentreLoss, for a network with four pixels to a cell of its maps, such as CentreDetector.
    Training mirrors pictures and boxes both ways.

    `batch_size`: pictures of a training batch, 1 or more.
    `size`: height and width, multiples of 16 for CentreDetector.
    Source: github.com/Shenggan/BCCD_Dataset, in the splits that it has.
    Raises DataError where the files cannot be had or are damaged, and ModuleNotFoundError without
    the extra `images`.
    """
    splits = {}
    for split, pictures in blood_pictures().items():
        scale = np.array([1, *(size[1] / _WIDTH, size[0] / _HEIGHT) * 2])
        boxes = [[tuple(np.array(box) * scale) for box in own] for own in pictures.boxes]
        splits[split] = (_pixels(pictures.files, size), box_rows(boxes))
    return boxes_task(
        splits,
        names=BLOOD_CELLS,
        name="bccd",
        batch_size=batch_size,
        together=mirrored_both_ways,
    )


def _pixels(files: tuple[bytes, ...], size: tuple[int, int]) -> torch.Tensor:
    """Pictures N×3×H×W from 0 to 1."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise missing("PIL", extra="images", what="JPEG is read with Pillow") from None
    read = []
    for content in files:
        with Image.open(io.BytesIO(content)) as file:
            reduced = file.convert("RGB").resize((size[1], size[0]), Image.Resampling.BOX)
            read.append(np.asarray(reduced))
    pixels = torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2).contiguous()
    return pixels.float() / 255


def _boxes(content: bytes, name: str) -> tuple[tuple[tuple[float, ...], ...], list[str]]:
    """The boxes of a Pascal VOC file within its picture, and what was changed."""
    boxes: list[tuple[float, ...]] = []
    notes: list[str] = []
    for one in ElementTree.fromstring(content).iter("object"):
        corners = one.find("bndbox")
        assert corners is not None
        left, top, right, bottom = (
            float(corners.find(side).text)  # type: ignore[union-attr, arg-type]
            for side in ("xmin", "ymin", "xmax", "ymax")
        )
        kind = BLOOD_CELLS.index(one.find("name").text)  # type: ignore[union-attr, arg-type]
        ends = zip((left, top, right, bottom), (_WIDTH, _HEIGHT) * 2, strict=True)
        cut = [min(max(end, 0), limit) for end, limit in ends]
        width, height = cut[2] - cut[0], cut[3] - cut[1]
        if not (width > 0 and height > 0):
            size = f"{right - left:g} by {bottom - top:g} pixels"
            notes.append(f"{name} has a box of {size}, which is left out")
            continue
        if cut != [left, top, right, bottom]:
            notes.append(f"{name} has a box that leaves the picture, which is cut")
        boxes.append((kind, cut[0], cut[1], width, height))
    return tuple(boxes), notes
