"""diagnose: networks that do not train, each with its name, and what is left as it was."""

from __future__ import annotations

import json
import math
import random
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import shoestring
from shoestring.core import Task, seeded
from shoestring.kit import (
    AdamW,
    Clipped,
    Cosine,
    Mixed,
    MixtureOfExperts,
    Supervised,
    Training,
    average_batch_norm,
    clone,
    fan_in_variance,
    silent_branches,
    train,
)
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
    found = diagnose(deep(without_norm), images(), looked_at=1, rate_steps=0)
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
        model[2].weight.fill_(1e38)
        model[2].bias.fill_(3e38)
    found = diagnose(model, vectors())
    assert found.findings[0].name == "not a number" and not found.rates
    assert "is that of 2 (linear)" in found.findings[0].says
    assert found.layers[2].note == "not a number"
    assert json.loads(found.to_json())["loss"] is None


def test_a_weight_that_is_no_number_is_named():
    model = mlp(nn.ReLU())
    with torch.no_grad():
        model[2].weight[0, 0] = math.nan
    found = diagnose(model, vectors())
    assert "the weights of 2.weight are not finite" in found.findings[0].says


def normed(**statistics: float) -> nn.Sequential:
    with seeded(0):
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    for name, value in statistics.items():
        getattr(model[1], name).fill_(value)
    return model


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_running_statistics_that_are_no_numbers(value: float):
    model = normed(running_mean=1.0)
    model[1].running_var[3] = value
    found = diagnose(model, vectors(), rate_steps=0)
    assert names(found) == {"running statistics are no numbers"}
    assert found.layers[1].note == "running statistics are no numbers"
    average_batch_norm(model, vectors())
    assert diagnose(model, vectors(), rate_steps=0).healthy


def test_norms_count_as_new_only_where_they_divide_by_one():
    off = {"running statistics are off"}
    assert names(diagnose(normed(running_var=1e6), vectors(), rate_steps=0)) == off
    assert names(diagnose(normed(running_var=1e-8), vectors(), rate_steps=0)) == off
    assert diagnose(normed(), vectors(), rate_steps=0).healthy
    assert diagnose(normed(running_var=1 - 1e-5), vectors(), rate_steps=0).healthy  # folded


def test_a_new_norm_that_gets_constants_is_saturated():
    model = normed()
    with torch.no_grad():
        model[0].weight.zero_()
    assert "saturated norms" in names(diagnose(model, vectors(), rate_steps=0))


