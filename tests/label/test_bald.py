"""BALD: disagreement by hand, and what is random in training found by trying."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from label_pools import Echo, pool_of, probabilities, random_pool
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import SkippedWarning
from shoestring.label import Bald, PredictiveEntropy, Worthiest
from shoestring.label.bald import information


def test_the_mutual_information_of_dropout():
    class Coin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout, self.scale = nn.Dropout(0.5), nn.Parameter(torch.tensor(1.0))

        def forward(self, inputs: Tensor) -> Tensor:
            kept = self.dropout(torch.ones(len(inputs), 1)) > 0
            return self.scale * torch.where(kept, 20.0, -20.0) * inputs

    # (1, -1): 0 or 1 by the coin, an information of log 2; (0, 0): always one half, and none
    task = pool_of(torch.tensor([[1.0, -1.0], [0.0, 0.0]]), classes=2)
    with seeded(0), warnings.catch_warnings():
        warnings.simplefilter("error")
        found, _ = information(Coin().eval(), task, [0, 1], 400)
    assert found[0].item() == pytest.approx(math.log(2), abs=0.01)
    assert found[1].item() == pytest.approx(0, abs=1e-5)


def test_running_statistics_stay():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    model.eval()
    before = model[1].running_mean.clone(), model[1].num_batches_tracked.clone()
    with seeded(0):
        Bald(samples=3).choose(model, random_pool(30), 5)
    assert torch.equal(model[1].running_mean, before[0])
    assert model[1].num_batches_tracked == before[1]
    assert not any(part.training for part in model.modules())


def test_a_model_that_drops_nothing():
    task = pool_of(probabilities((0.9, 0.05, 0.05), (0.4, 0.3, 0.3), (0.5, 0.4, 0.1)))
    with pytest.warns(SkippedWarning, match="Echo drops nothing in training"):
        chosen = Bald(batch=Worthiest()).choose(Echo(3), task, 3)
    wanted = PredictiveEntropy(batch=Worthiest()).choose(Echo(3), task, 3)
    assert chosen.tolist() == wanted.tolist()


def test_bad_settings():
    with pytest.raises(ValueError, match="samples=1: give an integer, 2 or more"):
        Bald(samples=1)
