"""The reader's own pictures with boxes as a task, a detector that learns it, and its proposals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shoestring.artifact.errors import missing
from shoestring.artifact.progress import progress
from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training
from shoestring.kit.boxes import BOX_STRIDE, box_rows, boxes_task, decode, overlaps
from shoestring.label import Annotation, Box, Collection, Example, Forgiving
from shoestring.models import CentreDetector
from shoestring.recipes.held_out import drawn
from shoestring.recipes.own_data import HELD_OUT

_SHORTEST, _LONGEST = 160, 320  # pixels of a picture's longer side, as the network sees it
_SMALL = 8  # such pixels that a small box should have
_MULTIPLE = 16  # of which the network's sides are multiples
_BATCH, _PASSES, _LEAST, _MOST = 16, 30, 150, 1000  # passes, and steps at least and at most
_SAME = 0.5  # overlap from which two annotators' boxes are one
_GREY = 0.5


@dataclass(frozen=True, kw_only=True)
class OwnBoxes:
    """A collection of pictures as a task, and what learns to find boxes in them.

    `task`: its pool has the pictures without an annotation, and its "train" split those with one.
        Targets are rows of boxes (`shoestring.kit.boxes.box_rows`) in pixels of the network's
        pictures. It has a test split where the collection says which pictures are for testing.
    `model`: an untrained detector.
    `training`: how it learns from the boxes that there are now.
    `names`: the classes, by the number in the rows.
    `examples`: the name of the picture at each index of the task: first the pool's.
    `validation`: the names of the pictures that are validated on, in their order.
    `scales`: at each index of the task, pixels of the network's picture to a pixel of the file's.
    `sizes`: the width and height of these files' pictures.
    `notes`: what was left out or assumed, a sentence each.
    """

    task: Supervised
    model: nn.Module
    training: Training
    names: tuple[str, ...]
    examples: tuple[str, ...] = field(repr=False)
    validation: tuple[str, ...] = field(repr=False)
    scales: tuple[float, ...] = field(repr=False)
    sizes: tuple[tuple[int, int], ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def proposals(
        self, model: Any, indices: Sequence[int], *, least: float = 0.3
    ) -> list[Annotation]:
        """The boxes that a model finds in the pictures at these indices, in pixels of their files.

        `model`: a trained module, or a loaded file.
        `least`: the lowest score of a box, 0 to 1.
        The score of an annotation is that of its least sure decision: the score of a box, or 1
        minus that of one that was left out.
        """
        outputs = self.task.outputs(model, self.task.inputs(indices))
        proposed = []
        for index, found in zip(indices, decode(outputs, stride=BOX_STRIDE), strict=True):
            kept = found.scores >= least
            sure = np.where(kept, found.scores, 1 - found.scores).min(initial=1.0)
            labels: list[Box] = []
            for kind, box in zip(found.kinds[kept], found.boxes[kept], strict=True):
                first = np.maximum(box[:2] / self.scales[index], 0)
                last = np.minimum((box[:2] + box[2:]) / self.scales[index], self.sizes[index])
                if (last > first).all():
                    left, top, width, height = (*first.tolist(), *(last - first).tolist())
                    name = self.names[kind]
                    labels.append(Box(left=left, top=top, width=width, height=height, name=name))
            proposed.append(Annotation(labels=tuple(labels), by="model", score=float(sure)))
        return proposed


def own_boxes(collection: Collection, *, held_out: float = HELD_OUT, seed: int = 0) -> OwnBoxes:
    """The task, the detector and its training for pictures with boxes.

    The boxes of a picture are those of its last complete annotation. Where there is none, they are
    all that people marked, near copies once, and what nobody marked is not taken for background in
    training (`Forgiving`). Skipped pictures are neither learned from nor in the pool.

    `held_out`: the share of marked pictures to validate on, where the collection names none; 0:
        validation is on the training pictures, which a note says. Which are held out depends on
        their names, so that it stays as it is while boxes come in.
    `seed`: of the detector's first weights.
    Raises ValueError for a collection of other labels, and where no picture has a box to learn from
    or none opens; ModuleNotFoundError without the extra `images`.
    """
    if collection.kind is not Box:
        raise ValueError(
            f"the labels are of kind {collection.kind.__name__}: give a collection of Box labels, "
            "or take own_data"
        )
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out is {held_out}: give a share from 0 to below 1")
    notes = list(collection.notes)
    marked = [_marked(example) for example in collection.examples]
    names = _names(collection, marked)
    size = _size(collection.examples, marked, notes)
    pictures = _pictures(collection.examples, marked, size, notes)
    parts = _parts(pictures, held_out, notes)
    _check_classes(pictures, parts, names, notes)
    task = _task(pictures, parts, names)
    steps = min(max(_PASSES * len(parts["train"]) // _BATCH, _LEAST), _MOST)
    with seeded(seed):
        model = CentreDetector(len(names))
    of_task = [pictures[place] for place in (*parts["pool"], *parts["train"])]
    return OwnBoxes(
        task=task,
        model=model,
        training=Training(steps, AdamW(3e-3, 1e-2)),
        names=names,
        examples=tuple(one.example.name for one in of_task),
        validation=tuple(pictures[place].example.name for place in parts["validation"]),
        scales=tuple(one.scale for one in of_task),
        sizes=tuple(one.size for one in of_task),
        notes=tuple(dict.fromkeys(notes)),
    )


@dataclass(frozen=True, kw_only=True)
class _Marked:
    """What is known of a picture: its boxes, and whether these are all. None: nothing is known."""

    boxes: tuple[Box, ...]
    complete: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class _Picture:
    """A picture as the network sees it: bytes 3×H×W, how much it was reduced, and its boxes.

    `size`: the width and height of the file's picture.
    """

    example: Example
    pixels: np.ndarray
    scale: float
    size: tuple[int, int]
    marked: _Marked | None


def _marked(example: Example) -> _Marked | None:
    said = [one for one in example.annotations if not one.skipped]
    if not said:
        return None
    for one in reversed(said):
        if one.complete:
            return _Marked(boxes=_boxes(one), complete=True)
    kept: list[Box] = []
    for box in (box for one in said for box in _boxes(one)):
        same = [own for own in kept if own.name == box.name]
        if not same or overlaps(_corners([box]), _corners(same)).max() < _SAME:
            kept.append(box)
    return _Marked(boxes=tuple(kept), complete=False)


def _boxes(annotation: Annotation) -> tuple[Box, ...]:
    return tuple(label for label in annotation.labels if isinstance(label, Box))


def _corners(boxes: Sequence[Box]) -> np.ndarray:
    return np.array([(one.left, one.top, one.width, one.height) for one in boxes], np.float64)


def _names(collection: Collection, marked: Sequence[_Marked | None]) -> tuple[str, ...]:
    """The classes that are named or have boxes, in the collection's order and then by name."""
    found = {box.name for one in marked if one is not None for box in one.boxes}
    if not found:
        raise ValueError(
            "no picture has a box: mark one or more, and a detector can learn from them"
        )
    return (*collection.names, *sorted(found - set(collection.names)))


