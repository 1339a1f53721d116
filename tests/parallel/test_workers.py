"""Worker processes: what they learn beside simulated ones, and what becomes of those that fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.core.spending import counting
from shoestring.kit import (
    SGD,
    AdamW,
    Clipped,
    Constant,
    DivergedError,
    Ramp,
    Supervised,
    Training,
    resuming,
    train,
)
from shoestring.kit.training import resume
from shoestring.parallel import (
    AdaptivelyCompensated,
    Asynchronous,
    BFloat16Gradients,
    ByStaleness,
    DelayCompensated,
    EightBits,
    LostWorkerWarning,
    SimulatedAsynchronous,
    SimulatedSynchronous,
    SinglePrecision,
    StepTimes,
    Synchronous,
    TopK,
    WorkersError,
    WorkersWarning,
    serving,
)
from shoestring.prune import Magnitude


def pictures(**settings) -> Supervised:
    with seeded(3):
        inputs = torch.randn(96, 8)
    split = inputs, (inputs[:, 0] > 0).long()
    return Supervised(train=split, validation=split, batch_size=8, **settings)


def net(*more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 6), *more, nn.ReLU(), nn.Linear(6, 2))


def trained(training: Training, *more: nn.Module, task: Supervised | None = None) -> nn.Module:
    with seeded(0):
        return train(net(*more), task or pictures(), training)


def weights(training: Training, *more: nn.Module, task: Supervised | None = None) -> Tensor:
    model = trained(training, *more, task=task)
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def children() -> list[int]:
    """The processes that this one has."""
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return [int(one) for one in own.split()]


@pytest.mark.parametrize(
    "optimizer", [SGD(0.1, momentum=0.9), AdamW(1e-2, weight_decay=0.01)], ids=repr
)
@pytest.mark.parametrize("count", [1, 3])
def test_workers_that_wait_learn_what_simulated_ones_do(count: int, optimizer):
    """Bit for bit: the same batches, and sums in the same order; 20 steps are not a whole round."""
    training = Training(20, optimizer, clipping=Clipped(0.5))
    simulated = SimulatedSynchronous(StepTimes.equal(count))
    expected = weights(Training(20, optimizer, clipping=Clipped(0.5), workers=simulated))
    found = weights(Training(20, optimizer, clipping=training.clipping, workers=Synchronous(count)))
    assert torch.equal(found, expected)
    assert not children()


@pytest.mark.parametrize(
    "late", [ByStaleness(), DelayCompensated(), AdaptivelyCompensated()], ids=repr
)
def test_one_worker_that_does_not_wait_learns_what_one_process_does(late):
    expected = weights(Training(20, SGD(0.1)))
    found = weights(Training(20, SGD(0.1), workers=Asynchronous(1, late)))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("exchange", [EightBits(), BFloat16Gradients()], ids=repr)
def test_gradients_of_fewer_bits_are_those_of_simulated_workers(exchange):
    """One worker, so that there is one sum."""
    simulated = SimulatedAsynchronous(StepTimes.equal(1), exchange=exchange)
    expected = weights(Training(20, SGD(0.1), workers=simulated))
    found = weights(Training(20, SGD(0.1), workers=Asynchronous(1, exchange=exchange)))
    assert torch.equal(found, expected)
    assert not torch.equal(found, weights(Training(20, SGD(0.1))))


def test_what_was_not_sent_is_kept_where_a_worker_is_made_anew():
    """A worker is made anew each ten steps where something may change between them."""
    workers = Asynchronous(1, exchange=TopK(share=0.1))
    expected = weights(Training(35, SGD(0.1), workers=workers))
    with seeded(0):
        training = Training(35, SGD(0.1), workers=workers)
        model = train(net(), pictures(), training, before_step=lambda step: None)
    assert torch.equal(torch.cat([one.flatten() for one in model.parameters()]), expected)


def test_few_bits_take_few_bytes():
    def sent(exchange) -> float:
        with counting() as spending:
            weights(Training(20, SGD(0.1), workers=Synchronous(2, exchange=exchange)))
        return spending.cost().communicated_bytes or 0

    weights_in_bytes = 20 * 4 * sum(one.numel() for one in net().parameters())
    saved = sent(SinglePrecision()) - sent(EightBits())
    assert saved == pytest.approx(0.75 * weights_in_bytes, rel=0.1)


def test_each_batch_is_used_once_by_workers_that_do_not_wait():
    """With a rate near 0 the weights are the first ones less the sum of all gradients."""
    with seeded(3):
        inputs = torch.randn(96, 8, dtype=torch.float64)
    split = inputs, (inputs[:, 0] > 0).long()
    task = Supervised(train=split, validation=split, batch_size=8)

    def moved(workers) -> Tensor:
        with seeded(0):
            model = net().double()
            first = [one.detach().clone() for one in model.parameters()]
            optimizer = SGD(1e-7, momentum=0.0)
            train(model, task, Training(24, optimizer, Constant(0.0), workers=workers))
        pairs = zip(model.parameters(), first, strict=True)
        return torch.cat([(one - before).detach().flatten() for one, before in pairs])

    expected = moved(None)
    assert torch.allclose(moved(Asynchronous(3)), expected, rtol=1e-4, atol=1e-4 * expected.std())


def test_a_gradient_is_late_where_others_hand_in_first(monkeypatch):
    lateness = []
    plain = ByStaleness.rate
    monkeypatch.setattr(
        ByStaleness, "rate", lambda self, steps: lateness.append(steps) or plain(self, steps)
    )
    weights(Training(30, SGD(0.1), workers=Asynchronous(3, ByStaleness(), slower=(1, 1, 20.0))))
    assert max(lateness) > 2
    assert sum(lateness) / 30 == pytest.approx(2, abs=0.6)  # on the average, the other workers


def test_a_slow_worker_holds_up_those_who_wait_for_it():
    def seconds(workers) -> float:
        began = time.monotonic()
        weights(Training(24, SGD(0.1), workers=workers), Sleeps())
        return time.monotonic() - began

    waiting = seconds(Synchronous(2, slower=(1, 10.0)))
    assert seconds(Asynchronous(2, slower=(1, 10.0))) < 0.6 * waiting
    assert seconds(Synchronous(2, backups=1, slower=(1, 10.0))) < 0.6 * waiting


class Sleeps(nn.Module):
    """A layer that takes its time."""

    def forward(self, x):
        time.sleep(0.01)
        return x


@pytest.mark.parametrize("kind", [Synchronous, Asynchronous])
def test_workers_that_are_killed_are_replaced(kind):
    """Where workers wait the result is the same bit for bit; else every step is made."""
    training = Training(60, SGD(0.1, momentum=0.0))
    steps: list[int] = []

    def kill() -> None:
        for wait in range(6):
            time.sleep(0.05 + 0.01 * wait)
            for one in children()[:1]:
                os.kill(one, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        killer.start()
        with seeded(0):
            model = train(
                net(Sleeps()),
                pictures(),
                Training(60, training.optimizer, workers=kind(2)),
                before_step=steps.append,
            )
        killer.join()
    lost = [one for one in said if issubclass(one.category, LostWorkerWarning)]
    assert lost and "signal 9" in str(lost[0].message)
    assert steps == list(range(60))
    assert not children()
    if kind is Synchronous:
        simulated = SimulatedSynchronous(StepTimes.equal(2))
        expected = weights(Training(60, training.optimizer, workers=simulated), Sleeps())
        found = torch.cat([one.detach().flatten() for one in model.parameters()])
        assert torch.equal(found, expected)


def test_a_worker_that_hangs_is_replaced():
    def stop() -> None:
        time.sleep(0.2)
        os.kill(children()[0], signal.SIGSTOP)

    stopper = threading.Thread(target=stop)
    stopper.start()
    workers = Synchronous(2, patience=1.0)
    with pytest.warns(LostWorkerWarning, match="did not answer for 1 s"):
        found = weights(Training(60, SGD(0.1), workers=workers), Sleeps())
    stopper.join()
    simulated = SimulatedSynchronous(StepTimes.equal(2))
    assert torch.equal(found, weights(Training(60, SGD(0.1), workers=simulated)))
    assert not children()


@pytest.mark.parametrize(
    "wrong",
    [
        ({"ticket": 3, "loss": 0.5, "missing": [], "buffers": []}, b"123"),
        ({"ticket": 99, "loss": 0.5, "missing": [], "buffers": []}, bytes(4 * 68)),
        ({"ticket": 3, "loss": "low", "missing": [], "buffers": []}, bytes(4 * 68)),
        ({"ticket": 3, "loss": 0.5, "missing": [0, 0], "buffers": []}, bytes(4 * 68)),
        ({"ticket": 3, "loss": 0.5, "missing": [9], "buffers": []}, bytes(4 * 68)),
        ({"ticket": 3, "loss": 0.5, "missing": [], "buffers": [-1]}, bytes(4 * 68)),
        ({"ticket": 3}, bytes(10**6)),
    ],
    ids=["short", "other ticket", "loss", "twice", "beyond", "below", "long"],
)
def test_what_no_worker_sends_is_refused(wrong, monkeypatch, tmp_path: Path):
    plain = serving.Served._answer

    def answer(self, ticket, weights, place):
        right = plain(self, ticket, weights, place)
        try:
            (tmp_path / "once").mkdir()
        except FileExistsError:
            return right
        return wrong

    monkeypatch.setattr(serving.Served, "_answer", lambda self, ticket, weights, place: (
        answer(self, ticket, weights, place) if ticket == 3 else plain(self, ticket, weights, place)
    ))  # fmt: skip
    with pytest.warns(LostWorkerWarning, match="sent what no worker sends"):
        found = weights(Training(12, SGD(0.1), workers=Synchronous(2)))
    simulated = SimulatedSynchronous(StepTimes.equal(2))
    assert torch.equal(found, weights(Training(12, SGD(0.1), workers=simulated)))


class Broken(nn.Module):
    def __init__(self, ends: bool) -> None:
        super().__init__()
        self.ends = ends

    def forward(self, x):
        if self.ends:
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError("nothing of this name")


def test_an_error_of_the_model_is_told():
    with pytest.raises(WorkersError, match="nothing of this name"):
        weights(Training(12, SGD(0.1), workers=Synchronous(2)), Broken(ends=False))
    assert not children()


@pytest.mark.filterwarnings("ignore::shoestring.parallel.LostWorkerWarning")
def test_workers_that_never_come_to_a_gradient_are_an_error():
    with pytest.raises(WorkersError, match="too little memory for 2 copies"):
        weights(Training(12, SGD(0.1), workers=Asynchronous(2)), Broken(ends=True))
    assert not children()


@pytest.mark.parametrize("workers", [Synchronous(2), Asynchronous(2)], ids=repr)
def test_a_training_that_diverges_says_where(workers):
    with pytest.raises(DivergedError, match="learning rate"):
        weights(Training(200, SGD(1e30, momentum=0.0), workers=workers))
    assert not children()


@pytest.mark.parametrize("workers", [Synchronous(3), Asynchronous(1)], ids=repr)
def test_a_training_goes_on_where_it_was_killed(workers, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(resume, "EVERY", 1)
    monkeypatch.setattr(resume, "_SECONDS", 0.0)
    training = Training(20, SGD(0.1), workers=workers)

    def interrupt(step: int) -> None:
        if step == 10:
            raise KeyboardInterrupt

    with seeded(0), pytest.raises(KeyboardInterrupt), resuming(tmp_path):
        train(net(), pictures(), training, before_step=interrupt)
    assert not children()
    with resuming(tmp_path):
        found = weights(training)
    assert torch.equal(found, weights(training))


def test_a_technique_that_changes_weights_while_it_trains_has_workers():
    """Masks that grow between rounds are in the workers: the result is that of simulated ones."""
    ramp = Ramp(0.5, rounds=5)  # in each second step, where rounds begin too

    def pruned(workers) -> nn.Module:
        training = Training(20, SGD(0.1), workers=workers)
        with seeded(0):
            return Magnitude(density=0.5, training=training, ramp=ramp)(net(), pictures())

    found, expected = pruned(Synchronous(2)), pruned(SimulatedSynchronous(StepTimes.equal(2)))
    for one, other in zip(found.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, other)


def test_moving_averages_of_batch_norms_come_back():
    """The mean of the workers', which saw half of the batches each."""
    alone = trained(Training(40, SGD(1e-6)), nn.BatchNorm1d(6))[1]
    found = trained(Training(40, SGD(1e-6), workers=Synchronous(2)), nn.BatchNorm1d(6))[1]
    assert isinstance(alone, nn.BatchNorm1d) and isinstance(found, nn.BatchNorm1d)
    assert found.running_mean is not None and alone.running_mean is not None
    assert found.num_batches_tracked == 20
    assert torch.allclose(found.running_mean, alone.running_mean, atol=0.1)
    assert not torch.equal(found.running_mean, torch.zeros(6))


