"""Programs of which each keeps a part of the weights: beside those that keep all of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import seeded
from shoestring.kit import (
    SGD,
    Supervised,
    Training,
    resuming,
    train,
)
from shoestring.kit.training.steps import Steps
from shoestring.kit.weights.parameters import parameters_of
from shoestring.parallel import AllReduced, Sharded, WorkersError
from shoestring.parallel.programs import Programs
from shoestring.parallel.sharding import Shards

BEGINS = """
import os, sys
from test_sharded_programs import *
from shoestring.kit import Adagrad, AdamW, Clipped, Mixed
rank = int(os.environ["RANK"])
folder = os.environ["FOLDER"]
"""


def pictures(size: int = 8) -> Supervised:
    with seeded(3):
        inputs = torch.randn(96, size)
    split = inputs, (inputs[:, 0] > 0).long()
    return Supervised(train=split, validation=split, batch_size=8)


def plain() -> nn.Module:
    """The odd layers have a first axis that two programs cannot halve, or none at all to share."""
    return nn.Sequential(
        nn.Linear(8, 7),
        nn.BatchNorm1d(7),
        nn.ReLU(),
        nn.Linear(7, 1),
        nn.Linear(1, 6),
        nn.Linear(6, 2),
    )


class Attention(nn.Module):
    """A layer of torch that reads the weights within it, one without gradient, and a frozen one."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(4, 2))
        self.attention = nn.MultiheadAttention(2, 1, batch_first=True)
        self.memory = nn.LSTM(2, 3, batch_first=True)
        self.unused = nn.Linear(5, 5)
        self.frozen = nn.Linear(12, 4).requires_grad_(False)
        self.out = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.reshape(-1, 4, 2) + self.shift
        x, _ = self.attention(x, x, x, need_weights=False)
        x += 1.0  # in place, on what may be a view
        return self.out(self.frozen(self.memory(x)[0].flatten(1)).relu())


class Tied(nn.Module):
    """The last layer has the weights of the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu())[:, :2]


class Borrows(Tied):
    """It reads the weights of a layer that it does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.first(x), self.first.weight)[:, :2]


class Dropping(nn.Module):
    """A layer is left out at random, as in stochastic depth: programs differ in what they call."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.out = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layers[int(torch.rand(()) < 0.5)](x))


def trained(make, workers, training: Training | None = None, seed: int = 0, before=None):
    with seeded(seed):
        model = make()
        settings = training or Training(21, SGD(0.1))
        object.__setattr__(settings, "workers", workers)
        return train(model, pictures(), settings, before_step=before)


def found(model: nn.Module) -> list[Tensor]:
    every = (*model.parameters(), *model.buffers())
    return [one.detach() for one in every if one.is_floating_point()]


def same(make, training: Training, blocks: tuple[type[nn.Module], ...] = ()) -> None:
    """Sharded weights come to what whole ones do, in a module that is as it was."""
    expected = trained(make, AllReduced(patience=60), training)
    model = trained(make, Sharded(blocks, patience=60), training)
    assert [*map(type, model.modules())] == [*map(type, expected.modules())]
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in expected.named_parameters()]
    for p, one in zip(found(model), found(expected), strict=True):
        assert torch.allclose(p, one, rtol=1e-5, atol=1e-6), training
    assert not any(p.requires_grad and p.grad is not None for p in model.parameters())


def programs(does: str, folder: Path, count: int = 2, only: tuple[int, ...] = ()):
    """Run programs that train together; their exit statuses and what they printed."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error::UserWarning", "-c", BEGINS + does],
            env={**os.environ, **shared, "RANK": str(rank), "FOLDER": str(folder)},
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in only or range(count)
    ]
    told = [one.communicate(timeout=100)[0] for one in running]
    return [one.returncode for one in running], told


@pytest.mark.slow  # the next one has the promise, with one optimizer
def test_sharded_weights_come_to_what_whole_ones_do(tmp_path: Path):
    """With each optimizer, clipping, mixed precision, and layers that two cannot halve."""
    does = """
for optimizer in (SGD(0.1), AdamW(0.01), Adagrad(0.05)): same(plain, Training(21, optimizer))
same(plain, Training(20, SGD(0.1), clipping=Clipped(0.1)))
same(plain, Training(10, SGD(0.01), precision=Mixed()))
same(Attention, Training(21, SGD(0.1)))
same(Tied, Training(20, AdamW(0.01)), (Tied,))
same(Borrows, Training(9, SGD(0.01)), (Tied,))
model = trained(plain, Sharded(patience=60))
with seeded(1): train(model, pictures(), Training(4, SGD(0.1), workers=Sharded(patience=60)))
torch.save(found(model), folder + f"/{rank}.pt")
"""
    statuses, told = programs(does, tmp_path)
    assert statuses == [0, 0], told
    one, other = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(map(torch.equal, one, other))


