"""BADGE: gradients against those of autograd, and the seeding of k-means++ by hand."""

from __future__ import annotations

import numpy as np
import torch
from label_pools import pool_of
from torch import nn
from torch.nn import functional

from shoestring.core import seeded
from shoestring.label import Badge
from shoestring.label.badge import ProductsSquaredTo, _summed, error
from shoestring.label.choosing.answers import Places
from shoestring.label.choosing.spread import SquaredTo, seeded_far_apart


def _gradients(model: nn.Sequential, inputs: torch.Tensor) -> torch.Tensor:
    """The slow way: the gradient of the loss of each example, by autograd."""
    rows = []
    for one in inputs:
        model.zero_grad()
        logits = model(one[None])
        functional.cross_entropy(logits, logits.argmax(1)).backward()
        rows.append(model[-1].weight.grad.flatten().clone())
    return torch.stack(rows)


def test_distances_are_those_of_the_gradients():
    with seeded(0):
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        inputs = 3 * torch.randn(20, 4)
    rows = _gradients(model, inputs)
    with torch.no_grad():
        hidden = model[:2](inputs)
        to = ProductsSquaredTo(error(model(inputs).softmax(1)), hidden)
    for number in range(20):
        expected = (rows - rows[number]).square().sum(1)
        assert torch.allclose(to(number), expected, atol=1e-4)
    assert torch.allclose(to.square_N, rows.square().sum(1), atol=1e-4)


def test_the_longest_gradient_is_chosen_first():
    with seeded(0):
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        inputs = 3 * torch.randn(40, 4)
        chosen = Badge().choose(model, pool_of(inputs), 5)
    longest = int(_gradients(model, inputs).square().sum(1).argmax())
    assert chosen[0] == longest and len(set(chosen.tolist())) == 5


def test_gradients_of_sequences_are_sums_over_places():
    with seeded(0):
        answers, states = torch.rand(7, 3).softmax(1), torch.randn(7, 4)
    owners = torch.tensor([0, 0, 1, 1, 1, 2, 2])
    places = Places(probabilities_PC=answers, owner_P=owners, examples=3)
    wanted = torch.zeros(3, 3, 4)
    for place, owner in enumerate(owners.tolist()):
        wanted[owner] += torch.outer(error(answers)[place], states[place])
    assert torch.allclose(_summed(places, states), wanted.flatten(1), atol=1e-6)


def test_seeding_draws_by_squared_distance():
    points = torch.tensor([[0.0], [1.0], [3.0]])  # squared distances from the first: 1 and 9
    with seeded(0):
        drawn = [int(seeded_far_apart(SquaredTo(points), 2, 0)[1]) for _ in range(1000)]
    assert 0.86 < np.mean(np.array(drawn) == 2) < 0.94
    with seeded(0):
        heavy = torch.tensor([1.0, 9.0, 1.0])
        drawn = [int(seeded_far_apart(SquaredTo(points), 2, 0, heavy)[1]) for _ in range(1000)]
    assert 0.44 < np.mean(np.array(drawn) == 2) < 0.56


def test_copies_are_not_chosen_while_others_are_left():
    with seeded(0):
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        one, others = torch.randn(1, 4), torch.randn(9, 4)
        chosen = Badge().choose(model, pool_of(torch.cat([one.repeat(40, 1), others])), 10)
    assert sum(chosen < 40) == 1
    with seeded(0):
        chosen = Badge().choose(model, pool_of(one.repeat(12, 1)), 12)
    assert sorted(chosen.tolist()) == list(range(12))
