"""Mean average precision: the score of boxes that were found against those that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shoestring.artifact.overlaps import overlaps


@dataclass(frozen=True, kw_only=True)
class Found:
    """The boxes that were found in a picture.

    `kinds`: their classes, B integers.
    `boxes`: left, top, width and height in pixels, B×4.
    `scores`: how sure each is, 0 to 1, B.
    """

    kinds: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def average_precisions(
    found: Sequence[Found], rows_NM5: np.ndarray, *, overlap: float = 0.5
) -> dict[int, float]:
    """The average precision of each class that a box of the pictures has, from 0 to 1.

    All-point interpolation, as Pascal VOC has computed it since 2010: the area under the precision,
    where that of a recall is the best precision at this recall or a higher one. A box is right
    where it overlaps a box of its class, which no surer box has taken, by `overlap` or more
    (intersection over union).

    `found`: for each picture.
    `rows_NM5`: the boxes that are there (`box_rows`).
    Source: Everingham et al. 2010, section 4.2, and their development kit of 2012. Differs: a box
    may take the best of the boxes that are still free, as COCO has it, where VOC gives it up when
    the box that it overlaps most is taken.
    """
    kinds = np.unique(rows_NM5[:, :, 0][rows_NM5[:, :, 0] >= 0]).astype(int)
    return {int(kind): _average(found, rows_NM5, int(kind), overlap) for kind in kinds}


def mean_average_precision(
    found: Sequence[Found], rows_NM5: np.ndarray, *, overlap: float = 0.5
) -> float:
    """The mean of `average_precisions`, 0 to 1; 0 where no picture has a box."""
    each = average_precisions(found, rows_NM5, overlap=overlap)
    return float(np.mean([*each.values()])) if each else 0.0


def _average(found: Sequence[Found], rows_NM5: np.ndarray, kind: int, overlap: float) -> float:
    scores, right, there = [], [], 0
    for one, rows in zip(found, rows_NM5, strict=True):
        true = rows[rows[:, 0] == kind][:, 1:]
        there += len(true)
        mine = np.nonzero(one.kinds == kind)[0]
        mine = mine[np.argsort(-one.scores[mine], kind="stable")]
        pairs = overlaps(one.boxes[mine], true)
        free = np.ones(len(true), bool)
        for place, pair in zip(mine, pairs, strict=True):
            best = int(np.argmax(np.where(free, pair, -1))) if len(true) else -1
            hit = best >= 0 and free[best] and pair[best] >= overlap
            if hit:
                free[best] = False
            scores.append(one.scores[place])
            right.append(hit)
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.cumsum(np.array(right, bool)[order])
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * np.array(right, bool)[order]).sum() / there)
