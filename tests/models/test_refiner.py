"""A network that changes pictures: it begins with those that it is given."""

from __future__ import annotations

import torch

from shoestring.core import seeded
from shoestring.models import Refiner


def test_at_first_nothing_changes():
    pictures = torch.rand(3, 2, 8, 12)
    assert torch.equal(Refiner(channels=2, width=4, blocks=1)(pictures), pictures)


def test_a_pixel_is_changed_by_those_around_it_only():
    with seeded(0):
        refiner = Refiner(width=4, blocks=1)
        torch.nn.init.normal_(refiner.last.weight)
    pictures = torch.rand(1, 1, 15, 15, requires_grad=True)
    refiner(pictures)[0, 0, 7, 7].backward()
    assert pictures.grad is not None
    rows = pictures.grad[0, 0].abs().sum(1).nonzero().flatten().tolist()
    assert rows[0] >= 4 and rows[-1] <= 10 and len(rows) > 1
