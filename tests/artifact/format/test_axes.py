"""Axes with bounds: what they admit, how they are written, and that files hold to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.artifact.format.axes import Axis


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        (Axis("T"), "T"),
        (Axis("T", most=16), "T (up to 16)"),
        (Axis("T", least=2), "T (2 or more)"),
        (Axis("T", least=2, most=16), "T (2 to 16)"),
        (Axis("H", multiple=4), "H (multiple of 4)"),
        (Axis("H", least=32, most=512, multiple=4), "H (32 to 512, multiple of 4)"),
    ],
)
def test_bounds_are_written_in_words_and_read_again(axis: Axis, text: str):
    assert str(axis) == text
    assert Axis.read(text) == axis


def test_what_says_nothing_of_bounds_is_a_name():
    for text in (
        "T",
        "a (b)",
        "T (up to 0)",
        "T ()",
        "T (16 to 2)",
        "T (up to 07)",
        "T (, multiple of 2)",
        "()",
        "T (multiple of 1)",
    ):
        assert Axis.read(text) == Axis(text), text


@given(st.integers(1, 9), st.none() | st.integers(1, 40), st.integers(1, 7), st.integers(1, 60))
def test_the_nearest_length_is_one_that_is_allowed(
    least: int, most: int | None, multiple: int, length: int
):
    try:
        axis = Axis("T", least=least, most=most, multiple=multiple)
    except ValueError:
        return
    allowed = [one for one in range(1, 200) if one in axis]
    shorter = [one for one in allowed if one <= length]
    assert axis.near(length) == (shorter[-1] if shorter else allowed[0])
    assert Axis.read(str(axis)) == axis


@pytest.mark.parametrize(
    "bounds",
    [
        {"least": 0},
        {"most": 0},
        {"multiple": 0},
        {"least": 5, "most": 4},
        {"least": 5, "most": 7, "multiple": 4},
    ],
)
def test_bounds_that_admit_nothing_are_refused(bounds: dict[str, int]):
    with pytest.raises(ValueError, match="bounds of axis 'T'"):
        Axis("T", **bounds)
    with pytest.raises(ValueError, match="empty name"):
        Axis("")
