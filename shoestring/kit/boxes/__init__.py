"""Boxes in pictures: how they are kept, dense maps of their centres, decoding, and the score."""

from shoestring.artifact.overlaps import overlaps
from shoestring.kit.boxes.decoding import decode
from shoestring.kit.boxes.maps import CentreLoss, Maps, Unmarked, as_background, maps_of
from shoestring.kit.boxes.precision import (
    Found,
    average_precisions,
    mean_average_precision,
)
from shoestring.kit.boxes.rows import (
    MORE,
    NONE,
    are_complete,
    box_rows,
    mirrored_both_ways,
    mirrored_boxes,
    only_some,
)
from shoestring.kit.boxes.supervised import BOX_STRIDE, Precision, boxes_task

__all__ = [
    "BOX_STRIDE",
    "MORE",
    "NONE",
    "CentreLoss",
    "Found",
    "Maps",
    "Precision",
    "Unmarked",
    "are_complete",
    "as_background",
    "average_precisions",
    "box_rows",
    "boxes_task",
    "decode",
    "maps_of",
    "mean_average_precision",
    "mirrored_both_ways",
    "mirrored_boxes",
    "only_some",
    "overlaps",
]
