"""Boxes as rows: padding, what is hidden, mirroring."""

from __future__ import annotations

import pytest
import torch

from shoestring.core import seeded
from shoestring.kit.boxes import (
    MORE,
    NONE,
    are_complete,
    box_rows,
    mirrored_both_ways,
    mirrored_boxes,
    only_some,
)

BOXES = [[(0, 1.0, 2.0, 3.0, 4.0), (1, 5.0, 5.0, 1.0, 2.0)], [], [(2, 0.0, 0.0, 9.0, 9.0)]]


def test_rows_hold_the_boxes_and_padding():
    rows = box_rows(BOXES)
    assert rows.shape == (3, 3, 5) and rows.dtype == torch.float32
    assert rows[0, :2].tolist() == [list(map(float, box)) for box in BOXES[0]]
    assert (rows[1, :, 0] == NONE).all() and rows[:, -1, 0].tolist() == [NONE] * 3
    assert are_complete(rows).tolist() == [True] * 3


def test_a_picture_that_is_not_complete_says_so():
    rows = box_rows(BOXES, [True, False, False])
    assert are_complete(rows).tolist() == [True, False, False]
    assert rows[2, 0].tolist() == [2, 0, 0, 9, 9] and rows[2, -1, 0] == MORE


@pytest.mark.parametrize(
    ("box", "why"),
    [((0, 1, 1, 0, 5), "0 by 5"), ((0, 1, 1, 5, -1), "5 by -1"), ((-1, 1, 1, 5, 5), "class -1")],
)
def test_boxes_without_area_or_class_are_refused(box: tuple[float, ...], why: str):
    with pytest.raises(ValueError, match=why):
        box_rows([[box]])
    with pytest.raises(ValueError, match="2 values of complete for 1 picture"):
        box_rows([[]], [True, False])


def test_some_boxes_are_kept_and_the_rest_is_said_to_be_there():
    rows = box_rows([[(0, number, 0, 1, 1) for number in range(9)], [(1, 0, 0, 2, 2)], []])
    few = only_some(rows, 2, seed=3)
    assert few.shape == (3, 3, 5)
    assert are_complete(few).tolist() == [False, True, True]
    lefts = few[0, :2, 1].tolist()
    assert len(set(lefts)) == 2 and set(lefts) <= set(map(float, range(9)))
    assert torch.equal(only_some(rows, 2, seed=3), few)
    drawn = {tuple(only_some(rows, 2, seed)[0, :2, 1].tolist()) for seed in range(20)}
    assert len(drawn) > 5
    assert not are_complete(only_some(few, 2, seed=0))[0], "what was not complete stays so"
    with pytest.raises(ValueError, match="0 boxes a picture"):
        only_some(rows, 0, seed=0)


@pytest.mark.parametrize(
    ("mirror", "places"),
    [(mirrored_boxes, {(2, 1), (5, 1)}), (mirrored_both_ways, {(2, 1), (5, 1), (2, 5), (5, 5)})],
)
def test_mirroring_moves_boxes_with_what_they_show(mirror, places: set[tuple[float, float]]):
    images = torch.zeros(64, 1, 8, 12)
    images[:, :, 1:3, 2:7] = 1
    rows = box_rows([[(0, 2, 1, 5, 2)]] * 64)
    with seeded(0):
        turned, moved = mirror(images, rows)
    seen = set()
    for image, (_, left, top, width, height) in zip(
        turned[:, 0], moved[:, 0].tolist(), strict=True
    ):
        wanted = torch.zeros(8, 12)
        wanted[int(top) : int(top + height), int(left) : int(left + width)] = 1
        assert torch.equal(image, wanted)
        seen.add((left, top))
    assert seen == places
    assert (moved[:, 1:, 0] == NONE).all()
