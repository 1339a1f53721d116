"""diagnose: networks that do not train, each with its name, and what is left as it was."""

from __future__ import annotations

import json
import math
import random
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import shoestring
from shoestring.core import Task, seeded
from shoestring.kit import AdamW, Supervised, Training, average_batch_norm, fan_in_variance
from shoestring.models import PlainNetwork, PreActivation, ResNet20
from shoestring.plan import Diagnosis, diagnose


def images(scale: float = 1.0, classes: int = 10) -> Supervised:
    with seeded(0):
        x = torch.rand(96, 3, 8, 8) * scale
        pair = x, torch.randint(0, classes, (96,))
    return Supervised(train=pair, validation=pair, test=pair, batch_size=32)


def vectors(scale: float = 1.0) -> Supervised:
    """Two classes that a line separates."""
    with seeded(0):
        x = torch.randn(96, 4)
    pair = x * scale, (x[:, 0] > 0).long()
    return Supervised(train=pair, validation=pair, test=pair, batch_size=32)


def mlp(activation: nn.Module) -> nn.Sequential:
    with seeded(0):
        return nn.Sequential(nn.Linear(4, 16), activation, nn.Linear(16, 2))


def names(found: Diagnosis) -> set[str]:
    return {one.name for one in found.findings}


def without_norm(_channels: int) -> nn.Module:
    return nn.Identity()


def deep(norm=nn.BatchNorm2d) -> PlainNetwork:
    with seeded(0):
        return PlainNetwork(56, 4, norm=norm)


def test_a_deep_plain_network_vanishes_and_its_layers_are_named():
    found = diagnose(deep(without_norm), images(), rate_steps=0)
    assert {"vanishing gradients", "constant answers"} <= names(found)
    vanishing = next(one for one in found.findings if one.name == "vanishing gradients")
    assert vanishing.layers == ("layers.0.0 (conv2d)",)
    assert "56 layers before: each layer leaves 0." in vanishing.says
    assert "PreActivation" in vanishing.do and "fan_in_variance" in vanishing.do


def test_norms_alone_explode_and_shortcuts_do_not():
    assert "exploding gradients" in names(diagnose(deep(), images(), rate_steps=0))
    with seeded(0):
        residual = PreActivation(56, 4)
    assert not names(diagnose(residual, images(), rate_steps=0))


def test_a_cured_network_is_not_called_ill():
    with seeded(0):
        cured = fan_in_variance(PlainNetwork(20, 8, norm=without_norm))
    found = diagnose(cured, images(), rate_steps=0)
    assert not {"vanishing gradients", "exploding gradients"} & names(found)


def test_a_network_that_trains_is_healthy():
    found = diagnose(mlp(nn.ReLU()), vectors(), training=Training(10, AdamW(1e-2)))
    assert found.healthy and not found.findings
    assert str(found).startswith("Nothing was found")
    assert [one.rate for one in found.rates] == pytest.approx([1e-3, 1e-2, 1e-1])
    assert all(one.after < one.before for one in found.rates)
    assert [(row.layer, row.function) for row in found.layers] == [
        ("0", "linear"),
        ("1", "relu"),
        ("2", "linear"),
    ]
    # A first step of Adam moves each weight by its rate, where the batches agree.
    weight = math.sqrt(float(mlp(nn.ReLU())[2].weight.detach().square().mean()))
    assert found.layers[2].update == pytest.approx(1e-2 / weight, rel=0.5)


def test_rates_that_are_too_high_and_too_low():
    high = diagnose(mlp(nn.Tanh()), vectors(), training=Training(10, AdamW(5.0)))
    assert "learning rate too high" in names(high)
    low = diagnose(mlp(nn.Tanh()), vectors(), training=Training(10, AdamW(1e-4)))
    assert "learning rate too low" in names(low) and "AdamW(0.001)" in str(low)


def test_inputs_that_are_not_scaled_saturate():
    found = diagnose(mlp(nn.Tanh()), vectors(255.0), rate_steps=0)
    assert {"inputs not scaled", "saturated activations"} <= names(found)
    row = next(row for row in found.layers if row.function == "tanh")
    assert (row.saturated or 0) > 0.9 and row.note == "saturated activations"


