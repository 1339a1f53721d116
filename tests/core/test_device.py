"""Batches follow the model to its device.

Nothing else is moved, and a mixture is told in a sentence.
"""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shoestring.core import Task, batches, device_of, on_device, score
from shoestring.core.device import called_from_processor
from shoestring.kit import write

META = torch.device("meta")
Pair = namedtuple("Pair", "left right")
Edge = namedtuple("Edge", "start to")


class Elsewhere:
    """What stands in for a tensor: it notes where it was sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def to(self, device: Any) -> Elsewhere:
        self.sent.append(device)
        return self


class Encoding(UserDict):
    """A mapping that moves itself, as batches of tokenizers do."""

    def to(self, device: Any) -> Encoding:
        return Encoding({key: value.to(device) for key, value in self.items()})


def test_the_device_of_a_model_is_that_of_its_parameters():
    assert device_of(nn.Linear(2, 3)) == torch.device("cpu")
    assert device_of(nn.Linear(2, 3, device="meta")) == META
    assert device_of(nn.ReLU()) == device_of(lambda x: x) == torch.device("cpu")
    norm = nn.BatchNorm1d(3, affine=False, device="meta")
    assert device_of(norm) == META, "of buffers, where there are no parameters"


def test_a_model_on_several_devices_is_told_what_to_do():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2, device="meta"))
    with pytest.raises(ValueError, match=r"on several devices, cpu, meta: .*model\.to\('meta'\)"):
        device_of(model)
    with pytest.raises(ValueError, match="on several devices"):
        batches(Nested(), "train", model)


def test_all_tensors_of_a_nest_are_moved_and_nothing_else():
    x, one = torch.ones(2), Elsewhere()
    nest = {
        "a": [x, (x, 3)],
        "pair": Pair(x, "text"),
        "own": UserDict(b=x),
        "one": one,
        "none": None,
    }
    moved = on_device(nest, META)
    assert moved["a"][0].device == moved["a"][1][0].device == moved["own"]["b"].device == META
    assert isinstance(moved["pair"], Pair) and moved["pair"].left.device == META
    assert (
        isinstance(moved["own"], UserDict)
        and moved["a"][1][1] == 3
        and moved["pair"].right == "text"
    )
    assert moved["one"] is one and one.sent == [META] and moved["none"] is None
    assert nest["a"][0] is x and nest["own"]["b"] is x, "what was given stays where it was"
    assert type(on_device(OrderedDict(a=x), META)) is OrderedDict
    assert type(on_device(Encoding(a=x), META)) is Encoding
    assert on_device(x, "cpu") is x
    edge = on_device(Edge(x, x), META)
    assert isinstance(edge, Edge) and edge.to.device == edge.start.device == META


class Nested(Task):
    """Batches are nests; the score looks at where the answers are."""

    def batches(self, split: str) -> Any:
        yield {"inputs": (torch.ones(2, 2), [torch.ones(1)]), "count": 2}

    def loss(self, model: Any, batch: Any) -> Tensor:
        return model(batch["inputs"][0]).sum()

    def score(self, predict: Any, split: str) -> float:
        answer = predict(torch.ones(2, 2))
        assert answer.device.type == "cpu"
        return float(answer.numel())

    def example(self) -> Any:
        return (torch.ones(2, 2),), {}


def test_batches_follow_the_model_and_without_one_stay_where_they_are():
    for view in (Nested(), Nested().sealed(), Nested().taught_by(nn.Linear(2, 3))):
        (batch,) = batches(view, "train", nn.Linear(2, 3, device="meta"))
        assert (
            batch["inputs"][0].device == batch["inputs"][1][0].device == META
            and batch["count"] == 2
        )
        (batch,) = batches(view, "train")
        assert batch["inputs"][0].device.type == "cpu"


class Wanders(nn.Module):
    """Notes on which device its parts are called, and answers there."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 3, device="meta")
        self.seen: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.device.type)
        return torch.empty_like(self.inner(x), device="meta")


def test_a_module_elsewhere_takes_tensors_of_the_processor(monkeypatch: pytest.MonkeyPatch):
    sent: list[Any] = []

    def to(nest: Any, device: Any) -> Any:  # nothing can be copied out of the meta device
        if not isinstance(nest, Tensor) or str(device) == "cpu":  # a call's, not what is within it
            sent.append(str(device))
        return torch.zeros(2, 3) if str(device) == "cpu" else on_device(nest, device)

    monkeypatch.setattr("shoestring.core.device.on_device", to)
    model = Wanders()
    assert score(Nested(), model) == 6 and model.seen == ["meta"]
    assert sent == ["meta", "meta", "cpu"], (
        "arguments by place and by name, and the outermost answer"
    )
    with called_from_processor(model):
        sent.clear()
        assert model.inner(torch.ones(1, 2)).shape == (2, 3) and sent == ["meta", "meta", "cpu"]
        with pytest.raises(RuntimeError):
            model(torch.ones(1, 7))
        sent.clear()
        model(torch.ones(1, 2))
        assert sent == ["meta", "meta", "cpu"], "a call that failed is forgotten"
    assert not model._forward_hooks and not model.inner._forward_pre_hooks


def test_a_module_on_the_processor_gets_no_hooks():
    model = nn.Linear(2, 3)
    with called_from_processor(model):
        assert not model._forward_hooks and not model._forward_pre_hooks


class Recorded(nn.Module):
    """Notes which copies of it are put on the processor, as a model of another device must be."""

    moved: list[int] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def cpu(self) -> Recorded:
        self.moved.append(id(self))
        return super().cpu()


def test_a_file_is_made_of_a_copy_on_the_processor(tmp_path: Path):
    model = Recorded()
    weight = model.layer.weight
    write(model, Nested(), tmp_path / "a.shoe")
    assert Recorded.moved and id(model) not in Recorded.moved
    assert model.layer.weight is weight, "the user's model stays where it was"
