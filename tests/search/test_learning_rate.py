"""The learning-rate range test: by hand, on real data, and where there is no rate to find."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import Task
from shoestring.kit import Adagrad, AdamW, Training, clone, state_of
from shoestring.models import DigitsLeNet
from shoestring.search import RangeEnding, RateLoss, learning_rate, range_test
from shoestring.search.learning_rate import is_too_high, suggested
from shoestring.tasks import digits


def rows(*losses: float) -> list[RateLoss]:
    return [RateLoss(rate=10.0**at, steps=4, loss=loss) for at, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "noise", "ending", "rate"),
    [
        # falls to 0.5 at a rate of 100, and the last is above 1 + 4 · 0.1 / √4 = 1.2
        ((1.0, 0.9, 0.5, 0.7, 1.0, 1.3), 0.1, RangeEnding.FOUND, 100 / 3),
        # rises again, but is nowhere above the first loss
        ((1.0, 0.9, 0.5, 0.8), 0.1, RangeEnding.FOUND, 100 / 3),
        # the last is above the lowest by 0.1, which is no more than 4 · 0.1 / √4 = 0.2
        ((1.0, 0.9, 0.5, 0.6), 0.1, RangeEnding.NEVER_TOO_HIGH, 100 / 3),
        ((1.0, 0.9, 0.7, 0.5), 0.1, RangeEnding.NEVER_TOO_HIGH, 1000 / 3),
        # of losses that are below 0 too
        ((-1.0, -1.5, -9.0, math.inf), 0.1, RangeEnding.DIVERGES_AT_ONCE, None),
        ((-1.0, -1.0, -1.5, -9.0, math.inf), 0.1, RangeEnding.FOUND, 1000 / 3),
        ((math.nan,), 0.1, RangeEnding.DIVERGES_AT_ONCE, None),
        # 0.5 is no more than 0.2 · ... : with a noise of 0.3 a fall has to be above 0.6
        ((1.0, 0.9, 0.5, 0.7, 1.0, 1.7), 0.3, RangeEnding.NOISE, None),
        ((1.0, 1.0, 1.0, 1.0), 0.0, RangeEnding.NOISE, None),
    ],
)
def test_suggestions_by_hand(
    losses: tuple[float, ...], noise: float, ending: RangeEnding, rate: float | None
):
    first = -1.0 if losses[0] < 0 else 1.0
    found = suggested(rows(*losses), first, noise)
    assert found == (ending, None if rate is None else pytest.approx(rate, rel=2e-3))


def test_what_is_too_high():
    assert not is_too_high(rows(1.2)[0], 1.0, 0.1) and is_too_high(rows(1.21)[0], 1.0, 0.1)
    assert is_too_high(rows(math.nan)[0], 1.0, 0.1) and is_too_high(rows(math.inf)[0], 1.0, 0.1)


class Bowl(Task):
    """The loss is the slope times (w - batch)² / 2; a plain Task without inputs."""

    def __init__(self, noise: float = 0.0, slope: float = 1.0) -> None:
        self.noise, self.slope = noise, slope

    def batches(self, split: str) -> Iterator[Tensor]:
        for _ in range(16):
            yield self.noise * torch.randn(())

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        (weight,) = model.parameters()
        return self.slope * (weight - batch).square().sum() / 2


def ball() -> nn.Module:
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    return model


def test_a_bowl_is_gone_down_and_left_again():
    """Steps are about as long as the rate: at 0.03 eight are not enough to get from 1 to 0, and at
    100 they go far too far.
    """
    found = range_test(ball(), Bowl(noise=0.1), Training(10, AdamW(0.1)))  # type: ignore[abstract]
    assert found.ending is RangeEnding.FOUND and found.rate is not None
    assert [row.steps for row in found.rows[:-1]] == [8] * (len(found.rows) - 1)
    assert found.rows[0].rate == pytest.approx(1e-4) and abs(found.first - 0.5) < 0.1
    assert 0.01 < found.rate < 1
    lowest = min(found.rows, key=lambda row: row.loss)
    assert found.rate == pytest.approx(lowest.rate / 3, rel=2e-3)
    assert found.applied(Training(10, AdamW(0.1, 0.3))) == Training(10, AdamW(found.rate, 0.3))
    told = str(found).splitlines()
    assert len(told) == len(found.rows) + 3 and "suggested" in told[-1]


@pytest.mark.parametrize(
    ("task", "training", "ending"),
    [
        (Bowl(noise=100.0), Training(10), RangeEnding.NOISE),  # type: ignore[abstract]
        (Bowl(slope=0.0), Training(10), RangeEnding.NOISE),  # type: ignore[abstract]
        (Bowl(slope=math.inf), Training(10), RangeEnding.DIVERGES_AT_ONCE),  # type: ignore[abstract]
        (Bowl(slope=math.nan), Training(10), RangeEnding.DIVERGES_AT_ONCE),  # type: ignore[abstract]
        (Bowl(), Training(10, AdamW(1e7)), RangeEnding.DIVERGES_AT_ONCE),  # type: ignore[abstract]
    ],
)
def test_where_there_is_no_rate(task: Task, training: Training, ending: RangeEnding):
    found = range_test(ball(), task, training)
    assert found.ending is ending and found.rate is None
    with pytest.raises(ValueError, match=r"found no learning rate\. The loss"):
        found.applied(training)


def test_a_rate_that_is_never_too_high():
    found = range_test(ball(), Bowl(), Training(10, AdamW(1e-5)))  # type: ignore[abstract]
    assert found.ending is RangeEnding.NEVER_TOO_HIGH and len(found.rows) == 25
    assert found.rate == pytest.approx(1e-2 / 3, rel=2e-3) and "no rate was too high" in str(found)


@pytest.mark.parametrize("optimizer", [AdamW(), Adagrad()])
def test_the_model_and_the_random_numbers_stay(optimizer: AdamW | Adagrad):
    torch.manual_seed(5)
    model = nn.Sequential(DigitsLeNet(), nn.BatchNorm1d(10)).eval()
    before, randomness = state_of(clone(model)).values, torch.get_rng_state()
    statistics = model[1].running_mean.clone()  # type: ignore[union-attr,operator]
    found = range_test(model, digits(), Training(100, optimizer), steps=50)
    again = range_test(model, digits(), Training(100, optimizer), steps=50)
    assert found.rows == again.rows and found.rate is not None
    assert torch.equal(torch.get_rng_state(), randomness) and not model.training
    assert torch.equal(model[1].running_mean, statistics)  # type: ignore[arg-type]
    after = state_of(model).values
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(weight.grad is None for weight in model.parameters())


def test_each_rate_has_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch):
    """A step takes 10 s of a clock that is advanced by hand: two batches and one step a rate."""
    now = 0.0

    class Slow(Bowl):
        def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
            nonlocal now
            now += 10.0
            return super().loss(model, batch)

    monkeypatch.setattr(learning_rate, "monotonic", lambda: now)
    training = Training(10, AdamW(1e-2))
    found = range_test(ball(), Slow(), training, seconds=100.0)  # type: ignore[abstract]
    assert {row.steps for row in found.rows} == {1}
    assert found.seconds == 10.0 * (2 + len(found.rows))


def test_bad_input():
    task = Bowl()  # type: ignore[abstract]
    with pytest.raises(ValueError, match="a range test of 49 steps: give an integer, 50 or more"):
        range_test(ball(), task, Training(9), steps=49)
    with pytest.raises(ValueError, match="a range test of 0 seconds"):
        range_test(ball(), task, Training(9), seconds=0)
    with pytest.raises(ValueError, match="no parameter that learns"):
        range_test(ball().requires_grad_(False), task, Training(9))
    with pytest.raises(TypeError, match="a task is needed"):
        range_test(ball(), 3, Training(9))  # type: ignore[arg-type]
