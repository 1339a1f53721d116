"""Programs that train together: beside simulated workers, and what ends them."""

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
from shoestring.kit import SGD, Supervised, Training, train
from shoestring.parallel import AllReduced, EightBits, SimulatedSynchronous, StepTimes, WorkersError

BEGINS = """
import os, sys, torch
from test_all_reduced import *
from shoestring.kit import resuming
from shoestring.kit.training import resume
resume.EVERY, resume._SECONDS = 1, 0.0
rank = int(os.environ["RANK"])
"""


def pictures() -> Supervised:
    with seeded(3):
        inputs = torch.randn(96, 8)
    split = inputs, (inputs[:, 0] > 0).long()
    return Supervised(train=split, validation=split, batch_size=8)


def trained(workers, seed: int = 0, steps: int = 21, before=None) -> nn.Module:
    with seeded(seed):
        model = nn.Sequential(
            nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.0), nn.Linear(6, 2)
        )
        return train(
            model, pictures(), Training(steps, SGD(0.1), workers=workers), before_step=before
        )


def flat(model: nn.Module) -> Tensor:
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def programs(does: str, count: int = 2, only: tuple[int, ...] = (), port: int | None = None):
    """Run programs that train together; their exit statuses and what they printed."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = port or one.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", BEGINS + does],
            env={**os.environ, **shared, "RANK": str(rank)},
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in only or range(count)
    ]
    told = [one.communicate(timeout=100)[0] for one in running]
    return [one.returncode for one in running], told


def test_programs_learn_what_simulated_workers_do_and_go_on_after_a_kill(tmp_path: Path):
    """The batch norms of both hold the mean of what they saw; all ends are clean."""
    does = f"""
folder = {str(tmp_path)!r}
def stop(step):
    if step == 12: raise KeyboardInterrupt
try:
    with resuming(folder): trained(AllReduced(patience=60), before=stop)
except KeyboardInterrupt: pass
def late(step):
    assert step >= 12, step
with resuming(folder): model = trained(AllReduced(patience=60), before=late)
torch.save((flat(model), model[1].running_mean), folder + f"/{{rank}}.pt")
coded = flat(trained(AllReduced(EightBits(), patience=60)))
torch.save(coded, folder + f"/coded{{rank}}.pt")
"""
    statuses, told = programs(does)
    assert statuses == [0, 0], told
    (found, mean), (other, other_mean) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert torch.equal(found, other) and torch.equal(mean, other_mean)
    expected = flat(trained(SimulatedSynchronous(StepTimes.equal(2))))
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)
    found, other = (torch.load(tmp_path / f"coded{rank}.pt") for rank in (0, 1))
    assert torch.equal(found, other)
    simulated = SimulatedSynchronous(StepTimes.equal(2), exchange=EightBits())
    assert torch.allclose(found, flat(trained(simulated)), rtol=1e-5, atol=1e-6)


def test_a_program_that_is_lost_ends_the_others():
    does = """
def die(step):
    if step == 5 and rank == 1: os._exit(9)
try: trained(AllReduced(patience=10), before=die)
except WorkersError as error:
    print(error)
    sys.exit(7)
"""
    began = time.monotonic()
    statuses, told = programs(does)
    assert statuses == [7, 9]
    assert "another program of the 2 is lost" in told[0]
    assert time.monotonic() - began < 90


def test_programs_that_differ_say_in_what():
    does = """
try: trained(AllReduced(patience=60), seed=rank)
except ValueError as error: print(error)
"""
    statuses, told = programs(does)
    assert statuses == [0, 0]
    assert all("the weights of program 1 are not those of program 0" in one for one in told)


def test_a_program_whose_others_do_not_come():
    does = """
try: trained(AllReduced(patience=2))
except WorkersError as error: print(error)
"""
    statuses, told = programs(does, only=(1,), port=9)
    assert statuses == [0]
    assert "could not join the others within 2 s at 127.0.0.1:9" in told[0]


def test_a_program_in_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(WorkersError, match="torchrun"):
        trained(AllReduced())


def test_a_patience_of_nothing():
    with pytest.raises(ValueError, match="seconds above 0"):
        AllReduced(patience=0)
