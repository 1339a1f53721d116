"""How much of a gradient is noise: by hand, beside all gradients, and on what is bad."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import Task, seeded
from shoestring.kit import DivergedError, Supervised, Training, state_of
from shoestring.parallel import SimulatedSynchronous, StepTimes, gradient_health
from shoestring.parallel.gradient_health import noise_scale


class Given(Task):
    """The gradients of a weight with two numbers are those of a list, a batch each."""

    def __init__(self, *gradients: tuple[float, float]) -> None:
        self.gradients = gradients

    def batches(self, split: str) -> list[Tensor]:
        return [torch.tensor([one]) for one in self.gradients]

    def loss(self, model: Any, batch: Tensor) -> Tensor:
        return (model.weight * batch).sum()


def one_weight() -> nn.Linear:
    model = nn.Linear(2, 1, bias=False)
    nn.init.ones_(model.weight)
    return model


def given(*gradients: tuple[float, float]) -> Given:
    return Given(*gradients)  # type: ignore[abstract]


def test_the_noise_scale_by_hand():
    """Gradients of 1, 2 and 3 with 4 examples each: a mean square of 14/3 and a mean of 2.

    |G|² = (3 · 4 - 14/3) / 2 = 11/3; the variance of an example's is 4 · 3 · (14/3 - 4) / 2 = 4.
    """
    found = gradient_health(one_weight(), given((1, 0), (2, 0), (3, 0)), size=4)
    assert found.whole.noise_scale == pytest.approx(12 / 11)
    assert (found.batches, found.size) == (3, 4)
    assert found.whole.zeros == 0.5  # the second number never has a gradient
    assert found.whole.to_weights == pytest.approx(2 / math.sqrt(2))
    (row,) = found.parameters
    assert row.name == "weight" and row.noise_scale == found.whole.noise_scale


def test_its_interval_by_hand():
    """Without each batch in turn, 1/B is |G|²/S of two: 2 · 3 / (4 · 1/2), and so on."""
    found = gradient_health(one_weight(), given((1, 0), (2, 0), (3, 0)), size=4).whole
    # Of a and b: |G|² is a · b, and the variance of an example's is 4 · (a - b)² / 2.
    others = [6 / 2, 3 / 8, 2 / 2]
    mean = sum(others) / 3
    error = math.sqrt(2 / 3 * sum((one - mean) ** 2 for one in others))
    assert found.low == pytest.approx(1 / (11 / 12 + 2 * error))
    assert found.high == math.inf  # 11/12 less two errors is below 0


def test_no_noise_no_signal_and_no_gradient():
    alike = gradient_health(one_weight(), given((1, 2), (1, 2), (1, 2))).whole
    assert (alike.noise_scale, alike.low, alike.high) == (0.0, 0.0, 0.0)
    opposed = gradient_health(one_weight(), given((1, 0), (-1, 0), (1, 0), (-1, 0))).whole
    assert opposed.noise_scale == opposed.high == math.inf
    silent = gradient_health(one_weight(), given((0, 0), (0, 0), (0, 0)))
    assert silent.whole.noise_scale is silent.whole.low is None and silent.whole.zeros == 1.0
    assert "none" in str(silent)


def words(count: int, batch: int) -> Supervised:
    """A regression with noise: each example's gradient differs."""
    with seeded(1):
        inputs = torch.randn(count, 6)
        targets = inputs[:, :1] + 0.5 * torch.randn(count, 1)
    split = inputs, targets
    return Supervised(
        train=split,
        validation=split,
        batch_size=batch,
        criterion=nn.functional.mse_loss,
        merit=lambda one, other: -((one - other) ** 2).mean(-1),
    )


def true_scale(model: nn.Module, task: Supervised) -> float:
    """From the gradient of each example: the sum of variances over the square of the mean."""
    rows = []
    for x, y in zip(*task.train, strict=True):  # type: ignore[arg-type]
        model.zero_grad()
        task.loss(model, ((x[None],), y[None])).backward()
        rows.append(torch.cat([p.grad.flatten().clone() for p in model.parameters()]))  # type: ignore[union-attr]
    model.zero_grad()
    each = torch.stack(rows).double()
    return float(each.var(0).sum() / each.mean(0).square().sum())


def small() -> nn.Module:
    with seeded(2):
        return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1))