class Remembering(nn.Module):
    """A layer with a buffer that is assigned anew, and one that there is not at the beginning."""

    def __init__(self, *, late: bool) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("first", None)
        self.late, self.calls = late, 0

    def forward(self, x):
        self.seen = self.seen + 1
        if self.late:
            self.calls += 1
            self.first = x.mean(0) if self.first is None else self.first
        return x


def test_buffers_that_are_assigned_anew_come_back():
    model = trained(Training(20, SGD(0.1), workers=Synchronous(2)), Remembering(late=False))
    assert float(model[1].seen) == 10  # the mean of what each of two workers saw


def test_what_is_lost_with_a_worker_is_named():
    with pytest.warns(WorkersWarning, match=r"1\.calls, 1\.first"):
        trained(Training(4, SGD(0.1), workers=Synchronous(2)), Remembering(late=True))


def test_a_task_that_remembers_is_named():
    class Counting(Supervised):
        def loss(self, model, batch):
            object.__setattr__(self, "calls", getattr(self, "calls", 0) + 1)
            return super().loss(model, batch)

    split = torch.randn(32, 8), torch.zeros(32, dtype=torch.int64)
    task = Counting(train=split, validation=split, batch_size=8)
    with pytest.warns(WorkersWarning, match=r"Counting\.calls"):
        trained(Training(4, SGD(0.1), workers=Synchronous(2)), task=task)


