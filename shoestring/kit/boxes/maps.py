"""Dense maps: where the centres of boxes are, how large the boxes are, and the loss of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shoestring.kit.boxes.rows import are_complete

HEAT, SIDES, OFFSETS = "heat", "sides", "offsets"
"""The maps that a network returns, by name: logits of centres N×classes×H×W, the logarithms of
widths and heights in cells N×2×H×W, and where in its cell a centre is, 0 to 1, N×2×H×W.
"""
_OVERLAP = 0.7  # of a box with one that is moved by two of the Gaussian's deviations along an axis


@dataclass(frozen=True, kw_only=True)
class Maps:
    """What a network should answer for pictures of which the boxes are known.

    `heat`: N×classes×H×W, 1 at a cell with a centre, falling around it as a Gaussian does.
    `centres`: the places of the boxes in the maps: four vectors of as many integers as there are
        boxes (picture, class, row, column).
    `sides`, `offsets`: of these boxes, B×2, as the network's maps have them.
    `complete`: whether all boxes of each picture were marked, N booleans.
    """

    heat: Tensor
    centres: tuple[Tensor, Tensor, Tensor, Tensor]
    sides: Tensor
    offsets: Tensor
    complete: Tensor


Unmarked = Callable[[Tensor, Maps], Tensor]
"""How much each place of the heat map counts as background: (logits, maps) to a factor N×C×H×W."""


def as_background(logits_NCHW: Tensor, maps: Maps) -> Tensor:
    """Whatever is not marked is background, as in ordinary training: 1 everywhere."""
    return torch.ones_like(logits_NCHW)


def maps_of(rows_NM5: Tensor, classes: int, size: tuple[int, int], stride: int) -> Maps:
    """The maps of pictures whose boxes are rows (`box_rows`).

    Two boxes of a class with the same central cell are one place of the heat, and both are in
    `centres`: the loss asks this place for the sides of either.
    `size`: rows and columns of the maps. `stride`: pixels of the picture to a cell.
    Source: Zhou, Wang & Krähenbühl 2019, "Objects as Points", section 3. Differs: the Gaussian has
    a deviation for each axis, in proportion to the sides of the box.
    """
    height, width = size
    used = rows_NM5[:, :, 0] >= 0
    picture, row = used.nonzero(as_tuple=True)
    boxes = rows_NM5[picture, row]
    kinds = boxes[:, 0].long()
    if bool((kinds >= classes).any()):
        raise ValueError(f"a box has class {int(kinds.max())}, and there are {classes} classes")
    sides = boxes[:, 3:5] / stride
    centres = (boxes[:, 1:3] + boxes[:, 3:5] / 2) / stride
    most = torch.tensor([width, height], device=rows_NM5.device)
    cells = torch.minimum(centres.floor().clamp(min=0), most - 1)
    deviations = (sides * (1 - _OVERLAP) / (1 + _OVERLAP) / 2).clamp(min=0.4)
    rows, columns = (
        torch.exp(
            -(((torch.arange(length) - cells[:, axis, None]) / deviations[:, axis, None]) ** 2) / 2
        )
        for axis, length in ((1, height), (0, width))
    )
    heat = torch.zeros(len(rows_NM5) * classes, height * width)
    one = (rows[:, :, None] * columns[:, None, :]).flatten(1)
    place = (picture * classes + kinds)[:, None].expand_as(one)
    heat = heat.scatter_reduce(0, place, one, "amax")
    cells = cells.long()
    return Maps(
        heat=heat.view(len(rows_NM5), classes, height, width),
        centres=(picture, kinds, cells[:, 1], cells[:, 0]),
        sides=sides.clamp(min=1e-3).log(),
        offsets=(centres - cells).clamp(0, 1),
        complete=are_complete(rows_NM5),
    )


@dataclass(frozen=True, kw_only=True)
class CentreLoss:
    """The loss of a network that answers with dense maps, for boxes as rows: a criterion.

    The heat map has the focal loss that counts a place less the nearer it is to a centre; sides and
    offsets have an absolute error at the centres.

    Source: Zhou, Wang & Krähenbühl 2019, section 3, equations 1 and 2. Differs: sides are
    logarithms, so that small boxes count as much as large ones, and their error counts 1 (the paper
    has 0.1, of pixels), that of offsets 0.5 (the paper has 1).

    `stride`: pixels of the picture to a cell of the maps, 1 or more.
    `unmarked`: how much a place counts as background; see `shoestring.label` for pictures of which
        not all boxes are marked.
    """

    stride: int
    unmarked: Unmarked = as_background

    def __call__(self, outputs: Mapping[str, Any], rows_NM5: Tensor) -> Tensor:
        logits = outputs[HEAT]
        maps = maps_of(rows_NM5, logits.shape[1], tuple(logits.shape[2:]), self.stride)
        boxes = max(1, len(maps.sides))
        picture, kind, row, column = maps.centres
        there = logits[picture, kind, row, column]
        found = ((1 - there.sigmoid()) ** 2 * functional.softplus(-there)).sum()
        background = (1 - maps.heat) ** 4 * self.unmarked(logits.detach(), maps)
        background[picture, kind, row, column] = 0
        false = (background * logits.sigmoid() ** 2 * functional.softplus(logits)).sum()
        sides = (outputs[SIDES][picture, :, row, column] - maps.sides).abs().sum()
        offsets = (outputs[OFFSETS][picture, :, row, column] - maps.offsets).abs().sum()
        return (found + false + sides + 0.5 * offsets) / boxes
