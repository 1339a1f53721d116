"""A task of pictures and boxes, for networks that answer with dense maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from shoestring.core.kinds import BinaryLogits, Numbers
from shoestring.kit.boxes.decoding import decode
from shoestring.kit.boxes.maps import HEAT, OFFSETS, SIDES, CentreLoss, Unmarked, as_background
from shoestring.kit.boxes.precision import average_precisions, mean_average_precision
from shoestring.kit.boxes.rows import mirrored_boxes
from shoestring.kit.training.supervised import Supervised

BOX_STRIDE = 4
"""Pixels of the picture to a cell of the maps, where nobody says another number."""


def boxes_task(
    splits: Mapping[str, tuple[Tensor, Tensor]],
    *,
    names: Sequence[str],
    name: str,
    batch_size: int = 16,
    stride: int = BOX_STRIDE,
    together: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = mirrored_boxes,
    unmarked: Unmarked = as_background,
    unlabelled: Tensor | None = None,
) -> Supervised:
    """A task whose model finds boxes; the score is mean average precision at an overlap of 0.5.

    `splits`: of "train", "validation" and "test", pictures N×C×H×W and rows N×M×5 (`box_rows`).
        "test" may be missing.
    `names`: of the classes; the average precision of each is a metric of its name. A class of which
        the validation pictures, or those for testing, have no box gets none: there is nothing to
        find, and 0 would be no measurement.
    `stride`: pixels of the picture to a cell of the model's maps.
    `together`: changes pictures and boxes of a training batch; None: no change.
    `unmarked`: how what is not marked counts in the loss (`CentreLoss`).
    `unlabelled`: pictures without boxes, the pool; nobody sells their boxes. None: there are none.
    """
    measured = [splits[one][1] for one in ("validation", "test") if one in splits]
    return Supervised(
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        name=name,
        batch_size=batch_size,
        criterion=CentreLoss(stride=stride, unmarked=unmarked),
        metric=Precision(stride=stride),
        metrics={
            one: Precision(stride=stride, of=kind)
            for kind, one in enumerate(names)
            if all(bool((rows_NM5[:, :, 0] == kind).any()) for rows_NM5 in measured)
        },
        together=together,
        unlabelled=unlabelled,
        limit=None if unlabelled is None else 0,
        kinds={HEAT: BinaryLogits(), SIDES: Numbers(1), OFFSETS: Numbers(1)},
    )


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Mean average precision of dense maps, at an overlap of 0.5: a metric.

    `stride`: pixels of the picture to a cell of the maps.
    `of`: the class whose average precision it is, 0 where no picture has a box of it; None: the
        mean over the classes that the pictures have boxes of.
    """

    stride: int
    of: int | None = None

    def __call__(self, outputs: Any, rows_NM5: np.ndarray) -> float:
        found = decode(outputs, stride=self.stride)
        if self.of is None:
            return mean_average_precision(found, rows_NM5)
        return average_precisions(found, rows_NM5).get(self.of, 0.0)