def test_batches_that_copies_of_a_process_share_are_noticed(tmp_path: Path):
    """An open file has one place for all of them."""
    data = torch.randn(2000, 8).numpy()
    (tmp_path / "data").write_bytes(data.tobytes())

    class Read(Supervised):
        def batches(self, split, *, model=None):
            file.seek(0)
            while part := file.read(8 * 8 * 4):
                inputs = torch.frombuffer(bytearray(part), dtype=torch.float32).reshape(-1, 8)
                yield (inputs,), torch.zeros(len(inputs), dtype=torch.int64)

    split = torch.from_numpy(data), torch.zeros(2000, dtype=torch.int64)
    with (tmp_path / "data").open("rb", buffering=0) as file:
        task = Read(train=split, validation=split, batch_size=8)
        with pytest.warns(WorkersWarning, match="an open file"):
            trained(Training(8, SGD(0.1), workers=Synchronous(2)), task=task)


@pytest.mark.parametrize("how", ["in place", "through data"])
def test_what_is_frozen_and_changed_between_steps_is_seen_at_once(how: str):
    def changed(workers) -> Tensor:
        with seeded(0):
            model = net()
            frozen = model[2].weight.requires_grad_(False)

            def halve(step: int) -> None:
                if step == 5:
                    with torch.no_grad():
                        (frozen if how == "in place" else frozen.data).mul_(0.5)

            train(model, pictures(), Training(9, SGD(0.1), workers=workers), before_step=halve)
        return torch.cat([one.detach().flatten() for one in model.parameters()])

    assert torch.equal(changed(Synchronous(1)), changed(None))


