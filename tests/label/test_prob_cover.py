"""ProbCover against a slow reference."""

from __future__ import annotations

import pytest
import torch
from label_pools import Echo, pool_of, random_pool
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.label import ProbCover, prob_cover
from shoestring.label.choosing.spread import clusters
from shoestring.label.prob_cover import _radius, covering


@pytest.mark.parametrize("labelled", [0, 5])
def test_covering_against_a_slow_reference(labelled: int):
    with seeded(0):
        points = torch.randn(80 + labelled, 2)
    radius, pool = 0.6, 80
    near = [
        [bool((points[a] - points[b]).norm() <= radius) for b in range(pool)]
        for a in range(pool + labelled)
    ]
    covered = {b for a in range(pool, pool + labelled) for b in range(pool) if near[a][b]}
    wanted: list[int] = []
    for _ in range(12):
        gains = [
            -1 if a in wanted else len({b for b in range(pool) if near[a][b]} - covered)
            for a in range(pool)
        ]
        wanted.append(max(range(pool), key=lambda a: gains[a]))
        covered |= {b for b in range(pool) if near[wanted[-1]][b]}
    assert covering(points, pool, 12, radius).tolist() == wanted


def test_when_all_is_covered_the_radius_shrinks():
    points = torch.tensor([[0.0, 0], [0.1, 0], [0.2, 0], [0.3, 0]])
    chosen = covering(points, 4, 4, 10.0).tolist()
    assert sorted(chosen) == [0, 1, 2, 3]
    assert sorted(covering(torch.zeros(5, 2), 5, 5, 1.0).tolist()) == [0, 1, 2, 3, 4]


def test_the_radius_keeps_balls_pure():
    points = torch.tensor([[0.0], [0.1], [0.2], [1.0], [1.1], [1.2]])
    found = _radius(points, torch.tensor([0, 0, 0, 1, 1, 1]), 0.95)
    assert 0.1 < found <= 0.85  # from 0.2 to the other cluster: 0.8


def test_of_a_large_pool_a_part_is_drawn():
    task = random_pool(60)
    with seeded(0):
        chosen = ProbCover(candidates=20).choose(Echo(3), task, 10)
    assert len(set(chosen.tolist())) == 10
    with seeded(0):
        assert len(ProbCover(candidates=20).choose(Echo(3), task, 30)) == 30


def test_clusters_are_covered():
    with seeded(0):
        # Directions count.
        points = torch.cat(
            [
                torch.tensor([[9.0, 0]]) + torch.randn(30, 2) * 0.2,
                torch.tensor([[0, 9.0]]) + torch.randn(10, 2) * 0.2,
            ]
        )
        chosen = ProbCover().choose(Echo(2), pool_of(points, classes=2), 2)
    assert [one >= 30 for one in chosen] == [False, True]


@pytest.mark.parametrize(
    ("model", "inputs", "classes"),
    [
        (nn.Linear(4, 3), torch.rand(6, 9, 4), 3),  # nine places, not nine classes
        (nn.Conv2d(4, 3, 1), torch.rand(6, 4, 5, 5), 3),
        (nn.Linear(4, 7), torch.rand(6, 4), 7),
    ],
)
def test_there_are_as_many_clusters_as_classes(
    monkeypatch: pytest.MonkeyPatch, model: nn.Module, inputs: Tensor, classes: int
):
    asked: list[int] = []

    def spied(points: Tensor, count: int) -> Tensor:
        asked.append(count)
        return clusters(points, count)

    monkeypatch.setattr(prob_cover, "clusters", spied)
    ProbCover().choose(model, pool_of(inputs), 2)
    assert asked == [classes]


def test_bad_settings():
    for settings, said in (({"purity": 0.0}, r"purity=0\.0"), ({"candidates": 1}, "candidates=1")):
        with pytest.raises(ValueError, match=said):
            ProbCover(**settings)
