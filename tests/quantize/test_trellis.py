"""Weights move to cheaper levels.

Ladders by hand, fewer bytes at hardly a score, and never a worse objective.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.core import chain, score, seeded
from shoestring.kit import AdamW, Ramp, Training, export, pack, parameters_of, train
from shoestring.models import DigitsLeNet
from shoestring.prune import Magnitude
from shoestring.quantize import Trellis, WeightSharing
from shoestring.quantize.trellis import Ladder
from shoestring.tasks import digits


@pytest.fixture(scope="module")
def trained():
    task = digits()
    with seeded(0):
        return train(DigitsLeNet(), task, Training(300, AdamW(2e-3))), task


def ladder_of(values: list[float]) -> Ladder:
    model = nn.Linear(len(values), 1, bias=False)
    (weight,) = parameters_of(model)
    weight.raw.data = torch.tensor([values])
    return Ladder(weight) if weight.state is not None else _shared(weight)


def _shared(weight) -> Ladder:
    levels, indices = torch.unique(weight.raw.data, return_inverse=True)
    weight.share(levels, indices)
    return Ladder(weight)


def test_the_levels_of_a_codebook_by_hand():
    ladder = ladder_of([0.5, -0.25, 0.0, -1.0, 2.0])
    assert ladder.levels.tolist() == [[1, -1, 0, -2, 2]]
    assert ladder.lower(ladder.levels).tolist() == [[-0.5, 0.25, 0.0, 0.75, -1.5]]
    ladder.move(ladder.levels - ladder.levels.sign())
    assert ladder.weight.value().tolist() == [[0, 0, 0, -0.25, 0.5]]
    assert ladder.weight.mask is None  # 0 is a level


def test_without_a_level_of_zero_a_weight_is_pruned():
    ladder = ladder_of([0.5, -0.25, 2.0])
    assert ladder.levels.tolist() == [[1, -1, 2]]
    ladder.move(torch.tensor([[0.0, -1.0, 1.0]]))
    assert ladder.weight.value().tolist() == [[0, -0.25, 0.5]]
    assert ladder.weight.mask is not None and ladder.weight.mask.tolist() == [[False, True, True]]
    ladder.move(torch.tensor([[1.0, -1.0, 2.0]]))  # and back
    assert ladder.weight.value().tolist() == [[0.5, -0.25, 2.0]]


def test_a_grid_and_what_is_pruned():
    model = nn.Linear(4, 1, bias=False)
    (weight,) = parameters_of(model)
    weight.raw.data = torch.tensor([[0.9, -0.3, 0.7, 0.0]])
    weight.round(torch.tensor(0.25))
    weight.prune(torch.tensor([[True, True, False, True]]))
    ladder = Ladder(weight)
    assert ladder.levels.tolist() == [[4, -1, 0, 0]]
    ladder.move(torch.tensor([[3.0, 0.0, 0.0, 0.0]]))
    assert weight.value().tolist() == [[0.75, 0, 0, 0]]


@pytest.mark.slow
def test_models_of_other_techniques_gain(trained):
    model, task = trained
    with seeded(0):
        before = chain(
            Magnitude(density=0.2, training=Training(100), ramp=Ramp(0.5, rounds=4)),
            WeightSharing(levels=16, training=Training(50, AdamW(1e-4))),
        )(model, task.sealed())
        after = Trellis(price=3e-5)(before, task.sealed())
    exported = export(before, task)
    assert len(pack(after, exported)) < 0.96 * len(pack(before, exported))
    assert score(task, after) > score(task, before) - 0.04


@pytest.mark.slow
def test_a_dearer_bit_moves_more(trained):
    model, task = trained
    sizes = []
    for price in (1e-7, 1e-5, 1e-3):
        with seeded(0):
            moved = Trellis(price=price, rounds=4)(model, task.sealed())
        sizes.append(len(pack(moved, export(moved, task))))
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_plain_model_is_put_on_grids(trained):
    model, task = trained
    with seeded(0):
        moved = Trellis(price=1e-9, rounds=1, batches=2)(model, task.sealed())
    for weight in parameters_of(moved):
        assert (weight.state is not None) == (weight.raw.ndim >= 2)
    assert score(task, moved) > score(task, model) - 0.02


@pytest.mark.parametrize("wrong", [{"price": 0}, {"batches": 0}, {"rounds": 0}, {"coarseness": 0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match="must be"):
        Trellis(**wrong)
