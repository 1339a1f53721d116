"""Blood cells without a network: thresholds, connected components and the peaks of distances."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import ndimage

from shoestring.kit import Supervised
from shoestring.kit.boxes import Found, mean_average_precision

RED, WHITE, PLATELET = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What six numbers decide.

    `stained`: how much bluer than green a pixel of a nucleus or a platelet is, 0 to 1.
    `pale`: the green from which on a pixel is background, as a share of the picture's brightest.
    `large`: pixels of a white cell's nucleus at least.
    `grown`: pixels by which the box of a nucleus grows to that of its cell, on each side.
    `red`: width and height of a red cell's box.
    """

    stained: float
    pale: float
    large: int
    grown: float
    red: tuple[float, float]


def classical(task: Supervised) -> dict[str, list[Found]]:
    """The boxes found in validation and test pictures, by the rule that is best in training."""
    images, rows = task.train[0].numpy(), task.train[1].numpy()  # type: ignore[union-attr]
    red = tuple(np.median(rows[rows[:, :, 0] == RED][:, 3:], axis=0))
    best: tuple[float, Rule] | None = None
    for stained, pale, large, grown in product(
        (0.06, 0.1, 0.15, 0.2), (0.75, 0.85, 0.92), (120, 250, 400), (0.0, 4.0)
    ):
        rule = Rule(stained=stained, pale=pale, large=large, grown=grown, red=red)
        value = mean_average_precision([_found(one, rule) for one in images[::4]], rows[::4])
        if best is None or value > best[0]:
            best = value, rule
    assert best is not None
    return {
        split: [_found(one, best[1]) for one in getattr(task, split)[0].numpy()]
        for split in ("validation", "test")
    }


def _found(image_3HW: np.ndarray, rule: Rule) -> Found:
    _, green, blue = (ndimage.gaussian_filter(one, 1.0) for one in image_3HW)
    stained: Any = ndimage.binary_opening(blue - green > rule.stained)
    boxes: list[Any] = []
    labels, _ = ndimage.label(stained)  # type: ignore[misc]
    places: Any = ndimage.find_objects(labels)
    for number, place in enumerate(places, 1):
        area = int((labels[place] == number).sum())
        if area < 12:
            continue
        rows, columns = place
        kind = WHITE if area >= rule.large else PLATELET
        grown = rule.grown if kind == WHITE else 1.0
        left, top = columns.start - grown, rows.start - grown
        width, height = (one.stop - one.start + 2 * grown for one in (columns, rows))
        sure = min(area / rule.large, 2) if kind == WHITE else 1 - area / rule.large
        boxes.append((kind, left, top, width, height, sure))
    background = green > rule.pale * np.quantile(green, 0.95)
    filled = np.asarray(ndimage.binary_fill_holes(~background))
    inside = filled & np.logical_not(ndimage.binary_dilation(stained))
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), 1.5)
    width, height = rule.red
    peaks = (ndimage.maximum_filter(distance, int(width * 0.6)) == distance) & (distance > 4)
    for row, column in np.argwhere(peaks):
        boxes.append(
            (RED, column - width / 2, row - height / 2, width, height, distance[row, column])
        )
    array = np.array(boxes, np.float64).reshape(-1, 6)
    return Found(kinds=array[:, 0].astype(int), boxes=array[:, 1:5], scores=array[:, 5])