def test_it_is_near_that_of_all_examples_gradients():
    """Whatever the batch; and the interval has it, with 64 batches of 32 and 128 of 16."""
    true = true_scale(small(), words(2048, 32))
    for batch in (16, 32):
        found = gradient_health(small(), words(2048, batch), looked_at=128).whole
        assert found.noise_scale == pytest.approx(true, rel=0.2)
        assert found.low is not None and found.high is not None
        assert found.low < true < found.high


def test_the_interval_has_the_truth_most_of_the_time():
    """Of 200 draws of 16 batches, about 19 of 20: fast code, with gradients of known variance."""
    draw, hits = torch.Generator().manual_seed(0), 0
    true = 10 * 2.0**2 / 1.0  # ten numbers with a deviation of 2; a mean gradient of length 1
    for _ in range(200):
        each = 2.0 / math.sqrt(8) * torch.randn(16, 10, generator=draw) + 1 / math.sqrt(10)
        mean = each.mean(0)
        squares, along = each.square().sum(1).tolist(), (each @ mean).tolist()
        _, low, high = noise_scale(squares, along, float(mean @ mean), 8)
        assert low is not None and high is not None
        hits += low < true < high
    assert 170 <= hits < 200


def test_the_model_and_random_numbers_stay():
    task = words(96, 16)
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 1)).eval()
    before = [one.clone() for one in state_of(model).values.values()]
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first = gradient_health(model, task)
    assert torch.equal(torch.rand(3), wanted)
    assert not model.training and all(p.grad is None for p in model.parameters())
    after = state_of(model).values.values()
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))
    assert first == gradient_health(model, task)
    assert first != gradient_health(model, task, seed=1)


def test_the_last_batch_of_a_pass_is_left_out_where_it_has_fewer_rows():
    found = gradient_health(small(), words(100, 16))
    assert (found.batches, found.size) == (6, 16)
    lines = str(found).splitlines()
    assert lines[0] == "6 batches of 16 examples" and len(lines) == 2 + 1 + 4


def test_rows_of_a_table_that_no_batch_hits_have_no_gradient():
    ids = torch.arange(64).remainder(8)[:, None]
    split = ids, (ids[:, 0] > 3).long()
    task = Supervised(train=split, validation=split, batch_size=4)
    model = nn.Sequential(nn.Embedding(800, 3), nn.Flatten(), nn.Linear(3, 2))
    table, *others = gradient_health(model, task, looked_at=8).parameters
    assert table.zeros > 0.99 and all(one.zeros < 0.5 for one in others)


def test_frozen_parameters_are_not_told_of():
    model = small()
    model[0].requires_grad_(False)
    names = [one.name for one in gradient_health(model, words(96, 16)).parameters]
    assert names == ["2.weight", "2.bias"]


class Unread(Given):
    """Batches without a tensor."""

    def batches(self, split: str) -> list[Any]:
        return [{"a": 1}] * 4

    def loss(self, model: Any, batch: Any) -> Tensor:
        return model.weight.sum()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"looked_at": 2}, "looked_at=2: give an integer, 3 or more"),
        ({"looked_at": 4.0}, "looked_at=4.0"),
        ({"size": -1}, "size=-1: give an integer, 1 or more"),
        ({"size": 0}, "size=0: give an integer"),
        (
            {"training": Training(workers=SimulatedSynchronous(StepTimes.equal(2)))},
            "gradient_health is of one process",
        ),
    ],
)
def test_numbers_out_of_range(settings: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        gradient_health(small(), words(96, 16), **settings)


def test_what_cannot_be_looked_at():
    with pytest.raises(ValueError, match="2 batches alike: 3 or more"):
        gradient_health(small(), words(32, 16))
    with pytest.raises(ValueError, match="no parameter that learns"):
        gradient_health(nn.ReLU(), words(96, 16))
    with pytest.raises(ValueError, match="say how many examples"):
        gradient_health(one_weight(), Unread())  # type: ignore[abstract]
    assert gradient_health(one_weight(), Unread(), size=8).whole.noise_scale == 0.0  # type: ignore[abstract]
    with pytest.raises(DivergedError, match="the loss of batch 0 is nan"):
        gradient_health(one_weight(), given((math.nan, 0), (1, 0), (1, 0)))
