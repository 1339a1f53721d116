"""Searches of a space whose best networks are known: who learns is ahead of chance."""

from __future__ import annotations

import random

import pytest
import torch

from shoestring.search import AtRandom, Cells, Controller, Evolution, Searcher

SPACE = Cells()
GOAL = SPACE.drawn(random.Random(99))


def reward(picks: tuple[int, ...]) -> float:
    """The share of decisions that are those of the goal."""
    return sum(mine == its for mine, its in zip(picks, GOAL, strict=True)) / len(GOAL)


def best(searcher: Searcher, seed: int, tries: int) -> float:
    course, found = searcher.begun(SPACE, seed), 0.0
    for _ in range(tries):
        picks = course.ask()
        assert SPACE.checked(picks) == picks
        course.tell(picks, reward(picks))
        found = max(found, reward(picks))
    return found


@pytest.mark.parametrize("searcher", [Evolution(), Controller(rate=2e-2)])
def test_who_learns_is_ahead_of_chance(searcher: Searcher):
    for seed in range(2):
        assert best(searcher, seed, 150) > best(AtRandom(), seed, 150)


@pytest.mark.parametrize("searcher", [AtRandom(), Evolution(population=4), Controller(width=4)])
def test_a_seed_gives_the_same_search_whatever_torch_draws(searcher: Searcher):
    found = list[list[tuple[int, ...]]]()
    for noise in (0, 1):
        torch.manual_seed(noise)
        course = searcher.begun(SPACE, 3)
        asked = list[tuple[int, ...]]()
        for _ in range(8):
            asked.append(course.ask())
            course.tell(asked[-1], reward(asked[-1]))
        found.append(asked)
    assert found[0] == found[1] and len(set(found[0])) > 4


def test_of_equal_networks_each_becomes_a_parent():
    """A score of few validation examples is often that of several networks."""
    course = Evolution(population=4, drawn=4).begun(SPACE, 0)
    lowest, highest = (0,) * len(GOAL), tuple(len(one.options) - 1 for one in SPACE.decisions)
    for picks in (lowest, highest, lowest, highest):
        course.tell(picks, 0.5)
    children = [course.ask() for _ in range(40)]
    of_lowest = sum(sum(child) < sum(highest) / 2 for child in children)
    assert 8 <= of_lowest <= 32  # 20 are likely


def test_the_oldest_dies_and_not_the_worst():
    """Real et al. 2019: a network that was lucky once is forgotten."""
    course = Evolution(population=2, drawn=2).begun(SPACE, 0)
    first = [course.ask() for _ in range(2)]
    lucky = first[0]
    course.tell(lucky, 9.0)
    course.tell(first[1], 0.1)
    child = course.ask()
    assert sum(a != b for a, b in zip(child, lucky, strict=True)) == 1
    course.tell(child, 0.5)  # now the lucky one is gone
    next_child = course.ask()
    assert sum(a != b for a, b in zip(next_child, child, strict=True)) == 1


def test_what_is_refused_has_no_more_children():
    course = Evolution(population=2, drawn=2).begun(SPACE, 0)
    good, other = course.ask(), course.ask()
    course.tell(good, 9.0)
    course.tell(other, 0.1)
    course.refused(good)
    course.tell(tuple(other), 0.2)  # the population is as large as before
    children = [course.ask() for _ in range(10)]
    assert all(sum(a != b for a, b in zip(one, other, strict=True)) == 1 for one in children)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Evolution(population=1),
        lambda: Evolution(drawn=13),
        lambda: Controller(rate=0),
        lambda: Controller(uncertainty=-1),
    ],
)
def test_settings_out_of_range(make: object):
    with pytest.raises(ValueError, match="give"):
        make()  # type: ignore[operator]
