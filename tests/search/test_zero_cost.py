"""Scores of untrained networks: by hand, against slow ones, and where there is none."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from shoestring.core import Cost, seeded
from shoestring.kit import Supervised
from shoestring.search import (
    GradientNorm,
    LinearRegions,
    ParameterCount,
    UnscoredWarning,
    Weighed,
    ZeroCost,
)

X = torch.rand(12, 5, generator=torch.Generator().manual_seed(0)) - 0.5


def task(x: Tensor = X, batch_size: int = 12) -> Supervised:
    split = x, torch.arange(len(x)) % 3
    return Supervised(train=split, validation=split, batch_size=batch_size)


def network(width: int = 40) -> nn.Sequential:
    with seeded(1):
        return nn.Sequential(
            nn.Linear(5, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 3),
        )


class Twice(nn.Module):
    """ReLU as a function and in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 20), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional.relu_(torch.relu(self.first(x)) - 0.1))


class Length:
    """A meter that says 7, or nothing."""

    measures: ClassVar[str] = "bytes"

    def __init__(self, measured: int | None) -> None:
        self.measured = measured

    def why_not(self) -> str | None:
        return None

    def __call__(self, subject: Any | Path, task: Any) -> Cost:
        return Cost(bytes=self.measured)


def test_a_gradient_by_hand():
    """Logits w·x and -w·x at w = 0: both are wrong by 1/2, so that each gradient is x/2."""
    one = nn.Linear(1, 2)
    nn.init.zeros_(one.weight)
    nn.init.zeros_(one.bias)
    x = torch.tensor([[3.0], [3.0]])
    labels = torch.zeros(2, dtype=torch.long)
    found = GradientNorm()(one, Supervised(train=(x, labels), validation=(x, labels)))
    assert found == pytest.approx(math.hypot(1.5, 1.5) + math.hypot(0.5, 0.5))


def test_a_kernel_by_hand():
    """Two examples, two ReLUs, which agree on one: |2 1; 1 2| = 3."""
    one = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU())
    nn.init.eye_(one[0].weight)  # type: ignore[arg-type]
    found = LinearRegions()(one, task(torch.tensor([[1.0, 1.0], [1.0, -1.0]])))
    assert found == pytest.approx(math.log(3))


@pytest.mark.parametrize("make", [network, Twice])
def test_the_kernel_of_a_batch(make: Any):
    """Against a loop over examples and units, whichever way the ReLU is called."""
    with seeded(3):
        one = make()
    for part in one.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    codes = list[Tensor]()
    if isinstance(one, Twice):
        before = one.first(X)
        codes = [before > 0, before.relu() - 0.1 > 0]
    else:
        hooks = [
            part.register_forward_hook(lambda _, given, __: codes.append(given[0] > 0))
            for part in one
            if isinstance(part, nn.ReLU)
        ]
        copied = copy.deepcopy(one)
        copied(X)
        for hook in hooks:
            hook.remove()
    both = torch.cat(codes, 1).tolist()
    kernel = [[sum(p == q for p, q in zip(a, b, strict=True)) for b in both] for a in both]
    expected = np.linalg.slogdet(np.array(kernel, dtype=float))[1]
    assert LinearRegions()(one, task()) == pytest.approx(expected)


def test_parameters_are_counted():
    one = network()
    assert ParameterCount()(one, task()) == 5 * 40 + 40 + 80 + 40 * 40 + 40 + 120 + 3
    one[0].requires_grad_(False)
    assert ParameterCount()(one, task()) == 80 + 40 * 40 + 40 + 120 + 3


def test_a_meter_weighs():
    assert Weighed(meter=Length(7))(network(), task()) == 7
    assert Weighed(meter=Length(None))(network(), task()) == -math.inf


@pytest.mark.parametrize("score", [GradientNorm(), LinearRegions(), ParameterCount()])
def test_the_network_and_the_callers_numbers_stay(score: ZeroCost):
    one = network().eval()
    one[1].train()
    before = copy.deepcopy(one.state_dict())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = score(one, task(), 0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert score(one, task(), 0) == first and math.isfinite(first)
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())
    assert [part.training for part in one] == [False, True, *[False] * 5]
    assert all(parameter.grad is None for parameter in one.parameters())


@pytest.mark.parametrize("score", [GradientNorm(), LinearRegions()])
def test_the_seed_draws_the_batch(score: ZeroCost):
    one = network()
    assert len({score(one, task(batch_size=4), seed) for seed in range(4)}) > 1


def test_more_units_tell_more_apart():
    """As of a wider network, so that the score is of use at all."""
    found = [LinearRegions()(network(width), task()) for width in (10, 40, 160)]
    assert found == sorted(found)


def test_what_has_no_score():
    linear = nn.Linear(5, 3)
    with pytest.warns(UnscoredWarning, match="no ReLU"):
        assert LinearRegions()(linear, task()) == -math.inf
    assert LinearRegions()(network(), task(X[:1].repeat(4, 1))) == -math.inf  # all alike
    broken = network()
    nn.init.constant_(broken[0].weight, math.nan)  # type: ignore[arg-type]
    assert LinearRegions()(broken, task()) == GradientNorm()(broken, task()) == -math.inf
    assert GradientNorm()(nn.Flatten(), task()) == -math.inf  # nothing to train
    huge = nn.Linear(5, 3)
    huge.weight.data.fill_(1e38)
    assert GradientNorm()(huge, task(X * 1e3)) == -math.inf


def test_a_batch_of_one():
    for score in (GradientNorm(), LinearRegions()):
        with pytest.raises(ValueError, match="batch_size of 2 or more"):
            score(network(), task(batch_size=1))
    plain = nn.Sequential(nn.Linear(5, 3), nn.ReLU())
    assert GradientNorm()(plain, task(batch_size=1)) > 0
    with pytest.raises(ValueError, match="batch_size of 2 or more"):
        LinearRegions()(plain, task(batch_size=1))


def test_relus_that_are_not_of_examples():
    class Across(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.relu(x) + functional.relu(x.T).T

    with pytest.raises(ValueError, match=r"shape \(5, 12\), whose axis 0 is not the example"):
        LinearRegions()(Across(), task())


def test_names():
    assert repr(GradientNorm()) == "GradientNorm()" and repr(LinearRegions()) == "LinearRegions()"
