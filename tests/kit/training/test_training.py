"""How a model is trained, as a value; and the loop against one that anybody can read."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import shoestring
from shoestring import kit
from shoestring.core import Task, score, seeded
from shoestring.kit import (
    LAMB,
    LARS,
    SGD,
    Adagrad,
    AdamW,
    Averaged,
    Clipped,
    Constant,
    Cosine,
    Mixed,
    Ramp,
    Single,
    Supervised,
    Training,
    Unclipped,
    clone,
    train,
)
from shoestring.models import DigitsLeNet
from shoestring.quantize import QuantizationAware
from shoestring.tasks import digits


def test_a_name_makes_it_again_and_tells_what_was_chosen():
    for value, name in [
        (Training(), "Training(2000)"),
        (Training(300, AdamW(1e-2)), "Training(300, optimizer=AdamW(0.01))"),
        (
            Training(5, AdamW(weight_decay=0.1), Constant(), Mixed()),
            "Training(5, optimizer=AdamW(0.001, weight_decay=0.1), schedule=Constant(0.02), "
            "precision=Mixed())",
        ),
        (Training(schedule=Cosine(0.1)), "Training(2000, schedule=Cosine(0.1))"),
        (
            Training(9, Adagrad(0.3, accumulated=0.01)),
            "Training(9, optimizer=Adagrad(0.3, accumulated=0.01))",
        ),
        (Training(9, SGD(0.3)), "Training(9, optimizer=SGD(0.3))"),
        (Training(9, LARS(2.0, trust=0.01)), "Training(9, optimizer=LARS(2.0, trust=0.01))"),
        (Training(9, LAMB(0.1)), "Training(9, optimizer=LAMB(0.1))"),
        (Ramp(), "Ramp(0.5)"),
        (Ramp(0.3, rounds=4), "Ramp(0.3, rounds=4)"),
        (Single(), "Single()"),
    ]:
        assert (
            repr(value) == name
            and eval(name, vars(kit)) == value
            and hash(eval(name, vars(kit))) == hash(value)
        )
    assert shoestring.Training is Training


def test_it_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Training().steps = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Training(-1), "training for -1 steps: give an integer, 0 or more"),
        (lambda: Training(2.5), "training for 2.5 steps"),
        (lambda: AdamW(0.0), "the learning rate is 0.0: it must be above 0"),
        (lambda: AdamW(float("nan")), "the learning rate is nan"),
        (lambda: AdamW(weight_decay=-0.1), "the weight decay is -0.1: it must be 0 or more"),
        (lambda: Adagrad(0.0), "the learning rate is 0.0: it must be above 0, such as 0.1"),
        (lambda: Adagrad(accumulated=-1.0), "the accumulated squares are -1.0: they must be 0"),
        (lambda: SGD(0.0), "the learning rate is 0.0: it must be above 0, such as 0.1"),
        (lambda: SGD(momentum=1.0), "the momentum is 1.0: it must be 0 or more and below 1"),
        (lambda: SGD(weight_decay=-1.0), "the weight decay is -1.0: it must be 0 or more"),
        (lambda: LARS(-1.0), "the learning rate is -1.0: it must be above 0, such as 1.0"),
        (lambda: LARS(trust=0.0), "the trust is 0.0: it must be above 0, such as 1e-3"),
        (lambda: LARS(momentum=-0.1), "the momentum is -0.1"),
        (lambda: LARS(weight_decay=-0.1), "the weight decay is -0.1"),
        (lambda: LAMB(math.inf), "the learning rate is inf: it must be above 0, such as 1e-2"),
        (lambda: LAMB(momentum=1.0), "the momentum is 1.0"),
        (lambda: LAMB(weight_decay=-0.1), "the weight decay is -0.1"),
        (lambda: Cosine(1.5), "the warm-up is 1.5: it is a share"),
        (lambda: Constant(-0.1), "the warm-up is -0.1: it is a share"),
        (lambda: Ramp(1.1), "a ramp over 1.1 of the steps"),
        (lambda: Ramp(-0.1), "a ramp over -0.1 of the steps"),
        (lambda: Ramp(rounds=0), "a ramp of 0 rounds"),
        (lambda: Ramp(rounds=1.5), "a ramp of 1.5 rounds"),
    ],
)
def test_numbers_out_of_range(make: Any, said: str):
    with pytest.raises(ValueError, match=said):
        make()


def test_other_kinds_are_refused_with_the_choices():
    wrong: list[tuple[dict, str]] = [
        ({"optimizer": 1e-3}, r"the optimizer is 0\.001: give AdamW\(\) or Adagrad\(\) or SGD\(\)"),
        ({"schedule": "cosine"}, r"the schedule is 'cosine': give Cosine\(\) or Constant\(\)"),
        ({"precision": torch.bfloat16}, r"the precision is .*: give Single\(\) or Mixed\(\)"),
    ]
    for settings, said in wrong:
        with pytest.raises(TypeError, match=said):
            Training(**settings)


def test_scaled():
    training = Training(200, AdamW(1e-2), Constant(), Mixed())
    assert training.scaled(0.25) == Training(50, AdamW(1e-2), Constant(), Mixed())
    assert (
        training.scaled(2).steps == 400
        and training.scaled(0.001).steps == training.scaled(0).steps == 1
    )
    assert Training(0).scaled(3) == Training(0)


def test_heights_by_hand():
    assert [Constant(0.5).height(step, 4) for step in range(4)] == [0.5, 1.0, 1.0, 1.0]
    assert Constant(0.0).height(0, 4) == 1.0
    assert [round(Cosine(0.0).height(step, 4), 3) for step in range(5)] == [
        1.0,
        0.854,
        0.5,
        0.146,
        0.0,
    ]
    assert Cosine().height(0, 100) == 0.5 and Cosine().height(1, 100) == pytest.approx(
        0.99975, abs=1e-5
    )  # 2 steps up
    assert all(
        Cosine().height(0, steps) == 1 / max(1, steps // 50)
        for steps in (1, 49, 50, 99, 100, 1450, 5800)
    )


def test_the_loop_is_bit_for_bit_that_of_a_few_lines():
    """Adam, its rate rising over the first 2 % of the steps and then falling along a cosine."""
    task, steps = digits(), 60
    with seeded(0):
        trained = train(DigitsLeNet(), task, Training(steps, AdamW(3e-3, weight_decay=0.01)))
    with seeded(0):
        plain = DigitsLeNet().train()
        optimizer = torch.optim.AdamW(plain.parameters(), weight_decay=0.01, fused=True)
        step = 0
        while step < steps:
            for batch in task.batches("train"):
                if step == steps:
                    break
                plain.zero_grad()
                task.loss(plain, batch).backward()
                height = min(
                    (step + 1) / max(1, steps // 50), 0.5 + 0.5 * math.cos(math.pi * step / steps)
                )
                optimizer.param_groups[0]["lr"] = 3e-3 * height
                optimizer.step()
                step += 1
    for one, other in zip(trained.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


class Gradients(Task):
    """Whatever the weights are, the gradient of the only one is what a list says."""

    def __init__(self, *gradients: float) -> None:
        self.gradients = gradients

    def batches(self, split: str) -> list[torch.Tensor]:
        return [torch.tensor(one) for one in self.gradients]

    def loss(self, model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return (model.weight * batch.to(model.weight.dtype)).sum()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("dtype", "within"), [(torch.float32, 1e-6), (torch.float64, 1e-9), (torch.bfloat16, 4e-3)]
)
def test_adagrad_by_hand(dtype: torch.dtype, within: float):
    """A step is the gradient over the root of the sum of its squares: 3/3, 4/5, and 0 of 0."""
    weight = nn.Linear(1, 1, bias=False).to(dtype)
    nn.init.zeros_(weight.weight)
    for steps, wanted in ((1, -0.5), (2, -0.9), (3, -0.9)):
        model = train(
            clone(weight),
            Gradients(3.0, 4.0, 0.0),  # type: ignore[abstract]
            Training(steps, Adagrad(0.5), Constant(0.0)),
        )
        assert float(model.weight.detach()) == pytest.approx(wanted, abs=within)
    begun = Training(1, Adagrad(0.5, accumulated=16.0), Constant(0.0))  # 3 over the root of 16 + 9
    moved = train(clone(weight), Gradients(3.0), begun)  # type: ignore[abstract]
    assert float(moved.weight.detach()) == pytest.approx(-0.3, abs=within)


def test_sgd_by_hand():
    """0.5 · 3 of 0, then half of that step again: momentum; with weight decay 0.1 · 1.5 less."""
    weight = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(weight.weight)
    for decay, wanted in ((0.0, -1.5 - 0.75), (0.1, -1.5 - 0.75 + 0.5 * 0.15)):
        chosen = Training(2, SGD(0.5, momentum=0.5, weight_decay=decay), Constant(0.0))
        model = train(clone(weight), Gradients(3.0, 0.0), chosen)  # type: ignore[abstract]
        assert float(model.weight.detach()) == pytest.approx(wanted)


def test_adagrad_learns_a_word_that_comes_once_as_far_as_one_that_always_comes():
    """AdamW moves a weight on by its momentum after its gradient is gone; Adagrad does not."""
    task = Gradients(1.0, 0.0, 0.0, 0.0)  # type: ignore[abstract]
    weight = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(weight.weight)
    ends = {
        type(one).__name__: float(
            train(clone(weight), task, Training(4, one, Constant(0.0))).weight.detach()
        )
        for one in (AdamW(0.1), Adagrad(0.1))
    }
    assert ends["Adagrad"] == pytest.approx(-0.1) and ends["AdamW"] < -0.2


def test_adagrad_with_scales_of_a_quantiser_and_channels_last():
    """In its one pass over the memory and in torch's plain loop it is the same optimizer."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(12, 2))
    split = torch.randn(32, 2, 4, 4), torch.randint(0, 2, (32,))
    task = Supervised(train=split, validation=split, test=split, batch_size=32)
    training = Training(6, Adagrad(0.05), Constant(0.0))
    plain = clone(model)
    optimizer = torch.optim.Adagrad(plain.parameters(), 0.05, foreach=False)
    for _ in range(6):
        optimizer.zero_grad()
        task.loss(plain, next(iter(task.batches("train")))).backward()
        optimizer.step()
    for memory in (torch.contiguous_format, torch.channels_last):
        trained = train(clone(model).to(memory_format=memory), task, training)  # type: ignore[call-overload]
        for one, other in zip(trained.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    quantised = QuantizationAware(bits=4, training=training)(model, task)
    assert score(task, quantised) > 0.7


class Watching(nn.Linear):
    """Notes in which type it was called."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        answer = super().forward(input)
        self.seen = answer.dtype
        return answer


@pytest.mark.parametrize(
    ("precision", "own", "wanted"),
    [
        (Single(), None, torch.float32),
        (Single(), torch.bfloat16, torch.bfloat16),
        (Mixed(), None, torch.bfloat16),
        (Mixed(), torch.bfloat16, torch.bfloat16),
    ],
)
def test_what_the_loss_is_computed_in(
    precision: Single | Mixed, own: torch.dtype | None, wanted: torch.dtype
):
    split = (torch.ones(4, 3), torch.ones(4, 1))
    task = Supervised(
        train=split, validation=split, test=split, criterion=functional.mse_loss, autocast=own
    )
    model = train(Watching(3, 1), task, Training(2, precision=precision))
    assert (
        model.seen == wanted
        and model.weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


def test_a_constant_rate_goes_further_than_one_that_falls():
    split = (torch.ones(4, 1), 100 * torch.ones(4, 1))
    task = Supervised(train=split, validation=split, test=split, criterion=functional.mse_loss)
    ends = []
    for schedule in (Cosine(), Constant()):
        model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(model.weight)
        ends.append(float(train(model, task, Training(40, AdamW(0.1), schedule)).weight.detach()))
    assert (
        ends[1] == pytest.approx(4.0, abs=0.05) and ends[0] < 2.2
    )  # Adam moves by its rate, here always the same way


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_clipped_all_together(dtype: torch.dtype):
    torch.manual_seed(0)
    pair = 100 * torch.randn(32, 4).to(dtype), torch.randint(0, 2, (32,))
    task = Supervised(train=pair, validation=pair, test=pair, batch_size=32)
    start = nn.Linear(4, 2).to(dtype)

    def moved(clipping: Unclipped | Clipped) -> torch.Tensor:
        """How far the weights went: by the rate, unless gradients are as small as Adam's eps."""
        training = Training(1, AdamW(1.0), Constant(0), clipping=clipping)
        model = train(clone(start), task, training)
        return (model.weight - start.weight).detach().float().abs().max()

    assert float(moved(Unclipped())) == pytest.approx(1, rel=0.02)
    assert torch.allclose(moved(Unclipped()), moved(Clipped(1e9)), atol=1e-3)
    assert 0 < float(moved(Clipped(1e-9))) < 0.2


def test_settings_of_health_are_values():
    assert repr(Training(100)) == "Training(100)"  # the name of a training with the defaults stays
    assert repr(Training(100, clipping=Clipped(2.0))) == "Training(100, clipping=Clipped(2.0))"
    assert repr(Training(1, statistics=Averaged())) == "Training(1, statistics=Averaged(20))"
    with pytest.raises(ValueError, match=r"gradients clipped at 0: give a norm above 0"):
        Clipped(0)
    with pytest.raises(TypeError, match=r"the clipping is 1.0: give Unclipped\(\) or Clipped\(\)"):
        Training(1, clipping=1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the statistics is"):
        Training(1, statistics=20)  # type: ignore[arg-type]
