"""LARS and LAMB: by hand, beside loops over numbers, and what has no size of its own."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from shoestring.core import Task, score, seeded
from shoestring.kit import (
    LAMB,
    LARS,
    AdamW,
    Averaged,
    Constant,
    Supervised,
    Training,
    clone,
    resuming,
    train,
)
from shoestring.kit.training import resume
from shoestring.kit.training.steps import Steps
from shoestring.plan import diagnose
from shoestring.quantize import QuantizationAware


class Given(Task):
    """Whatever the weights are, their gradients are those of a list."""

    def __init__(self, *gradients: dict[str, Any]) -> None:
        self.gradients = [
            {name: torch.as_tensor(one, dtype=torch.float32) for name, one in each.items()}
            for each in gradients
        ]

    def batches(self, split: str) -> list[dict[str, torch.Tensor]]:
        return self.gradients

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        terms = [(p * batch[name].to(p.dtype)).sum() for name, p in model.named_parameters()]
        return torch.stack(terms).sum()


def layer(weight: list[float], bias: float) -> nn.Linear:
    made = nn.Linear(len(weight), 1)
    with torch.no_grad():
        made.weight.copy_(torch.tensor([weight]))
        made.bias.fill_(bias)
    return made


def after(model: nn.Module, optimizer: LARS | LAMB, *gradients: dict[str, Any]) -> list[float]:
    """The numbers of a layer after a step for each gradient."""
    task = Given(*gradients)  # type: ignore[abstract]
    trained = train(clone(model), task, Training(len(gradients), optimizer, Constant(0.0)))
    return [float(one) for p in trained.parameters() for one in p.detach().flatten()]


def test_lars_by_hand():
    """A weight of length 5 and a gradient of length 2: a rate of 0.1 · 0.5 · 5/2, so 0.125 · 2."""
    gradient = {"weight": [[0.0, 2.0]], "bias": [3.0]}
    chosen = LARS(0.1, momentum=0.5, trust=0.5)
    assert after(layer([3.0, 4.0], 1.0), chosen, gradient) == pytest.approx([3.0, 3.75, 0.7])
    # Then half of both steps, as the gradients are 0.
    none = {"weight": [[0.0, 0.0]], "bias": [0.0]}
    found = after(layer([3.0, 4.0], 1.0), chosen, gradient, none)
    assert found == pytest.approx([3.0, 3.625, 0.55])


def test_lars_with_decay_by_hand():
    """λ = 0.5 · 5 / (2 + 0.2 · 5) = 5/6, of (0, 2) + 0.2 · (3, 4); the bias does not decay."""
    chosen = LARS(0.1, momentum=0.0, trust=0.5, weight_decay=0.2)
    found = after(layer([3.0, 4.0], 1.0), chosen, {"weight": [[0.0, 2.0]], "bias": [3.0]})
    assert found == pytest.approx([3 - 0.1 * 5 / 6 * 0.6, 4 - 0.1 * 5 / 6 * 2.8, 0.7])


def test_lamb_by_hand():
    """In the first step each number of Adam's step is 1, so (1, -1) gets the length 5 · 0.1."""
    gradient = {"weight": [[7.0, -2.0]], "bias": [-3.0]}
    part = 0.5 / math.sqrt(2)
    found = after(layer([3.0, 4.0], 1.0), LAMB(0.1), gradient)
    assert found == pytest.approx([3 - part, 4 + part, 1.1], abs=1e-5)


def test_lamb_with_decay_by_hand():
    """The step is (1, -1) + 0.5 · (3, 4) = (2.5, 1), which gets the length 0.5; not so the bias."""
    gradient = {"weight": [[7.0, -2.0]], "bias": [-3.0]}
    length = math.hypot(2.5, 1.0)
    found = after(layer([3.0, 4.0], 1.0), LAMB(0.1, weight_decay=0.5), gradient)
    assert found == pytest.approx([3 - 1.25 / length, 4 - 0.5 / length, 1.1], abs=1e-5)