def _size(
    examples: Sequence[Example], marked: Sequence[_Marked | None], notes: list[str]
) -> tuple[int, int]:
    """The height and width of the network's pictures: small, but not too small for small boxes."""
    shapes: list[tuple[int, int]] = []
    shares: list[float] = []  # of small boxes, of the longer side
    for example, one in zip(examples, marked, strict=True):
        if len(shapes) >= 200 and (one is None or not one.boxes):
            continue
        shape = _shape(example.picture)
        if shape is None:
            continue
        shapes.append(shape)
        if one is not None:
            shares += [(box.width * box.height) ** 0.5 / max(shape) for box in one.boxes]
    if not shapes:
        raise ValueError(
            f"none of the {len(examples):,} pictures opens: is it a folder of pictures?"
        )
    longest = _SHORTEST
    if shares:
        wanted = _SMALL / max(float(np.quantile(shares, 0.1)), 1e-6)
        longest = int(min(max(wanted, _SHORTEST), _LONGEST))
        if wanted > _LONGEST:
            notes.append(
                f"a tenth of the boxes is smaller than {_SMALL} pixels in a picture of {_LONGEST}: "
                "they are hard to find; cut the pictures into parts"
            )
    height, width = (float(one) for one in np.median(np.array(shapes, float), axis=0))
    reduced = longest / max(height, width)
    sides = tuple(max(1, round(one * reduced / _MULTIPLE)) * _MULTIPLE for one in (height, width))
    notes.append(f"pictures are seen at {sides[1]}×{sides[0]} pixels")
    return sides[0], sides[1]


def _opened(path: Path | None) -> Any:
    """The picture upright, or None where it does not open."""
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        raise missing("PIL", extra="images", what="pictures are read with Pillow") from None
    try:
        with Image.open(str(path)) as file:
            return ImageOps.exif_transpose(file).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _shape(path: Path | None) -> tuple[int, int] | None:
    """Height and width of a picture upright; None where it does not open."""
    picture = _opened(path)
    return None if picture is None else (picture.height, picture.width)