def held(steps: Steps) -> int:
    """The bytes of weights and of what the optimizer has for them."""
    states = [one for state in steps.optimizer.state.values() for one in state.values()]
    return sum(one.nbytes for one in (*steps.singles, *states) if one.ndim)


def test_a_program_holds_its_half_and_sends_what_can_be_counted(tmp_path: Path):
    """Weights are gathered for each of two directions, and their gradients reduced once."""
    does = """
from shoestring.core.spending import counting
def wide(): return nn.Sequential(nn.Linear(8, 64), nn.Linear(64, 64), nn.Linear(64, 2))
def made(workers):
    with seeded(0):
        model = wide()
        steps = workers.steps_of(model, pictures(), Training(2, AdamW(0.01), workers=workers))
        batches = iter(pictures().batches("train"))
        for number in range(2):
            loss = steps.backward(next(batches))
            steps.step(number, 2)
    bytes = held(steps)
    with counting() as spending: steps.end()
    return loss, bytes, spending.cost(), model
loss, whole, cost, model = made(AllReduced(patience=60))
other, half, sharded_cost, sharded = made(Sharded(patience=60))
assert abs(loss - other) < 1e-5
apart = max(float((a - b).abs().max()) for a, b in zip(found(model), found(sharded)))
assert apart < 1e-5, apart
weights = sum(p.nbytes for p in model.parameters())
assert whole == 3 * weights and 2 * half == whole, (whole, half, weights)
assert sharded_cost.communicated_bytes == 3 * weights // 2, sharded_cost
assert sharded_cost.training_operations is None
try: trained(wide, Sharded(patience=60), before=print)
except ValueError as error: print(error)
trained(wide, AllReduced(patience=60))
for make in (Borrows, Dropping):
    try: trained(make, Sharded(patience=60))
    except ValueError as error: print(error)
try: trained(wide, Sharded(patience=60), seed=rank)
except ValueError as error: print(error)
"""
    statuses, told = programs(does, tmp_path)
    assert statuses == [0, 0], told
    for one in told:
        assert "changes the model between the steps" in one
        assert "a weight was used that is not gathered" in one
        assert "the calls of layers of program 1 in the round of step" in one
        assert "the weights of program 1 are not those of program 0" in one


def test_a_program_that_is_lost_ends_the_others(tmp_path: Path):
    does = """
class Dies(nn.Linear):
    calls = 0
    def forward(self, x):
        self.calls += 1
        if self.calls == 4 and rank == 1: os._exit(9)
        return super().forward(x)
try: trained(lambda: nn.Sequential(Dies(8, 4), nn.Linear(4, 2)), Sharded(patience=10))
except WorkersError as error:
    print(error)
    sys.exit(7)
"""
    began = time.monotonic()
    statuses, told = programs(does, tmp_path)
    assert statuses == [7, 9], told
    assert "another program of the 2 is lost" in told[0]
    assert time.monotonic() - began < 90


def masked() -> nn.Module:
    model = plain()
    weight = parameters_of(model).of(next(model.children()))
    assert weight is not None
    weight.prune(weight.raw > 0)
    return model


def scalar() -> nn.Module:
    model = plain()
    model.register_parameter("height", nn.Parameter(torch.ones(())))
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (masked, "0.*weight.* are computed from other numbers"),
        (scalar, "height are single numbers"),
        (lambda: plain().bfloat16(), "torch.bfloat16 are the types"),
        (lambda: plain().to("meta"), "meta"),
        (Tied, "first.weight and last.weight are one weight in several layers"),
    ],
)
def test_weights_that_cannot_be_sharded_are_named(make, words: str):
    with pytest.raises(ValueError, match=words):
        Shards(make(), (), Programs(0, 2))


def test_a_training_that_is_to_be_resumed(tmp_path: Path):
    with resuming(tmp_path), pytest.raises(ValueError, match="keeps no snapshots"):
        trained(plain, Sharded())


def test_a_program_in_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(WorkersError, match="torchrun"):
        trained(plain, Sharded())


def test_settings_out_of_range():
    with pytest.raises(ValueError, match="seconds above 0"):
        Sharded(patience=0)
    with pytest.raises(TypeError, match="classes of modules"):
        Sharded((nn.Linear(1, 1),))  # type: ignore[arg-type]
