"""Decisions and picks: at random, changed by one, and refused where they do not fit."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from shoestring.search import Architecture, Decision, Space


@dataclass(frozen=True)
class Line(Architecture):
    """One linear layer."""

    width: int

    def code(self) -> str:
        return (
            "from torch import nn\n\n\nclass Network(nn.Module):\n"
            f"    def __init__(self):\n        super().__init__()\n"
            f"        self.layer = nn.Linear({self.width}, 2)\n\n"
            "    def forward(self, x):\n        return self.layer(x)\n"
        )


@dataclass(frozen=True)
class Lines(Space):
    widths: tuple[int, ...] = (1, 2, 3)

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return Decision("width", self.widths), Decision("nothing", (None,))

    def made(self, picks: Sequence[int]) -> Line:
        return Line(self.widths[self.checked(picks)[0]])


def test_all_options_are_drawn_and_as_often():
    draw, space = random.Random(0), Lines()
    drawn = [space.drawn(draw) for _ in range(3000)]
    assert space.count == 3 and {one[1] for one in drawn} == {0}
    for pick in range(3):
        assert 900 < sum(one[0] == pick for one in drawn) < 1100


def test_a_change_is_one_other_option():
    draw = random.Random(0)
    found = {Lines().changed((1, 0), draw) for _ in range(50)}
    assert found == {(0, 0), (2, 0)}
    assert Lines((7,)).changed((0, 0), draw) == (0, 0)  # nothing else is to be had


def test_the_network_is_what_its_code_says():
    network = Lines().made((2, 0)).network()
    assert network.layer.weight.shape == (2, 3)  # type: ignore[union-attr]


def test_picks_that_do_not_fit():
    with pytest.raises(ValueError, match="1 picks for 2 decisions"):
        Lines().made((0,))
    with pytest.raises(ValueError, match="width has 3 options, and 3 was picked"):
        Lines().made((3, 0))
    with pytest.raises(ValueError, match="no options"):
        Decision("width", ())