def _pictures(
    examples: Sequence[Example],
    marked: Sequence[_Marked | None],
    size: tuple[int, int],
    notes: list[str],
) -> list[_Picture]:
    """Those that open, reduced to fit the size; what is left beside and below is grey."""
    from PIL import Image

    found: list[_Picture] = []
    closed: list[str] = []
    with progress("reading pictures", len(examples)) as advance:
        for example, one in zip(examples, marked, strict=True):
            picture = _opened(example.picture)
            advance("")
            if picture is None:
                closed.append(example.name)
                continue
            scale = min(size[0] / picture.height, size[1] / picture.width)
            height, width = (
                max(1, round(side * scale)) for side in (picture.height, picture.width)
            )
            pixels = np.full((3, *size), round(255 * _GREY), np.uint8)
            reduced = picture.resize((width, height), Image.Resampling.BOX)
            pixels[:, :height, :width] = np.asarray(reduced).transpose(2, 0, 1)
            inside = None
            if one is not None:
                kept = _inside(example, one, picture.width, picture.height, notes)
                inside = _Marked(boxes=kept, complete=one.complete)
            found.append(
                _Picture(
                    example=example,
                    pixels=pixels,
                    scale=scale,
                    size=(picture.width, picture.height),
                    marked=inside,
                )
            )
    if closed:
        notes.append(
            f"{len(closed):,} pictures do not open and are left out: {', '.join(closed[:3])}"
            + ("; …" if len(closed) > 3 else "")
        )
    return found


def _inside(
    example: Example, marked: _Marked, width: int, height: int, notes: list[str]
) -> tuple[Box, ...]:
    """The boxes within a picture, cut at its edges."""
    kept: list[Box] = []
    for box in marked.boxes:
        left, top = max(box.left, 0.0), max(box.top, 0.0)
        right, bottom = min(box.left + box.width, width), min(box.top + box.height, height)
        if right - left <= 0 or bottom - top <= 0:
            notes.append(
                f"{example.name} has a box {box.name!r} outside of its {width}×{height} pixels, "
                "which is left out"
            )
            continue
        if (right - left) * (bottom - top) < 0.99 * box.width * box.height:
            notes.append(f"{example.name} has a box {box.name!r} that leaves it, which is cut")
        kept.append(Box(left=left, top=top, width=right - left, height=bottom - top, name=box.name))
    return tuple(kept)


def _parts(pictures: Sequence[_Picture], held_out: float, notes: list[str]) -> dict[str, list[int]]:
    """The places of the pictures of each part."""
    parts: dict[str, list[int]] = {"pool": [], "train": [], "validation": [], "test": []}
    marked: list[int] = []
    for place, one in enumerate(pictures):
        skipped = bool(one.example.annotations) and one.marked is None
        if one.marked is None and not skipped and one.example.split not in ("validation", "test"):
            parts["pool"].append(place)
        elif one.marked is not None and one.example.split in ("validation", "test"):
            parts[one.example.split].append(place)
        elif one.marked is not None:
            marked.append(place)
    if not parts["validation"] and held_out:
        whole = [place for place in marked if (own := pictures[place].marked) and own.complete]
        if not whole and marked:
            notes.append(
                "no picture is completely marked: what is found beyond the marks counts as false, "
                "so that the score is too low; mark some pictures completely"
            )
        ranked = sorted(whole or marked, key=lambda place: drawn(pictures[place].example.name))
        below = sum(drawn(pictures[place].example.name) < held_out for place in ranked)
        if len(marked) > 1:
            parts["validation"] = sorted(ranked[: min(max(below, 1), len(marked) - 1)])
    parts["train"] = sorted(set(marked) - set(parts["validation"]))
    if not parts["validation"]:
        notes.append(
            "nothing is held out: validation is on the pictures that the network learns from"
        )
        parts["validation"] = parts["train"]
    return parts


def _check_classes(
    pictures: Sequence[_Picture],
    parts: dict[str, list[int]],
    names: Sequence[str],
    notes: list[str],
) -> None:
    known = {
        box.name
        for place in parts["train"]
        if (own := pictures[place].marked) is not None
        for box in own.boxes
    }
    if not known:
        raise ValueError(
            "no picture to train on has a box: mark some in pictures that are not for validation "
            "or testing"
        )
    if unknown := [name for name in names if name not in known]:
        notes.append(
            f"no box to learn from has the class {', '.join(map(repr, unknown))}: it is never found"
        )


def _task(
    pictures: Sequence[_Picture], parts: dict[str, list[int]], names: tuple[str, ...]
) -> Supervised:
    number = {name: place for place, name in enumerate(names)}
    rows = box_rows(
        [
            []
            if one.marked is None
            else [
                (number[box.name], *(one.scale * side for side in _corners([box])[0]))
                for box in one.marked.boxes
            ]
            for one in pictures
        ],
        [one.marked is None or one.marked.complete for one in pictures],
    )

    def images(places: list[int]) -> Tensor:
        return (
            torch.from_numpy(np.stack([pictures[place].pixels for place in places])).float() / 255
        )

    used = {part: places for part, places in parts.items() if places and part != "pool"}
    return boxes_task(
        {part: (images(places), rows[places]) for part, places in used.items()},
        names=names,
        name="own boxes",
        batch_size=_BATCH,
        unmarked=Forgiving(),
        unlabelled=images(parts["pool"]) if parts["pool"] else None,
    )
