"""Mean average precision against cases computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from pytest import approx

from shoestring.kit.boxes import (
    Found,
    average_precisions,
    box_rows,
    mean_average_precision,
    overlaps,
)


def found(*boxes: tuple[float, ...]) -> Found:
    """Boxes of a picture, each (class, left, top, width, height, score)."""
    array = np.array(boxes, np.float64).reshape(-1, 6)
    return Found(kinds=array[:, 0].astype(int), boxes=array[:, 1:5], scores=array[:, 5])


def test_overlap_is_intersection_over_union():
    first = np.array([[0.0, 0, 2, 2], [10, 10, 1, 1]])
    second = np.array([[1.0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 0, 0]])
    assert overlaps(first, second) == approx(np.array([[2 / 6, 1, 0], [0, 0, 0]]))
    assert overlaps(first[:0], second).shape == (0, 3)


def test_a_case_by_hand():
    """Five boxes, of which three are found: precisions 1, 1/2, 2/3, 2/4, 3/5 down the list.

    The curve is 1 up to a recall of 1/5, then 2/3 up to 2/5, 3/5 up to 3/5, and 0.
    """
    rows = box_rows([[(0, 10 * place, 0, 8, 8) for place in range(3)], [(0, 0, 0, 8, 8)] * 1
                     + [(0, 40, 40, 8, 8)]]).numpy()  # fmt: skip
    answers = [
        found((0, 0, 0, 8, 8, 0.9), (0, 0, 1, 8, 8, 0.8), (0, 10, 0, 8, 8, 0.7)),
        found((0, 80, 80, 8, 8, 0.6), (0, 0, 0, 8, 8, 0.5)),
    ]
    wanted = (1 + 2 / 3 + 3 / 5) / 5
    assert average_precisions(answers, rows) == {0: approx(wanted)}
    assert mean_average_precision(answers, rows) == approx(wanted)


def test_the_mean_is_over_the_classes_that_are_there():
    rows = box_rows([[(0, 0, 0, 8, 8), (2, 20, 20, 4, 4)]]).numpy()
    answers = [found((0, 0, 0, 8, 8, 0.5), (1, 0, 0, 8, 8, 0.9))]
    assert average_precisions(answers, rows) == {0: 1.0, 2: 0.0}
    assert mean_average_precision(answers, rows) == 0.5


def test_a_box_that_is_taken_is_found_once():
    rows = box_rows([[(0, 0, 0, 10, 10)]]).numpy()
    twice = [found((0, 0, 0, 10, 10, 0.9), (0, 0, 0, 10, 10, 0.8))]
    assert average_precisions(twice, rows) == {0: 1.0}
    worse_first = [found((0, 0, 6, 10, 10, 0.9), (0, 0, 0, 10, 10, 0.8))]
    assert average_precisions(worse_first, rows) == {0: 0.5}


@pytest.mark.parametrize(("moved", "hit"), [(3, 1.0), (4, 0.0)])
def test_the_overlap_that_counts_is_a_half(moved: float, hit: float):
    rows = box_rows([[(0, 0, 0, 10, 10)]]).numpy()  # 7/13 and 6/14
    assert mean_average_precision([found((0, moved, 0, 10, 10, 0.9))], rows) == hit


def test_pictures_without_boxes():
    rows = box_rows([[], []]).numpy()
    assert mean_average_precision([found(), found((0, 0, 0, 5, 5, 0.5))], rows) == 0
    rows = box_rows([[(0, 0, 0, 10, 10)], []]).numpy()
    false = [found((0, 0, 0, 10, 10, 0.5)), found((0, 0, 0, 5, 5, 0.9))]
    assert mean_average_precision(false, rows) == 0.5
