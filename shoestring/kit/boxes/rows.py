"""Boxes as numbers: the rows of a target tensor, which networks of any kind can be trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NONE, MORE = -1, -2
"""In place of a class: of an unused row, and of an unused row in a picture that has boxes which
nobody marked.
"""
COLUMNS = 5
"""Class, left, top, width, height: in pixels of the picture that the network gets."""


def box_rows(
    boxes: Sequence[Sequence[Sequence[float]]], complete: Sequence[bool] | None = None
) -> Tensor:
    """Boxes of N pictures as one tensor N×M×5 (float32), padded with rows of the class NONE.

    `boxes`: for each picture its boxes, each (class, left, top, width, height).
    `complete`: for each picture whether all its boxes were marked; None: all of all. An incomplete
        one has a last row of the class MORE.

    Raises ValueError for a box without area, for a class below 0, and for another number of
    `complete` than of pictures.
    """
    whole = [True] * len(boxes) if complete is None else list(complete)
    if len(whole) != len(boxes):
        raise ValueError(
            f"{len(whole)} values of complete for {len(boxes)} pictures: give one each"
        )
    most = max((len(own) for own in boxes), default=0) + 1
    rows = torch.zeros(len(boxes), most, COLUMNS)
    rows[:, :, 0] = NONE
    for picture, own in enumerate(boxes):
        for number, box in enumerate(own):
            kind, _, _, width, height = box
            if not (width > 0 and height > 0) or kind < 0:
                raise ValueError(
                    f"box {number} of picture {picture} is class {kind}, {width} by {height} "
                    "pixels: a class is 0 or more, and a side above 0"
                )
            rows[picture, number] = torch.tensor(box)
        if not whole[picture]:
            rows[picture, -1, 0] = MORE
    return rows


def are_complete(rows_NM5: Tensor) -> Tensor:
    """Whether all boxes of each picture were marked: N booleans."""
    return ~(rows_NM5[:, :, 0] == MORE).any(1)


def only_some(rows_NM5: Tensor, count: int, seed: int) -> Tensor:
    """The same boxes with at most `count` of each picture, drawn by a seed; it says what it hides.

    A picture of which a box is hidden gets a row of the class MORE.
    `count`: 1 or more.

    Raises ValueError for another count.
    """
    if count < 1:
        raise ValueError(f"{count} boxes a picture: keep 1 or more")
    random = torch.Generator().manual_seed(seed)
    kept = torch.zeros(len(rows_NM5), count + 1, COLUMNS)
    kept[:, :, 0] = NONE
    for picture, own in enumerate(rows_NM5):
        marked = own[own[:, 0] >= 0]
        chosen = marked[torch.randperm(len(marked), generator=random)[:count]]
        kept[picture, : len(chosen)] = chosen
        if len(chosen) < len(marked) or (own[:, 0] == MORE).any():
            kept[picture, -1, 0] = MORE
    return kept


def mirrored_boxes(images: Tensor, rows_NM5: Tensor) -> tuple[Tensor, Tensor]:
    """Each picture N×C×H×W with its boxes, mirrored left to right with a probability of a half."""
    return _mirrored(images, rows_NM5, 3, 1)


def mirrored_both_ways(images: Tensor, rows_NM5: Tensor) -> tuple[Tensor, Tensor]:
    """The same, and from top to bottom too, with a probability of a half of its own.

    It is for pictures that have no up and down, such as those of a microscope.
    """
    return _mirrored(*_mirrored(images, rows_NM5, 3, 1), 2, 2)


def _mirrored(images: Tensor, rows_NM5: Tensor, axis: int, begin: int) -> tuple[Tensor, Tensor]:
    """`axis`: of the pictures. `begin`: the column of the rows with the beginning of a box."""
    chosen = torch.rand(len(images)) < 0.5
    images = torch.where(chosen[:, None, None, None], images.flip(axis), images)
    turned = rows_NM5.clone()
    turned[:, :, begin] = images.shape[axis] - rows_NM5[:, :, begin] - rows_NM5[:, :, begin + 2]
    return images, torch.where(chosen[:, None, None], turned, rows_NM5)