def test_dead_units():
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[0].bias[:10] = -1000.0
    found = diagnose(model, vectors(), rate_steps=0)
    assert names(found) == {"dead units"}
    row = next(row for row in found.layers if row.function == "relu")
    assert row.units == 16 and (row.dead or 0) >= 10


def test_not_a_number_says_where():
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[2].weight.fill_(math.inf)
    found = diagnose(model, vectors())
    assert found.findings[0].name == "not a number" and not found.rates
    assert "is that of 2 (linear)" in found.findings[0].says
    assert found.layers[2].note == "not a number"
    assert json.loads(found.to_json())["loss"] is None


def test_labels_that_are_constant_and_a_loss_far_above_guessing():
    task = vectors()
    one = task.train[0], torch.ones(96, dtype=torch.int64)
    constant = Supervised(train=one, validation=one, test=one, batch_size=32)
    assert "constant labels" in names(diagnose(mlp(nn.ReLU()), constant, rate_steps=0))
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[2].weight.mul_(1000)
    found = diagnose(model, task, rate_steps=0)
    assert "a loss far above guessing" in names(found) and "costs 0.693" in str(found)


def test_frozen_and_unreached_parameters():
    frozen = mlp(nn.ReLU()).requires_grad_(False)
    assert names(diagnose(frozen, vectors())) == {"frozen"}

    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x).detach())

    found = diagnose(Cut(), vectors(), rate_steps=0)
    assert names(found) == {"no gradient"} and "first.weight, first.bias" in str(found)


class Constant(Task):
    """A task whose loss does not depend on the model."""

    name = "constant"

    def batches(self, split):
        yield torch.rand(8, 4)

    def loss(self, model, batch):
        return (model(batch).argmax(1) == 0).float().mean()

    def score(self, predict, split):
        return 0.0

    def example(self):
        return (torch.rand(2, 4),), {}


def test_a_constant_loss_of_any_task():
    found = diagnose(mlp(nn.ReLU()), Constant())
    assert [one.name for one in found.findings] == ["constant loss"]
    assert not found.rates and "argmax" in str(found)


def test_running_statistics_that_lag_and_their_cure():
    with seeded(0):
        model, task = ResNet20(4), images()
    average_batch_norm(model, task)
    assert "running statistics are off" not in names(diagnose(model, task, rate_steps=0))
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.mul_(4)
    found = diagnose(model, task, rate_steps=0)
    assert "running statistics are off" in names(found)
    assert re.search(r"1[5-8](\.\d)? times the variance", str(found))  # 4 squared


def test_the_model_and_random_numbers_stay_as_they_were():
    model, task = ResNet20(4), images()
    model.blocks[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [part.training for part in model.modules()]
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    first = diagnose(model, task, rate_steps=2)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [part.training for part in model.modules()] == modes
    assert all(weight.grad is None for weight in model.parameters())
    assert str(diagnose(model, task, rate_steps=2)) == str(first)


def test_recurrent_networks_say_what_is_hidden_and_functions_are_heard():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.last = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(functional.gelu(self.lstm(x[:, None])[0][:, 0]))

    found = diagnose(Recurrent(), vectors(), rate_steps=0)
    assert [row.function for row in found.layers] == ["lstm", "gelu", "linear"]
    assert "the steps inside of lstm (lstm)" in found.unseen[0]


def test_tables():
    found = diagnose(deep(), images(), rate_steps=0)
    assert len(found.layers) == 166
    assert "more rows: to_csv() has them all" in str(found) and str(found).count("\n") < 60
    assert len(found.to_csv().splitlines()) == 167
    assert "exploding gradients" in found._repr_html_()
    assert len(json.loads(found.to_json())["layers"]) == 166
    assert shoestring.diagnose is diagnose


def test_bad_input():
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        diagnose(nn.ReLU(), vectors())
    with pytest.raises(TypeError, match="needs a torch module, and got str"):
        diagnose("model", vectors())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a task is needed"):
        diagnose(nn.Linear(4, 2), "task")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="looked_at=0"):
        diagnose(nn.Linear(4, 2), vectors(), looked_at=0)
    with pytest.raises(ValueError, match="lazy layers"):
        diagnose(nn.LazyLinear(2), vectors())
