"""What holds a discriminator back, on linear ones, whose gradient is known."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.generate import (
    AroundReal,
    AtReal,
    BetweenRealAndMade,
    SpectralNorm,
    WeightsClipped,
)

SLOPE = torch.tensor([3.0, 4.0])  # of length 5


def linear(rows: torch.Tensor) -> torch.Tensor:
    return rows @ SLOPE


@pytest.mark.parametrize(
    ("penalty", "wanted"),
    [
        (BetweenRealAndMade(2.0), 2 * 16),
        (AroundReal(10.0), 10 * 16),
        (AtReal(10.0), 5 * 25),
    ],
)
def test_a_linear_one_has_one_slope(penalty: BetweenRealAndMade, wanted: float):
    real, made = torch.rand(6, 2), torch.rand(6, 2)
    assert float(penalty.of(linear, real, made)) == pytest.approx(wanted, rel=1e-5)


def test_where_the_slope_is_taken():
    seen: list[torch.Tensor] = []

    def judge(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows.detach())
        return rows.square().sum(1)

    real, made = torch.zeros(200, 1), torch.ones(200, 1)
    with seeded(0):
        BetweenRealAndMade().of(judge, real, made)
        AtReal().of(judge, made, real)
        AroundReal().of(judge, torch.cat([real, made]), made)
    between, at, around = seen
    assert 0 <= between.min() < 0.1 and 0.9 < between.max() <= 1
    assert torch.equal(at, made)
    shift = around - torch.cat([real, made])
    half = 0.5 * torch.cat([real, made]).std()
    assert shift.min() >= 0 and 0.9 * half < shift.max() <= half


def test_a_penalty_teaches_the_weights():
    judge = nn.Linear(2, 1, bias=False)
    loss = AtReal(1.0).of(lambda rows: judge(rows).squeeze(1), torch.rand(4, 2), torch.rand(4, 2))
    loss.backward()
    assert judge.weight.grad is not None
    assert torch.allclose(judge.weight.grad, judge.weight)  # of |w|²/2


def test_weights_are_clipped():
    network = nn.Linear(4, 4)
    WeightsClipped(0.1).keep(network)
    assert network.weight.abs().max().item() == pytest.approx(0.1)
    assert network.bias.abs().max().item() <= 0.1 + 1e-6


def test_spectral_norm_is_one():
    with seeded(0):
        network = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
        SpectralNorm().begin(network)
        for _ in range(30):
            network(torch.rand(2, 6))
    for part in (network[0], network[2]):
        assert isinstance(part, nn.Linear)
        assert torch.linalg.matrix_norm(part.weight, 2).item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", [AtReal, AroundReal, BetweenRealAndMade, WeightsClipped])
def test_weights_must_be_above_0(kind: type):
    with pytest.raises(ValueError, match="give a number above 0"):
        kind(0.0)
