"""What "the same" comes to, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from shoestring.core import (
    BinaryLogits,
    BinaryProbabilities,
    Boxes,
    ClassLogits,
    Directions,
    Numbers,
    Probabilities,
)
from shoestring.kit import (
    Cents,
    Exactly,
    Least,
    Mean,
    Overlap,
    RelativeError,
    SameAnswer,
    SameClass,
    SameDirection,
    Within,
)
from shoestring.kit.training.same import same_for


def a(*rows: object) -> np.ndarray:
    return np.array(rows, np.float32)


def test_classes():
    before, after = a([1, 2, 3], [3, 2, 1]), a([0, 0, 9], [0, 5, 1])
    assert SameClass().merits(before, after).tolist() == [1, 0]
    assert SameClass().merits(before, after * np.nan).tolist() == [0, 0]
    pixels = np.zeros((1, 2, 2, 2), np.float32)
    pixels[0, 1] = [[1, 1], [-1, -1]]
    changed = pixels.copy()
    changed[0, 1, 0, 0] = -1
    assert SameClass().merits(pixels, changed).tolist() == [0.75], "the share of the pixels"
    assert SameClass().kind(before) == ClassLogits(1) and SameClass().kind(
        a([0.25, 0.75])
    ) == Probabilities(1)


def test_answers():
    before = a([-1, 1], [2, 3])
    assert SameAnswer().merits(before, a([-9, -1], [1, 1])).tolist() == [0.5, 1]
    assert SameAnswer(0.5).merits(a([0.4], [0.6]), a([0.1], [0.4])).tolist() == [1, 0]
    assert (
        SameAnswer().kind(before) == BinaryLogits()
        and SameAnswer(0.5).kind(a([0.4])) == BinaryProbabilities()
    )
    assert Exactly().merits(np.array([[1, 2]]), np.array([[1, 3]])).tolist() == [0.5]


def test_boxes_overlap():
    before = a([0, 0, 2, 2], [0, 0, 2, 2], [0, 0, 2, 2], [1, 1, 1, 1])
    after = a(
        [0, 0, 2, 1], [1, 1, 3, 3], [5, 5, 4, 4], [1, 1, 1, 1]
    )  # 2/4, 1/7, inside out, an empty one that stayed
    assert Overlap(0.5).merits(before, after).tolist() == [1, 0, 0, 1]
    assert (
        Overlap(0.1).merits(before, after).tolist() == [1, 1, 0, 1]
        and Overlap().kind(before) == Boxes()
    )


def test_numbers():
    before = a([100], [100], [-100])
    assert Within(absolute=1).merits(before, a([101], [102], [-99])).tolist() == [1, 0, 1]
    assert Within(relative=0.1).merits(before, a([109], [111], [-109])).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="lets no number differ"):
        Within()
    semitone = 440 * 2 ** (1 / 12)
    assert Cents(50).merits(a([440], [440]), a([440 * 2 ** (0.4 / 12)], [semitone])).tolist() == [
        1,
        0,
    ]
    assert Cents(101).merits(a([440], [440], [0], [0]), a([semitone], [0], [0], [5])).tolist() == [
        1,
        0,
        1,
        0,
    ]


def test_the_error_is_in_standard_deviations_of_each_column():
    before = np.stack([np.arange(100.0), 1e6 * np.arange(100.0)], 1)
    fitted = RelativeError().fitted(before)
    assert fitted == RelativeError(tuple(before.std(0))) and fitted.fitted(before[:3]) == fitted
    off = before + before.std(0) * [0.5, 0]
    assert fitted.merits(before, off) == pytest.approx(0.75)
    assert (
        fitted.merits(before, before + 9 * before.std(0)).max() == 0
        and fitted.merits(before, before * np.nan).max() == 0
    )
    constant = RelativeError().fitted(a([5.0], [5.0]))
    assert constant.merits(a([5.0]), a([5.0])).tolist() == [1] and constant.merits(
        a([5.0]), a([6.0])
    ).tolist() == [0]


def test_directions():
    before, after = a([1, 0], [1, 0]), a([5, 0.1], [1, 1])
    assert SameDirection().merits(before, after).tolist() == [1, 0] and SameDirection(0.7).merits(
        before, after
    ).tolist() == [
        1,
        1,
    ]
    assert SameDirection().kind(before) == Directions(-1)


def test_a_kind_says_what_is_the_same():
    floats, whole = a([1.0]), np.array([1])
    for kind, same in {
        ClassLogits(2): SameClass(2),
        Probabilities(): SameClass(),
        BinaryLogits(): SameAnswer(0),
        BinaryProbabilities(): SameAnswer(0.5),
        Directions(): SameDirection(),
        Boxes(): Overlap(),
        Numbers(): RelativeError(),
    }.items():
        assert same_for(kind, floats) == same
    assert same_for(None, whole) == Exactly()


def test_several_outputs():
    rows = [np.array([1.0, 0.5]), np.array([0.0, 1.0])]
    assert Mean().of(rows).tolist() == [0.5, 0.75] and Least().of(rows).tolist() == [0, 0.5]


def test_a_hundredth_of_a_constant_is_its_unit_and_columns_lie_where_it_is_said():
    before = np.stack([np.full(100, 50.0), np.arange(100.0)], 1)
    after = before * np.array([1.005, 1.0])  # half a hundredth off, in one column of two
    assert RelativeError().merits(before, after) == pytest.approx(0.75, rel=1e-3)
    channels = np.random.default_rng(0).normal(size=(50, 2, 9)) * np.array([[1.0], [1e3]])  # N×C×T
    known = same_for(Numbers(axis=1), channels.astype(np.float32))
    assert known == RelativeError(axis=1)
    fitted = known.fitted(channels)
    assert isinstance(fitted, RelativeError) and fitted.spread == pytest.approx((1.0, 1e3), rel=0.1)
    assert fitted.merits(channels, channels + np.array([[0.1], [100.0]])).mean() == pytest.approx(
        0.9, abs=0.01
    )
