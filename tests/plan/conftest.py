"""Digits and a small network that is trained on them.

Exporting takes seconds, and most of these tests export the same small module: once will do.
"""

import sys
from typing import Any

import pytest
from torch import nn

from shoestring.core import seeded
from shoestring.kit import AdamW, Exported, Training, export, train
from shoestring.plan.same_graph import signature_of
from shoestring.tasks import digits

_KNOWN: dict[str, Exported] = {}


def once(model: Any, task: Any) -> Exported:
    """The export of the first model with the same graph."""
    key = repr(signature_of(model))
    if key not in _KNOWN:
        _KNOWN[key] = export(model, task)
    return _KNOWN[key]


@pytest.fixture(autouse=True)
def exported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("weighing", "same_graph"):
        monkeypatch.setattr(sys.modules[f"shoestring.plan.{name}"], "export", once)


@pytest.fixture(scope="module")
def task():
    return digits()


@pytest.fixture(scope="module")
def model(task):
    with seeded(0):
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        trained = train(network, task.sealed(), Training(400, AdamW(3e-3)))
    once(trained, task.sealed())  # the first export imports for seconds: no search is to pay for it
    return trained
