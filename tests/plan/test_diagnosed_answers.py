"""diagnose: sigmoids between layers and their cures, and answers that do not fit the loss."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from shoestring.core import seeded
from shoestring.kit import AdamW, Supervised, Training, fan_in_variance, train, unit_variance
from shoestring.plan import Diagnosis, diagnose
from shoestring.plan.diagnosis import Finding

WIDTH, DEPTH = 32, 30
CHANCE = 0.36
"""The share of the most frequent of the three classes on the validation data."""


def largest_of_three(**settings: object) -> Supervised:
    """Which of the first three inputs is the largest."""
    with seeded(1):
        inputs = torch.randn(384, 16)
    targets = inputs[:, :3].argmax(1)
    seen, unseen = (inputs[:256], targets[:256]), (inputs[256:], targets[256:])
    return Supervised(train=seen, validation=unseen, test=unseen, batch_size=64, **settings)  # type: ignore[arg-type]


class Block(nn.Module):
    """x + f(norm(x))."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.norm, self.part = nn.LayerNorm(WIDTH), part

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.part(self.norm(x))


def deep(layer: Callable[[], nn.Module]) -> nn.Sequential:
    with seeded(0):
        return nn.Sequential(
            nn.Linear(16, WIDTH), *(layer() for _ in range(DEPTH)), nn.Linear(WIDTH, 3)
        )


def with_(*behind: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), *(make() for make in behind))


class Squashed(nn.Module):
    """A linear layer and a sigmoid that is no module."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).sigmoid()


class GatedLayer(nn.Module):
    """A linear layer times a gate, which is a sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.gate = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * torch.sigmoid(self.gate(x))


def of(found: Diagnosis, name: str) -> Finding:
    return next(one for one in found.findings if one.name == name)


def score(model: nn.Module) -> float:
    task = largest_of_three()
    trained = train(model, task, Training(100, AdamW(3e-3)))
    return task.score(trained.eval(), "validation")


@pytest.mark.parametrize("layer", [with_(nn.Sigmoid), Squashed], ids=["module", "method"])
def test_sigmoids_between_layers_are_named_as_the_cause(layer: Callable[[], nn.Module]):
    found = diagnose(deep(layer), largest_of_three(), rate_steps=0)
    for name in ("vanishing gradients", "constant answers"):
        one = of(found, name)
        assert "30 sigmoids between the layers cause it" in one.says
        assert "by ReLU or Tanh, with shoestring.kit.fan_in_variance(model)" in one.do
        assert "a BatchNorm before each" in one.do and "x + f(norm(x))" in one.do
        assert "PreActivation" not in one.do


def test_gates_and_one_sigmoid_at_the_end_are_no_cause():
    found = diagnose(deep(GatedLayer), largest_of_three(), rate_steps=0)
    assert "sigmoid" not in str(found.findings)
    assert "x + f(norm(x))" in of(found, "vanishing gradients").do
    assert "PreActivation" not in str(found.findings)  # which is for images
    ended = deep(with_(nn.Tanh)).append(nn.Sigmoid())
    found = diagnose(ended, largest_of_three(), rate_steps=0)
    assert of(found, "vanishing gradients") and "sigmoid" not in str(found.findings)


def test_the_advised_norm_takes_the_score_off_chance():
    assert score(deep(with_(lambda: nn.BatchNorm1d(WIDTH), nn.Sigmoid))) > CHANCE + 0.2


@pytest.mark.slow
def test_sigmoids_stay_at_chance_and_each_advice_does_not():
    assert score(deep(with_(nn.Sigmoid))) < CHANCE + 0.05
    assert score(fan_in_variance(deep(with_(nn.Sigmoid)))) < CHANCE + 0.05
    assert score(unit_variance(deep(with_(nn.Sigmoid)), largest_of_three())) < CHANCE + 0.05
    assert score(deep(with_(lambda: nn.LayerNorm(WIDTH), nn.Sigmoid))) < CHANCE + 0.05
    assert score(fan_in_variance(deep(with_(nn.ReLU)))) > CHANCE + 0.1
    assert score(fan_in_variance(deep(with_(nn.Tanh)))) > CHANCE + 0.1
    assert score(deep(lambda: Block(with_(nn.Sigmoid)()))) > CHANCE + 0.2


def classifier(*end: nn.Module, classes: int = 3) -> nn.Sequential:
    with seeded(0):
        return nn.Sequential(nn.Linear(16, WIDTH), nn.ReLU(), nn.Linear(WIDTH, classes), *end)


PROBABLE = "probabilities where logits are wanted"


def test_a_softmax_before_cross_entropy_is_found_first():
    found = diagnose(classifier(nn.Softmax(1)), largest_of_three(), rate_steps=0)
    assert found.findings[0].name == PROBABLE
    assert "probabilities of 3 classes" in found.findings[0].says
    assert "Leave out the softmax" in found.findings[0].do
    half = classifier(nn.Softmax(1)).bfloat16()
    with seeded(0):
        task = largest_of_three(prepare=lambda x: x.bfloat16())
    assert PROBABLE in str(diagnose(half, task, rate_steps=0))


def test_probabilities_where_the_loss_wants_them_are_no_fault():
    by_logarithm = largest_of_three(criterion=lambda p, y: functional.nll_loss(p.log(), y))
    assert PROBABLE not in str(diagnose(classifier(nn.Softmax(1)), by_logarithm, rate_steps=0))
    for end in (nn.LogSoftmax(1), nn.Sigmoid(), nn.Identity()):
        assert PROBABLE not in str(diagnose(classifier(end), largest_of_three(), rate_steps=0))


def test_too_few_answers_are_said_in_words():
    wanted = "gives 1 answer for each example, and the labels go up to 2"
    for model in (classifier(classes=1), classifier(nn.Flatten(0), classes=1)):
        with pytest.raises(ValueError, match=wanted):
            diagnose(model, largest_of_three())
    with pytest.raises(ValueError, match="gives 2 answers for each example"):
        diagnose(classifier(classes=2), largest_of_three())


def test_other_errors_of_a_loss_stay_what_they_are():
    def broken(answer: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        diagnose(classifier(classes=1), largest_of_three(criterion=broken))
