"""Examples that are far from all others.

Found by hand-made numbers, left out by name, and nothing else is.
"""

from __future__ import annotations

import pytest
import torch

from shoestring.core import seeded
from shoestring.kit import SkippedWarning
from shoestring.kit.quantised.outliers import (
    far_off,
    first_rows,
    not_finite,
    say_far_off,
    without_outliers,
)


def batches(count: int = 4, rows: int = 32):
    with seeded(0):
        return [((torch.randn(rows, 5).clamp(-3, 3),), torch.arange(rows)) for _ in range(count)]


def test_nothing_is_left_out_of_ordinary_examples():
    found = batches()
    same = without_outliers(found, "test")
    assert all(one is other for one, other in zip(found, same, strict=True))
    found[1][0][0][7, 2] = 31 * 3.0  # far, and yet not 32 times as far as another
    assert without_outliers(found, "test")[1] is found[1]


def test_one_example_of_128_is_garbage():
    found = batches()
    found[1][0][0][7, 2] = -500.0
    with pytest.warns(
        SkippedWarning,
        match=r"test left out .*: number 7 of batch 1 reaches 500 where no other reaches 3\.",
    ):
        kept = without_outliers(found, "test")
    (x,), y = kept[1]
    assert x.shape == (31, 5) and y.tolist() == [*range(7), *range(8, 32)]
    assert torch.equal(x, torch.cat([found[1][0][0][:7], found[1][0][0][8:]]))
    assert all(kept[index] is found[index] for index in (0, 2, 3))


@pytest.mark.parametrize(
    ("many", "total", "said"),
    [(2, 128, True), (12, 128, True), (13, 128, False), (3, 32, True), (5, 512, False)],
)
def test_up_to_a_tenth_that_are_far_off_are_named_and_left_to_whoever_asks(many, total, said):
    found = batches(total // 32)
    for index in range(many):
        found[index % len(found)][0][0][index, 2] = 120 * (1 + index)
    far = far_off(found)
    if not said:  # a thirteenth of 128 is no tenth; five of 512 are garbage
        assert far is None
        return
    assert far is not None and (far.told.startswith(f"{many} of {total} examples that reach 4")), (
        far
    )
    assert "times as far from zero as all others (number 0 of batch 0, " in far.told
    if total < 64:
        assert far.others is None
    else:
        assert far.others is not None and sum(len(y) for _, y in far.others) == total - many
        assert max(float(x.abs().max()) for (x,), _ in far.others) <= 3
    with pytest.warns(
        SkippedWarning,
        match=f"LowRank met {many} of {total} examples .* take them out of the training data",
    ):
        assert say_far_off(found, "LowRank") is found


def test_two_of_128_are_no_garbage_and_two_of_256_are():
    found = batches()
    found[0][0][0][0, 0] = found[3][0][0][1, 1] = 1e6
    assert without_outliers(found, "test")[0] is found[0]
    with pytest.warns(SkippedWarning, match="number 0 of batch 0 .*; number 1 of batch 3"):
        kept = without_outliers([*found, *batches()], "test")
    assert [len(y) for _, y in kept] == [31, 32, 32, 31, 32, 32, 32, 32]


def test_of_few_examples_none_is_left_out_and_it_is_said():
    found = batches(1)
    found[0][0][0][3, 3] = 1e6
    with pytest.warns(SkippedWarning, match="test met examples .* Of so few it leaves out none"):
        assert without_outliers(found, "test")[0] is found[0]


def test_what_is_zero_in_all_others_is_no_garbage():
    rare = [((torch.zeros(64, 5),), torch.zeros(64)) for _ in range(2)]
    rare[0][0][0][3, 3] = 1.0
    assert without_outliers(rare, "test")[0] is rare[0]


def test_a_batch_whose_parts_are_not_as_long_goes_as_a_whole():
    found = [{"x": x, "offsets": torch.zeros(9), "ids": torch.arange(32)} for (x,), _ in batches()]
    found[2]["x"][4, 4] = 1e6
    with pytest.warns(SkippedWarning, match="number 4 of batch 2"):
        kept = without_outliers(found, "test")
    assert [id(one) for one in kept] == [id(found[index]) for index in (0, 1, 3)]


def test_rows_and_what_is_no_number():
    ((x,), y), *_ = batches(1)
    (fewer,), labels = first_rows(((x,), y), 3)
    assert torch.equal(fewer, x[:3]) and labels.tolist() == [0, 1, 2]
    words = [x, ["a"] * 32]
    assert first_rows(words, 3) is words
    x[4, 1], x[9, 0] = float("nan"), float("inf")
    assert not_finite(((x,), y)) == [4, 9]
