"""Signals of a network, checked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from shoestring.kit.health.first import first_not_finite
from shoestring.kit.health.signals import begin, listening, size_of


class Hand(nn.Module):
    """A linear layer and a ReLU that is a function."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.linear(x))


def test_sizes_gradients_and_dead_units_by_hand():
    model, x = Hand(), torch.tensor([[3.0, 4.0], [3.0, 0.0]])
    with listening(model) as signals:
        model(x).sum().backward()
    linear, relu = signals["linear", "linear", 0], signals["", "relu", 0]
    # 3, 8, -7 and 3, 0, -3
    assert linear.size == pytest.approx(math.sqrt((9 + 64 + 49 + 9 + 0 + 9) / 6))
    assert linear.largest == 8 and linear.entering == pytest.approx(math.sqrt(34 / 4))
    assert linear.weights == ("linear.weight",)
    assert linear.gradient == pytest.approx(math.sqrt(3))  # of 3, 8 and 3; 0 elsewhere
    assert relu.gradient == pytest.approx(math.sqrt(6))
    assert relu.alive is not None and relu.alive.tolist() == [True, True, False]
    assert relu.dead == 1 and linear.alive is None
    assert linear.finite and linear.name == "linear (linear)" and relu.name == "the model (relu)"


def test_a_unit_lives_if_any_batch_wakes_it_and_calls_are_counted_anew():
    model = Hand()
    with listening(model) as signals:
        for x in (torch.tensor([[3.0, 4.0]]), torch.tensor([[-3.0, -4.0]])):
            begin(signals)
            model(x).sum().backward()
    assert list(signals) == [("linear", "linear", 0), ("", "relu", 0)]
    assert signals["", "relu", 0].dead == 0 and len(signals["", "relu", 0].gradients) == 2


def test_channels_are_the_units_of_convolutions():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(1, 5, 3), nn.ReLU())
    with torch.no_grad():
        model[0].bias.copy_(torch.tensor([-100.0, -100, 100, 100, 100]))  # type: ignore[union-attr]
    with listening(model) as signals:
        model(torch.rand(4, 1, 9))
    assert signals["1", "relu", 0].dead == 2


def test_saturation_and_spread():
    model = nn.Tanh()
    with listening(model) as signals:
        model(torch.tensor([[100.0, 0.0], [100.0, 1.0]]))
    signal = signals["", "tanh", 0]
    assert signal.saturated == 0.5
    same = nn.Linear(2, 2)
    with listening(same) as signals:
        same(torch.ones(4, 2))
    assert signals["", "linear", 0].spread == 0


def test_batch_norms_are_compared_with_their_running_statistics():
    norm = nn.BatchNorm1d(2)
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])  # means 2 and 4, variances 2 and 8
    with listening(norm) as signals:
        norm.train()(x)
    assert signals["", "batch_norm", 0].variance_ratio is None  # nothing ran yet
    norm.running_mean = torch.tensor([0.0, 4.0])
    norm.running_var = torch.tensor([4.0, 4.0])
    with listening(norm) as signals:
        norm(x)
    signal = signals["", "batch_norm", 0]
    assert signal.mean_off == pytest.approx((2 / 2 + 0 / 2) / 2, rel=1e-4)
    assert signal.variance_ratio == pytest.approx(math.sqrt((2 / 4) * (8 / 4)), rel=1e-4)
    assert signal.constant == 0


def test_squares_of_large_numbers_do_not_overflow():
    assert size_of(torch.tensor([3e30, 4e30])) == pytest.approx((5e30 / math.sqrt(2), 4e30))
    assert size_of(torch.tensor([])) == (0, 0)
    assert math.isnan(size_of(torch.tensor([1.0, math.nan]))[0])


def test_the_first_that_is_not_finite():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    x = torch.rand(4, 2)

    def said(batch: torch.Tensor = x) -> str:
        return first_not_finite(model, batch, lambda: model(batch).sum().log())

    assert "the loss itself" in said()
    assert "the batch itself" in said(torch.full((4, 2), math.inf))
    with torch.no_grad():
        model[0].weight.fill_(3e38)
    x = torch.full((4, 2), 9.0)
    assert "infinite is that of 0 (linear)" in said(x)
    model[1].running_mean.fill_(math.nan)
    assert "the buffer 1.running_mean" in said()
    with torch.no_grad():
        model[2].bias.fill_(math.nan)
    assert said().startswith("the weights of 2.bias are not finite")
