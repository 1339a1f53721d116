"""Boxes out of dense maps: the peaks of the heat, with the sides that the network gives there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter

from shoestring.artifact.overlaps import overlaps
from shoestring.core import array
from shoestring.kit.boxes.maps import HEAT, OFFSETS, SIDES
from shoestring.kit.boxes.precision import Found


def decode(
    outputs: Mapping[str, Any],
    *,
    stride: int,
    least: float = 0.01,
    most: int = 100,
    overlap: float = 0.6,
) -> list[Found]:
    """The boxes of each picture, the surest first; numpy and scipy, so that a loaded file will do.

    Source: Zhou, Wang & Krähenbühl 2019, "Objects as Points", section 4. Differs: of boxes that
    overlap, the less sure are dropped (non-maximum suppression), where the paper keeps all peaks.

    `outputs`: the maps of a network or of a file: heat, sides and offsets, N×…×H×W.
    `stride`: pixels of the picture to a cell.
    `least`: the lowest score of a box, 0 to 1.
    `most`: boxes of a picture.
    `overlap`: of two boxes of a class that overlap more than this (intersection over union) the
        less sure one is dropped, 0 to 1.
    """
    logits, sides, offsets = (array(outputs[name]) for name in (HEAT, SIDES, OFFSETS))
    heat = 1 / (1 + np.exp(-logits.astype(np.float64)))
    peaks = (maximum_filter(heat, (1, 1, 3, 3), mode="constant") == heat) & (heat >= least)
    found = []
    for picture in range(len(heat)):
        kinds, rows, columns = np.nonzero(peaks[picture])
        scores = heat[picture, kinds, rows, columns]
        best = np.argsort(-scores, kind="stable")[:most]
        kinds, rows, columns, scores = kinds[best], rows[best], columns[best], scores[best]
        where = offsets[picture][:, rows, columns].T
        large = np.exp(np.clip(sides[picture][:, rows, columns].T, -8, 8)) * stride
        centres = (np.stack([columns, rows], 1) + where) * stride
        boxes = np.concatenate([centres - large / 2, large], 1)
        kept = _kept(boxes, kinds, overlap)
        found.append(Found(kinds=kinds[kept], boxes=boxes[kept], scores=scores[kept]))
    return found


def _kept(boxes_B4: np.ndarray, kinds_B: np.ndarray, overlap: float) -> np.ndarray:
    """The places of boxes that no surer box of their class covers: non-maximum suppression."""
    same = (kinds_B[:, None] == kinds_B[None]) & (overlaps(boxes_B4, boxes_B4) > overlap)
    kept: list[int] = []
    for place in range(len(boxes_B4)):
        if not same[place, kept].any():
            kept.append(place)
    return np.array(kept, np.int64)
