"""Workers that take steps by themselves: by hand, beside one process, and when they are killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch
from made_pulled import Pulled
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import SGD, AdamW, Constant, DivergedError, Supervised, Training, Workers, train
from shoestring.parallel import (
    ElasticAveraging,
    LocalSGD,
    LostWorkerWarning,
    SimulatedSynchronous,
    StepTimes,
)


def learnt(workers: Workers, steps: int, *wanted: float) -> float:
    """The weight that begins with 1 after steps at a rate of 0.1."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    optimizer = SGD(0.1, momentum=0.0)
    train(model, Pulled(wanted), Training(steps, optimizer, Constant(0.0), workers=workers))
    return float(model.weight.detach())


def pictures() -> Supervised:
    with seeded(3):
        inputs = torch.randn(96, 8)
    split = inputs, (inputs[:, 0] > 0).long()
    return Supervised(train=split, validation=split, batch_size=8)


def weights(training: Training, *more: nn.Module) -> Tensor:
    with seeded(0):
        model = nn.Sequential(nn.Linear(8, 6), *more, nn.ReLU(), nn.Linear(6, 2))
        train(model, pictures(), training)
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def test_weights_are_averaged_by_hand():
    """One worker: 1 → 0.9 → 0.81 on y = 0; the other: 1 → 1.1 → 1.19 on y = 2. Their mean is 1."""
    assert learnt(LocalSGD(2, every=2), 4, 0.0, 0.0, 2.0, 2.0) == pytest.approx(1.0)
    assert learnt(LocalSGD(2, every=2), 4, 0.0, 0.0, 0.0, 2.0) == pytest.approx(
        (0.81 + (0.9 + 0.1 * 1.1)) / 2
    )


def test_a_last_part_that_is_shorter_counts_less_by_hand():
    """Three steps: 1 → 0.81 in two, and 1 → 1.1 in one: (2 · 0.81 + 1.1) / 3."""
    found = learnt(LocalSGD(2, every=2), 3, 0.0, 0.0, 2.0)
    assert found == pytest.approx((2 * 0.81 + 1.1) / 3)


def test_a_first_part_averages_after_each_step_by_hand():
    """After half of four steps: (0.9 + 1.1) / 2 = 1, then two steps of one worker: 0.81."""
    assert learnt(LocalSGD(2, every=2, after=0.5), 4, 0.0, 2.0, 0.0, 0.0) == pytest.approx(0.81)


def test_the_centre_and_a_worker_move_towards_each_other_by_hand():
    """One worker goes from 1 to 0.9; both move half of the way: 0.95. Then from 0.95 to 0.855; the
    way to the centre is -0.095, half of which moves it to 0.9025."""
    assert learnt(ElasticAveraging(1, every=1, pull=0.5), 1, 0.0) == pytest.approx(0.95)
    assert learnt(ElasticAveraging(1, every=1, pull=0.5), 2, 0.0) == pytest.approx(0.9025)


@pytest.mark.parametrize("optimizer", [SGD(0.1), AdamW(1e-2)], ids=repr)
def test_one_worker_by_itself_learns_what_one_process_does(optimizer):
    expected = weights(Training(24, optimizer))
    assert torch.equal(weights(Training(24, optimizer, workers=LocalSGD(1, every=4))), expected)


def test_averages_after_each_step_are_those_of_gradients():
    training = Training(24, SGD(0.1, momentum=0.0), Constant(0.0))
    expected = Training(
        *(24, training.optimizer, training.schedule),
        workers=SimulatedSynchronous(StepTimes.equal(3)),
    )
    found = Training(24, training.optimizer, training.schedule, workers=LocalSGD(3, every=1))
    assert torch.allclose(weights(found), weights(expected), atol=1e-5)


class Sleeps(nn.Module):
    """A layer that takes its time."""

    def forward(self, x):
        time.sleep(0.01)
        return x


@pytest.mark.parametrize("workers", [LocalSGD(2, every=4), ElasticAveraging(2, every=4)], ids=repr)
def test_workers_by_themselves_that_are_killed_are_replaced(workers):
    def kill() -> None:
        time.sleep(0.3)
        own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        os.kill(int(own[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.warns(LostWorkerWarning, match="signal 9"):
        found = weights(Training(100, SGD(0.1, momentum=0.0), workers=workers), Sleeps())
    killer.join()
    if isinstance(workers, LocalSGD):  # without momentum there is nothing to lose
        training = Training(100, SGD(0.1, momentum=0.0), workers=workers)
        assert torch.equal(found, weights(training, Sleeps()))


@pytest.mark.parametrize("workers", [LocalSGD(2), ElasticAveraging(2)], ids=repr)
def test_workers_by_themselves_that_diverge_say_so(workers):
    with pytest.raises(DivergedError, match="learning rate"):
        weights(Training(64, SGD(1e30, momentum=0.0), workers=workers))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: LocalSGD(0), "0 workers"),
        (lambda: LocalSGD(2, every=0), "every 0 steps"),
        (lambda: LocalSGD(2, after=1.5), "after 1.5"),
        (lambda: ElasticAveraging(2, pull=0), "pull of 0"),
        (lambda: ElasticAveraging(2, every=True), "every True steps"),
    ],
)
def test_numbers_out_of_range_of_workers_by_themselves(wrong, words: str):
    with pytest.raises(ValueError, match=words):
        wrong()
