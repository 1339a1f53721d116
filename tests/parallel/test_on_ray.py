"""Workers on Ray: what is refused; and, where Ray is installed, a small cluster."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from shoestring.core import seeded
from shoestring.kit import SGD, Supervised, Training, train
from shoestring.parallel import Asynchronous, Listening, workers_on_ray
from shoestring.parallel.serving import Served

KEY = "a key that both know"


def pair() -> tuple[nn.Module, Supervised]:
    with seeded(3):
        inputs = torch.randn(96, 8)
        model = nn.Linear(8, 2)
    split = inputs, (inputs[:, 0] > 0).long()
    return model, Supervised(train=split, validation=split, batch_size=8)


@pytest.mark.parametrize(
    ("count", "address", "words"),
    [(0, "127.0.0.1:29400", "0 workers on Ray"), (1, "127.0.0.1:0", "have to know the port")],
)
def test_what_has_no_workers_on_ray(count: int, address: str, words: str):
    with (
        pytest.raises(ValueError, match=words),
        workers_on_ray(count, pair, Listening(address, KEY)),
    ):
        pass


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ModuleNotFoundError, match="cluster"),
        workers_on_ray(1, pair, Listening("127.0.0.1:29400", KEY)),
    ):
        pass


@pytest.mark.slow
def test_workers_on_a_cluster_of_this_machine(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # it has `pair`
    listening = Listening("127.0.0.1:29417", KEY)
    places: Counter[int] = Counter()
    answer, welcome = Served.answer, Served.welcome

    def counted(self):
        found = answer(self)
        places[getattr(found, "place", -1)] += 1
        return found

    def waiting(self) -> None:
        while self.drawn == 1 and len(self.crew.idle()) < 2:
            welcome(self)
            time.sleep(0.1)
        welcome(self)

    monkeypatch.setattr(Served, "answer", counted)
    monkeypatch.setattr(Served, "welcome", waiting)
    model, task = pair()
    with workers_on_ray(1, pair, listening):
        training = Training(60, SGD(0.1), workers=Asynchronous(1, listening=listening))
        train(model, task, training)
    assert set(places) == {0, 1}