def test_a_last_layer_that_begins_at_zero_is_healthy():
    with seeded(0):
        layers = [part for n in range(5) for part in (nn.Linear(32 if n else 4, 32), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Linear(32, 2))
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    found = diagnose(model, vectors())
    assert found.healthy
    assert "its last weight begins at zero (10.weight)" in found.unseen[0]
    assert "a copy was looked at after 5 steps" in found.unseen[0]
    assert "whether the rate is too low" in found.unseen[1]


class Gated(nn.Module):
    """A part behind a gate at zero that is no weight of a call: tanh(gate)."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.inside, self.outside = nn.Linear(4, 2), nn.Linear(4, 8), nn.Linear(8, 2)
        self.gate = nn.Parameter(torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x) + self.outside(self.inside(x) * torch.tanh(self.gate))


def test_what_opens_in_the_first_steps_is_no_fault():
    with seeded(0):
        model = Gated()
    assert diagnose(model, vectors(), rate_steps=0).healthy


def test_whole_numbers_to_predict_are_no_classes():
    inputs, _ = vectors().train
    pair = inputs, (inputs.sum(1) * 10 + 50).round().long()
    task = Supervised(
        train=pair,
        validation=pair,
        test=pair,
        criterion=lambda answer, y: (answer[:, 0] - y.float()).square().mean(),
        merit=lambda answer, y: -(answer[:, 0] - y.float()).square(),
    )
    with seeded(0):
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    assert diagnose(model, task, rate_steps=0).healthy


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 2, dtype=torch.complex64))
        self.register_buffer("wide", torch.zeros(1, 4).expand(3, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x - self.wide[0]).to(torch.complex64) @ self.weight).abs()


def test_complex_parameters_and_expanded_buffers_are_no_crash():
    with seeded(0):
        model = Complex()
    found = diagnose(model, vectors(), rate_steps=2)
    assert "the calls with complex numbers, such as those of weight" in found.unseen
    assert all(math.isfinite(one.after) for one in found.rates)


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


def experts(count: int) -> nn.Sequential:
    """A new mixture, which is healthy."""

    def expert() -> nn.Module:
        return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))

    with seeded(0):
        mixture = MixtureOfExperts([expert() for _ in range(count)], nn.Linear(16, count))
        return nn.Sequential(nn.Linear(16, 16), nn.ReLU(), mixture, nn.Linear(16, 3))


def rows(batch_size: int = 16) -> Supervised:
    with seeded(0):
        pair = torch.randn(64, 16), torch.randint(0, 3, (64,))
    return Supervised(train=pair, validation=pair, test=pair, batch_size=batch_size)


@pytest.mark.parametrize("count", [4, 8, 16])
def test_a_new_mixture_is_healthy_though_some_experts_get_no_row(count: int):
    found = diagnose(experts(count), rows(), rate_steps=0)
    assert not names(found)
    assert any(
        re.search(r"experts? .* of 2, to which none of 48 rows", one) for one in found.unseen
    )


def test_a_collapsed_router_is_called_that_and_not_a_detached_one():
    model = experts(4)
    with torch.no_grad():
        model[2].router.bias.copy_(torch.tensor([0.0, 20.0, 0.0, 0.0]))
    found = diagnose(model, rows(), rate_steps=0)
    assert names(found) == {"collapsed router"}
    assert "expert 1 gets 100.0 % of the rows" in str(found) and "Raise `balance`" in str(found)


class Towers(nn.Module):
    """A deep part and a wide part, whose gradient is a million times as large."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Sequential(*(nn.Linear(16, 16) for _ in range(6)))
        self.wide, self.last = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(1e3 * self.wide(x) + 1e-3 * self.deep(x))


def test_parallel_parts_are_not_compared_with_each_other():
    with seeded(0):
        model = fan_in_variance(Towers())
    assert not {"exploding gradients", "vanishing gradients"} & names(
        diagnose(model, rows(), rate_steps=0)
    )


def test_a_branch_that_begins_at_zero_is_no_broken_one():
    task = images()
    with seeded(0):
        model = silent_branches(PreActivation(29, 4), task)
    found = diagnose(model, task, looked_at=1, rate_steps=0)
    assert found.healthy
    (told,) = found.unseen
    assert "its last weight begins at zero (stages.0.0.third.weight" in told
    with torch.no_grad():  # two zeros in a row never leave zero
        model.stages[0][0].third_norm.weight.zero_()
    found = diagnose(model, task, looked_at=1, rate_steps=0)
    assert "no gradient" in names(found) and "stages.0.0.third" in str(found)


def test_precision_clipping_and_schedule_are_those_of_the_training():
    heard: list[torch.dtype] = []

    class Listens(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer = super().forward(x)
            heard.append(answer.dtype)
            return answer

    with seeded(0):
        model = Listens(16, 3)
    diagnose(model, rows(), training=Training(10, precision=Mixed()), rate_steps=2)
    assert heard and set(heard) == {torch.bfloat16}

    def after(**settings: Any) -> float:
        training = Training(10, AdamW(0.1), **settings)
        return diagnose(model, rows(), training=training).rates[1].after

    free, before = after(), diagnose(model, rows(), rate_steps=1).rates[0].before
    assert abs(after(clipping=Clipped(1e-12)) - before) < 0.01 < abs(free - before)
    warmed = after(schedule=Cosine(1.0))
    assert warmed != free


def test_a_trial_of_rates_is_the_training_itself():
    task = rows(batch_size=64)
    training = Training(10, AdamW(0.1), clipping=Clipped(0.1))
    with seeded(0):
        model = nn.Linear(16, 3)
    found = diagnose(model, task, training=training, looked_at=1)
    trained = train(clone(model), task, training)
    (batch,) = task.batches("train")
    assert found.rates[1].after == pytest.approx(
        float(task.loss(trained, batch).detach()), rel=1e-4
    )


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
    assert "of 166 rows and the last" in str(found) and "with --csv" in str(found)
    assert str(found).count("\n") < 60
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
    for settings in ({"looked_at": 0}, {"looked_at": 1.5}, {"rate_steps": 2.5}):
        (name,) = settings
        with pytest.raises(ValueError, match=f"{name}=.*: give an integer"):
            diagnose(nn.Linear(4, 2), vectors(), **settings)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="training=5: give a Training"):
        diagnose(nn.Linear(4, 2), vectors(), training=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lazy layers"):
        diagnose(nn.LazyLinear(2), vectors())