@pytest.mark.parametrize("optimizer", [LARS(0.1, trust=0.5, momentum=0.0), LAMB(0.1)], ids=repr)
def test_a_layer_of_zeros_leaves_zero_at_the_plain_rate(optimizer: LARS | LAMB):
    found = after(layer([0.0, 0.0], 0.0), optimizer, {"weight": [[1.0, 0.0]], "bias": [0.0]})
    assert found == pytest.approx([-0.1, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("optimizer", [LARS(0.1), LAMB(0.1)], ids=repr)
def test_gradients_of_zero_change_nothing(optimizer: LARS | LAMB):
    none = {"weight": [[0.0, 0.0]], "bias": [0.0]}
    assert after(layer([3.0, 4.0], 1.0), optimizer, none, none) == [3.0, 4.0, 1.0]


def slow_lars(w: list[float], chosen: LARS, rates: list[float], given: list[list[float]]) -> Any:
    moved = [0.0] * len(w)
    for rate, g in zip(rates, given, strict=True):
        size, length = math.hypot(*w), math.hypot(*g)
        local = chosen.trust * size / (length + chosen.weight_decay * size)
        for i in range(len(w)):
            step = rate * local * (g[i] + chosen.weight_decay * w[i])
            moved[i] = chosen.momentum * moved[i] + step
        w = [a - b for a, b in zip(w, moved, strict=True)]
    return w


def slow_lamb(w: list[float], chosen: LAMB, rates: list[float], given: list[list[float]]) -> Any:
    mean, square, first = [0.0] * len(w), [0.0] * len(w), chosen.momentum
    for t, (rate, g) in enumerate(zip(rates, given, strict=True), 1):
        step = []
        for i in range(len(w)):
            mean[i] = first * mean[i] + (1 - first) * g[i]
            square[i] = 0.999 * square[i] + 0.001 * g[i] ** 2
            root = math.sqrt(square[i] / (1 - 0.999**t)) + 1e-6
            step.append(mean[i] / (1 - first**t) / root + chosen.weight_decay * w[i])
        ratio = math.hypot(*w) / math.hypot(*step)
        w = [a - rate * ratio * b for a, b in zip(w, step, strict=True)]
    return w


@pytest.mark.parametrize(
    ("optimizer", "slow"),
    [
        (LARS(0.5, momentum=0.8, weight_decay=0.1, trust=0.2), slow_lars),
        (LARS(1.0, momentum=0.0), slow_lars),
        (LAMB(0.05, weight_decay=0.1, momentum=0.8), slow_lamb),
        (LAMB(0.05), slow_lamb),
    ],
    ids=["LARS", "LARS alone", "LAMB", "LAMB alone"],
)
def test_it_is_what_loops_over_numbers_make(optimizer: Any, slow: Any):
    """With a rate that rises: LARS keeps the rate of each step in its momentum."""
    with seeded(0):
        given = torch.randn(30, 6).tolist()
        model = nn.Linear(3, 2, bias=False)
    schedule = Constant(0.5)
    rates = [optimizer.learning_rate * schedule.height(step, 30) for step in range(30)]
    wanted = slow(model.weight.detach().flatten().tolist(), optimizer, rates, given)
    task = Given(*({"weight": [one[:3], one[3:]]} for one in given))  # type: ignore[abstract]
    for memory in (torch.float32, torch.float64):
        trained = train(clone(model).to(memory), task, Training(30, optimizer, schedule))
        found = trained.weight.detach().flatten().tolist()
        assert found == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_a_layer_changes_by_as_much_whatever_the_size_of_its_gradients():
    """So a loss that is a thousand times larger is trained by the same numbers, but for biases."""
    given = {"weight": [[0.3, -0.2]], "bias": [0.0]}
    larger = {"weight": [[300.0, -200.0]], "bias": [0.0]}
    for optimizer in (LARS(0.1), LAMB(0.1)):
        few, many = ([one] * 5 for one in (given, larger))
        found = after(layer([3.0, 4.0], 1.0), optimizer, *few)
        assert found == pytest.approx(after(layer([3.0, 4.0], 1.0), optimizer, *many), rel=1e-4)


def pictures() -> Supervised:
    with seeded(3):
        inputs = torch.randn(128, 1, 8, 8)
        inputs[:, 0, :, :4] += torch.randn(128)[:, None, None]
    split = inputs, (inputs[:, 0, :, :4].mean((1, 2)) > 0).long()
    return Supervised(train=split, validation=split, batch_size=32)


def net() -> nn.Module:
    with seeded(0):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(144, 2),
        )


# A layer's share of a step is learning_rate · trust with LARS, and learning_rate with LAMB.
CHOSEN = [LARS(0.1, trust=0.2), LAMB(0.02, weight_decay=0.01)]


@pytest.mark.parametrize("optimizer", CHOSEN, ids=repr)
def test_they_learn_with_norms_channels_last_and_half_precision(optimizer: Any):
    """Biases and what norms have are left out; each kind of parameter is in a group of its own."""
    task, training = pictures(), Training(60, optimizer, statistics=Averaged(4))
    groups = Steps(net(), task, training).optimizer.param_groups
    assert [(one["adapted"], len(one["params"])) for one in groups] == [(True, 2), (False, 3)]
    assert groups[1]["weight_decay"] == 0.0
    with seeded(0):
        plain = train(net(), task, training)
    assert score(task, plain.eval()) > 0.9
    with seeded(0):
        last = train(net().to(memory_format=torch.channels_last), task, training)  # type: ignore[call-overload]
    for one, other in zip(plain.parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
    half = Supervised(
        train=(task.train[0].bfloat16(), task.train[1]),  # type: ignore[union-attr]
        validation=(task.validation[0].bfloat16(), task.validation[1]),  # type: ignore[union-attr]
        batch_size=32,
    )
    with seeded(0):
        assert score(half, train(net().bfloat16(), half, training).eval()) > 0.9


@pytest.mark.parametrize("optimizer", CHOSEN, ids=repr)
def test_scales_of_quantisers_are_left_out(optimizer: Any):
    """Those of the weights have as many axes as the weights, and are no layers."""
    task = pictures()
    with seeded(0):
        start = train(net(), task, Training(60, AdamW(1e-2)))
        quantised = QuantizationAware(bits=4, training=Training(60, optimizer))(start, task)
    assert score(task, quantised) > 0.9
    groups = Steps(quantised, task, Training(1, optimizer)).optimizer.param_groups
    scales = [one for one in groups if "least" in one]
    assert any(one["params"][0].ndim > 1 for one in scales)
    assert not any(one["adapted"] for one in scales)


@pytest.mark.parametrize("optimizer", CHOSEN, ids=repr)
def test_a_training_goes_on_where_it_was_killed(optimizer: Any, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(resume, "EVERY", 1)
    monkeypatch.setattr(resume, "_SECONDS", 0.0)
    training = Training(12, optimizer)

    def weights(before_step: Any = None) -> torch.Tensor:
        with seeded(0):
            model = train(net(), pictures(), training, before_step=before_step)
        return torch.cat([one.detach().flatten() for one in model.parameters()])

    expected = weights()

    def killed(step: int) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with resuming(tmp_path):
        with pytest.raises(KeyboardInterrupt):
            weights(killed)
        assert torch.equal(weights(), expected)


def test_complex_numbers_are_pairs():
    class Turned(nn.Module):
        def __init__(self, made: torch.Tensor) -> None:
            super().__init__()
            self.weight = nn.Parameter(made)

    class Along(Task):
        def batches(self, split: str) -> list[torch.Tensor]:
            return [torch.tensor([[1.0, -2.0], [0.5, 3.0]])] * 3

        def loss(self, model: Any, batch: torch.Tensor) -> torch.Tensor:
            weight = model.weight
            return ((torch.view_as_real(weight) if weight.is_complex() else weight) * batch).sum()

    start = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    for optimizer in CHOSEN:
        task, training = Along(), Training(3, optimizer)  # type: ignore[abstract]
        # Two axes of complex numbers, as a layer has, beside the same as real ones.
        real = train(Turned(start.clone()), task, training).weight
        pairs = train(Turned(torch.view_as_complex(start.clone()[None])), task, training).weight
        torch.testing.assert_close(torch.view_as_real(pairs)[0].detach(), real.detach())


@pytest.mark.parametrize("optimizer", CHOSEN, ids=repr)
def test_a_diagnosis_has_the_share_of_a_layer_that_a_step_changes(optimizer: Any):
    """`update` is the largest of a call's parameters; the convolution here has no bias."""
    with seeded(0):
        model = nn.Sequential(nn.Conv2d(1, 4, 8, bias=False), nn.Flatten(), nn.Linear(4, 2))
    found = diagnose(model, pictures(), training=Training(50, optimizer))
    share = optimizer.learning_rate * (optimizer.trust if isinstance(optimizer, LARS) else 1)
    assert found.layers[0].update == pytest.approx(share)
    faster = replace(optimizer, learning_rate=optimizer.learning_rate * 3)
    again = diagnose(model, pictures(), training=Training(50, faster))
    assert again.layers[0].update == pytest.approx(3 * share)