def test_dropout_is_the_same_in_two_runs_and_differs_between_batches():
    training = Training(20, SGD(0.1), workers=Synchronous(2))
    assert torch.equal(weights(training, nn.Dropout(0.5)), weights(training, nn.Dropout(0.5)))


def test_a_parameter_without_a_gradient_stays():
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(8, 2), nn.Linear(8, 2)

        def forward(self, x):
            return self.used(x)

    for workers in (Synchronous(2), Asynchronous(2)):
        with seeded(0):
            model = Partly()
            before = model.unused.weight.detach().clone(), model.used.weight.detach().clone()
            train(model, pictures(), Training(6, SGD(0.1), workers=workers))
        assert torch.equal(model.unused.weight, before[0])
        assert not torch.equal(model.used.weight, before[1])


def test_batches_of_a_loader_with_processes():
    with seeded(3):
        inputs = torch.randn(96, 8)
    data = torch.utils.data.TensorDataset(inputs, (inputs[:, 0] > 0).long())

    def loaded() -> Supervised:
        loader = torch.utils.data.DataLoader(data, 8, shuffle=True, num_workers=1)
        return Supervised.from_loaders(loader, loader)

    simulated = SimulatedSynchronous(StepTimes.equal(2))
    expected = weights(Training(15, SGD(0.1), workers=simulated), task=loaded())
    found = weights(Training(15, SGD(0.1), workers=Synchronous(2)), task=loaded())
    assert torch.equal(found, expected)


