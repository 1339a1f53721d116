"""Workers that join over the network: what they make, and who is not let in."""

from __future__ import annotations

import re
import socket
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
from shoestring.kit import SGD, Constant, Supervised, Training, train
from shoestring.parallel import (
    Asynchronous,
    EightBits,
    Listening,
    LostWorkerWarning,
    SinglePrecision,
    WorkersError,
    join,
    joining,
    serving,
)
from shoestring.parallel.joining import Door, marks_of, split_address

KEY = "a key that both know"
OTHER = "another key than that"
CODED = EightBits()


def points(seed: int = 3) -> Supervised:
    with seeded(seed):
        inputs = torch.randn(96, 8, dtype=torch.float64)
    split = inputs, (inputs[:, 0] > 0).long()
    return Supervised(train=split, validation=split, batch_size=8)


class Slowly(nn.ReLU):
    """It takes its time, so that there is something to do for who joins."""

    def forward(self, input):
        time.sleep(0.03)
        return super().forward(input)


def net(hidden: int = 6) -> nn.Module:
    with seeded(0):
        layers = nn.Linear(8, hidden), Slowly(), nn.Linear(hidden, 2)
        return nn.Sequential(*layers).double()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def moved(workers, steps: int = 48) -> Tensor:
    """How far the weights went, at a rate at which they hardly change: the sum of gradients."""
    model = net()
    first = [one.detach().clone() for one in model.parameters()]
    optimizer = SGD(1e-7, momentum=0.0)
    with seeded(5):
        train(model, points(), Training(steps, optimizer, Constant(0.0), workers=workers))
    pairs = zip(model.parameters(), first, strict=True)
    return torch.cat([(one - other).detach().flatten() for one, other in pairs])


def helper(port: int, does: str = "print(join(address, KEY, net(), points()), flush=True)"):
    program = f"from test_joining import *\naddress = '127.0.0.1:{port}'\n{does}\n"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def slow_workers(port: int) -> Asynchronous:
    """One worker here that takes many times as long: others can come."""
    return Asynchronous(1, slower=(8.0,), listening=Listening(f"127.0.0.1:{port}", KEY))


@pytest.fixture
def waits(monkeypatch):
    """Trainings wait for the first who joins, so that tests need not sleep."""
    plain = serving.Served.welcome

    def welcome(self) -> None:
        until = time.monotonic() + 60
        while not any(place >= 1 for place in self.crew.idle()) and self.drawn == 1:
            plain(self)
            assert time.monotonic() < until, "nobody came"
            time.sleep(0.01)
        plain(self)

    monkeypatch.setattr(serving.Served, "welcome", welcome)


def test_a_worker_of_another_program_makes_its_share_and_each_batch_is_used_once(waits):
    port = free_port()
    with helper(port) as other:
        found = moved(slow_workers(port))
        told = other.communicate(timeout=60)[0]
    assert other.returncode == 0, told
    assert 5 < int(told) < 48
    expected = moved(None)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


def test_a_worker_of_another_program_that_is_killed_leaves_its_batch_to_others(waits):
    port = free_port()
    does = (
        "import os, shoestring.parallel.serving as serving\n"
        "plain, made = serving.Served._answer, []\n"
        "def answer(*given):\n"
        "    made.append(0)\n"
        "    if len(made) > 5: os._exit(9)\n"
        "    return plain(*given)\n"
        "serving.Served._answer = answer\n"
        "join(address, KEY, net(), points())"
    )
    with (
        helper(port, does) as other,
        pytest.warns(LostWorkerWarning, match="its batch is made by another"),
    ):
        found = moved(slow_workers(port))
    assert other.returncode == 9
    expected = moved(None)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.std()))


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("join(address, OTHER, net(), points())", "has another key"),
        ("join(address, KEY, net(7), points())", "parameters: .* there, .* here"),
        (
            "join(address, KEY, net(), points(), exchange=CODED)",
            "exchange: .* there, .* here",
        ),
        ("join(address, KEY, net(), points(4))", "data: .* there, .* here"),
    ],
)
def test_who_is_not_let_in(does: str, words: str):
    """Both sides say why."""
    port = free_port()
    does = (
        f"try:\n    {does}\nexcept WorkersError as error:\n    print(error, flush=True)\nelse:\n"
        "    print('let in')"
    )
    marks = marks_of(net(), points(), Training(1), SinglePrecision())
    door = Door(Listening(f"127.0.0.1:{port}", KEY), marks)
    with helper(port, does) as other:
        told = other.communicate(timeout=60)[0]
    with pytest.warns(LostWorkerWarning, match="was not let in"):
        for _ in range(100):  # it is told by the thread that greets
            assert not list(door.came())
            time.sleep(0.01)
    door.close()
    assert re.search(words, told), told


def test_who_says_nothing_or_nonsense_does_not_keep_others_out(waits, monkeypatch):
    monkeypatch.setattr(joining, "GREETING_SECONDS", 0.5)
    port = free_port()
    rude: list[socket.socket] = []

    def be_rude() -> None:
        for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64):
            for _ in range(100):
                try:
                    one = socket.create_connection(("127.0.0.1", port))
                    break
                except OSError:
                    time.sleep(0.05)
            one.sendall(data)
            rude.append(one)

    caller = threading.Thread(target=be_rude)
    caller.start()
    with warnings.catch_warnings(), helper(port) as other:
        warnings.simplefilter("ignore", LostWorkerWarning)
        moved(slow_workers(port))
        told = other.communicate(timeout=60)[0]
    caller.join()
    for one in rude:
        one.close()
    assert other.returncode == 0, told
    assert int(told) > 0


def test_an_address_where_nobody_listens():
    with pytest.raises(WorkersError, match="no training listens"):
        join(f"127.0.0.1:{free_port()}", KEY, net(), points())


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as one:
        workers = slow_workers(one.getsockname()[1])
        with pytest.raises(WorkersError, match="a port that is free"):
            moved(workers)


@pytest.mark.parametrize("address", ["", "host", "host:", ":80", "host:port", "host:99999"])
def test_what_is_no_address(address: str):
    with pytest.raises(ValueError, match="write HOST:PORT"):
        split_address(address)


def test_a_key_that_is_too_short():
    with pytest.raises(ValueError, match="8 or more"):
        Listening("0.0.0.0:0", "short")


def test_a_technique_that_changes_its_model_has_no_workers_elsewhere():
    training = Training(4, SGD(0.1), workers=slow_workers(free_port()))
    with pytest.raises(ValueError, match="do not see"):
        train(net(), points(), training, before_step=lambda step: None)
