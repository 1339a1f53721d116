"""FixMatch: what is not sure has no part in the loss."""

from __future__ import annotations

import pytest
import torch
from label_pools import Echo
from torch.nn import functional

from shoestring.unlabelled import FixMatch
from shoestring.unlabelled.augmentations import Augmentations
from shoestring.unlabelled.consistency import Pair
from shoestring.unlabelled.fix_match import _Sure


def test_the_loss_by_hand():
    """The strong change turns the classes round, so that the label is its last."""
    changes = Augmentations(torch.clone, lambda rows: rows.flip(1), "")
    rows = torch.tensor([[4.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 5.0]])
    pair = Pair(Echo(3), 0.9)
    sure = functional.cross_entropy(rows[[0, 2]].flip(1), torch.tensor([0, 2]), reduction="sum")
    assert torch.allclose(_Sure(changes, 0.9)(pair, (rows,), 0.5), sure / 3)
    assert float(_Sure(changes, 0.999)(pair, (rows,), 0.5).detach()) == 0


def test_no_gradient_goes_through_the_label():
    pair, rows = Pair(Echo(2), 0.9), torch.tensor([[3.0, 0.0]])
    seen: list[bool] = []
    changes = Augmentations(
        lambda one: (seen.append(torch.is_grad_enabled()), one)[1],
        lambda one: (seen.append(torch.is_grad_enabled()), one)[1],
        "",
    )
    _Sure(changes, 0.5)(pair, (rows,), 0.0)
    assert seen == [False, True]


def test_settings_out_of_range():
    with pytest.raises(ValueError, match=r"the confidence is 1\.5"):
        FixMatch(confidence=1.5)