def test_operations_and_bytes_are_counted():
    def cost(workers):
        with counting() as spending:
            weights(Training(20, SGD(0.1), workers=workers))
        return spending.cost()

    alone, served = cost(None), cost(Synchronous(2))
    assert alone.training_operations == served.training_operations
    weights_in_bytes = 4 * sum(one.numel() for one in net().parameters())
    assert alone.communicated_bytes is None
    assert 2 * 20 * weights_in_bytes < served.communicated_bytes < 3.5 * 20 * weights_in_bytes


def test_workers_end_with_a_program_that_is_killed():
    program = (
        "from test_workers import *\n"
        "def tell(step):\n"
        "    if step == 5: print(*children(), flush=True)\n"
        "training = Training(100_000, SGD(0.1), workers=Asynchronous(2))\n"
        "train(net(Sleeps()), pictures(), training, before_step=tell)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as running:
        assert running.stdout is not None
        workers = [int(one) for one in running.stdout.readline().split()]
        running.kill()
    assert len(workers) == 2
    until = time.monotonic() + 10
    while any(Path(f"/proc/{one}").exists() for one in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{one}").exists() for one in workers)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Synchronous(0), "0 workers"),
        (lambda: Asynchronous(True), "True workers"),
        (lambda: Synchronous(2, backups=2), "fewer than the workers"),
        (lambda: Synchronous(2, patience=0), "patience"),
        (lambda: Asynchronous(1, slower=(1, 2)), "2 slow workers of 1"),
        (lambda: Asynchronous(1, slower=(0.5,)), "0.5 times as long"),
    ],
)
def test_numbers_out_of_range_of_processes(wrong, words: str):
    with pytest.raises(ValueError, match=words):
        wrong()


def test_half_precision_has_no_worker_processes():
    with pytest.raises(ValueError, match=r"train model\.float"):
        train(net().bfloat16(), pictures(), Training(4, SGD(0.1), workers=Synchronous(2)))
